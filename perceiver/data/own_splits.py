"""Which rows of own clips are for training and which for evaluation: as a table or folders say, else by groups."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

from perceiver.data.groups import Groups, groups_of, split
from perceiver.data.own_rows import Row
from perceiver.data.table_columns import split_of
from perceiver.errors import DataError


def split_rows(
    rows: Sequence[Row],
    share: float,
    seed: int,
    pattern: str | None,
    chosen: Sequence[str],
    assumed: list[str],
) -> dict[str, list[Row]]:
    """Split -> its rows, in their order. `chosen` are the words or folds that the user calls the evaluation.

    Raises:
        DataError: a chosen word is none that stands there.
        re.error: the pattern is none.
    """
    groups = _groups(rows, pattern)
    held = _given(rows, chosen, assumed)
    if held is None:
        held = split(groups.of, [row.labels for row in rows], share, seed)
        assumed.append(f"{share:.0%} of each class is for evaluation, drawn with seed {seed} (--eval-share, --seed)")
        if len(set(groups.of)) < len(rows):
            assumed.append(_shown(groups, rows))
    else:
        assumed += _straddling(groups.of, held)
    parts: dict[str, list[Row]] = {"train": [], "eval": []}
    for row, evaluation in zip(rows, held, strict=True):
        parts["eval" if evaluation else "train"].append(row)
    assumed += _lone_classes(parts)
    return parts


def _groups(rows: Sequence[Row], pattern: str | None) -> Groups:
    """A group for each row: what a table says, else by names; rows of one file always share theirs."""
    named = {row.file.path: row.group for row in rows if row.group}
    if pattern is None and len(named) == len({row.file.path for row in rows}):
        return Groups([f"group {named[row.file.path]}" for row in rows], "the group is the one in the table")
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.file.inner, row.labels[0])
    found = groups_of(list(first), list(first.values()), pattern)
    of = dict(zip(first, found.of, strict=True))
    return Groups([of[row.file.inner] for row in rows], found.basis)


def _given(rows: Sequence[Row], chosen: Sequence[str], assumed: list[str]) -> list[bool] | None:
    """Whether each row is for evaluation, by the words beside it; None where they do not make two splits."""
    words = Counter(row.split for row in rows)
    if chosen:
        unknown = set(chosen) - set(words)
        if unknown:
            there = ", ".join(sorted(filter(None, words))) or "none"
            raise DataError(f"no row has the split {sorted(unknown)[0]!r}; there are: {there}")
        held = set(chosen)
    elif all(word.isdigit() for word in words):
        held = {max(words, key=int)}
    else:
        meant = {word: split_of(word) for word in words}
        held = {word for word, split in meant.items() if split == "eval"}
        held = held or {word for word, split in meant.items() if split == "validation"}
    if not held or held == set(words):
        return None
    evaluation, rest = (", ".join(sorted(some) or ["none"]) for some in (held, set(words) - held - {""}))
    assumed.append(f"evaluation is the split {evaluation}; training is {rest or 'the rest'} (--eval-split NAME)")
    return [row.split in held for row in rows]


def _shown(groups: Groups, rows: Sequence[Row]) -> str:
    """How many groups there are and which files one of them has."""
    files: dict[Hashable, dict[str, None]] = defaultdict(dict)
    for row, group in zip(rows, groups.of, strict=True):
        files[group].setdefault(row.file.inner)
    if not groups.basis:
        return "rows of one file stay in one split"
    group, example = max(files.items(), key=lambda found: (1 < len(found[1]) < 5, len(found[1])))
    return (
        f"groups stay in one split, {len(files):,} of {sum(map(len, files.values())):,} files: {groups.basis}, such as "
        f"{group!r} for {', '.join(list(example)[:3])} (--group-pattern REGEX)"
    )


def _straddling(groups: Sequence[Hashable], held: Sequence[bool]) -> list[str]:
    sides = defaultdict(set)
    for group, evaluation in zip(groups, held, strict=True):
        sides[group].add(evaluation)
    both = [group for group, found in sides.items() if len(found) == 2]
    if not both:
        return []
    return [
        f"! {len(both)} groups of files are in both splits, such as {both[0]!r}: what is learned there is known here"
    ]


def _lone_classes(parts: Mapping[str, Sequence[Row]]) -> list[str]:
    """What is to be said of classes that only one split has."""
    has = {part: {label for row in rows for label in row.labels} for part, rows in parts.items()}
    lines = []
    for part, other in (("train", "eval"), ("eval", "train")):
        lone = sorted(has[part] - has[other])
        if lone:
            named = ", ".join(lone[:3])
            count = f"{len(lone)} classes are" if len(lone) > 1 else "1 class is"
            lines.append(f"! {count} in {part}_segments.csv only, such as {named}: too few clips or groups")
    return lines
