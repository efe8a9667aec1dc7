"""Clips that belong together, by their names, and a split that keeps them together.

    groups = groups_of(["dog_003_take1.wav", "dog_003_take2.wav", "dog_004_take1.wav"], classes)
    held_out = split(groups, labels, share=0.2, seed=0)

Takes of one recording, cuts of one video and utterances of one speaker are near-duplicates: in training and evaluation
both, they measure memory.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from perceiver.data.file_names import stem

PATTERNS = (
    (r"^(\d+)-\d+-\d+-\d+$", "UrbanSound's number of the recording"),
    (r"^(\d-\d+)-[A-Z]-\d+$", "ESC-50's fold and clip"),
    (r"^([0-9a-f]{8})_nohash_\d+$", "Speech Commands' speaker"),
    (r"^(v_\w+_g\d+)_c\d+$", "UCF's group"),
    (r"^Y?([A-Za-z0-9_-]{11})_\d+(?:\.\d+)?(?:_\d+(?:\.\d+)?)?$", "the YouTube id"),
)
"""Names of known sets: what is the group in them, and what that is."""
_MOST = 1 / 3
"""Share of the files that one group may have, before a pattern is taken for something else."""


@dataclass(frozen=True)
class Groups:
    """A group for each file, and by what: a sentence, empty where every file stands alone."""

    of: Sequence[Hashable]
    basis: str = ""


def groups_of(paths: Sequence[str], classes: Sequence[Hashable], pattern: str | None = None) -> Groups:
    """Groups of files by a pattern (its first group, or the whole match), else by what the names show.

    A path without a match stands alone. `classes` has one label for each path: a part of the name that would leave a
    class with one group only is the class, not a group.

    Raises:
        re.error: the pattern is none.
    """
    names = [stem(path.rsplit("/", 1)[-1]) for path in paths]
    if pattern is not None:
        found = _by_pattern(paths, paths, re.compile(pattern))
        return Groups(found, f"the group is what {pattern!r} finds in the path")
    for known, meaning in PATTERNS:
        if sum(re.match(known, name) is not None for name in names) >= 0.9 * len(names):
            found = _by_pattern(names, paths, re.compile(known))
            if _groups_something(found):
                return Groups(found, f"the group is {meaning}")
    found = _by_words(names, paths, classes)
    return Groups(found, "the group is the name without its last words") if _groups_something(found) else Groups(paths)


def split(groups: Sequence[Hashable], labels: Sequence[Sequence[str]], share: float, seed: int) -> list[bool]:
    """For each clip whether it is for evaluation: whole groups, about `share` of each class, each class in both.

    Deterministic: groups are taken in the order of a hash of their name and the seed, rarest class first. A class that
    has one group only is for training.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    of_class: dict[str, dict[Hashable, int]] = defaultdict(Counter)
    for index, names in enumerate(labels):
        for name in names:
            of_class[name][groups[index]] += 1
    order = sorted(members, key=lambda group: _hash(group, seed))
    held: set[Hashable] = set()
    for name in sorted(of_class, key=lambda name: (len(of_class[name]), name)):
        _hold_out(of_class[name], of_class, order, held, share)
    return [group in held for group in groups]


def _hold_out(
    counts: dict[Hashable, int],
    of_class: dict[str, dict[Hashable, int]],
    order: Sequence[Hashable],
    held: set[Hashable],
    share: float,
) -> None:
    """Adds groups of a class to those held out, until it has its share; every class keeps a group to learn from."""
    wanted = max(1.0, share * sum(counts.values()))
    have = sum(count for group, count in counts.items() if group in held)
    for group in sorted((group for group in order if group in counts), key=lambda group: counts[group] > 2 * wanted):
        if have and have + counts[group] / 2 > wanted:
            continue
        if group not in held and all(set(other) - held - {group} for other in of_class.values() if group in other):
            held.add(group)
            have += counts[group]


def _hash(group: Hashable, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {group}".encode("utf-8", "surrogateescape")).digest()


def _by_pattern(names: Sequence[str], paths: Sequence[str], pattern: re.Pattern[str]) -> list[Hashable]:
    found: list[Hashable] = []
    for name, path in zip(names, paths, strict=True):
        match = pattern.search(name)
        found.append((match[1] if pattern.groups else match[0]) if match else path)
    return found


def _groups_something(groups: Sequence[Hashable]) -> bool:
    return len(set(groups)) < len(groups)


def _by_words(names: Sequence[str], paths: Sequence[str], classes: Sequence[Hashable]) -> list[Hashable]:
    """Names without as many last words as can go. A name is words between _ - . and spaces; those of one shape, such as
    word_number_word, lose equally many."""
    words = [re.split(r"[_\-.\s]+", name) for name in names]
    shapes: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, parts in enumerate(words):
        shapes[tuple(_shape(part) for part in parts)].append(index)
    found: list[Hashable] = list(paths)
    for shape, rows in shapes.items():
        for kept in range(1, len(shape)):
            groups = [" ".join(words[row][:kept]) for row in rows]
            if _plausible(groups, [classes[row] for row in rows]):
                for row, group in zip(rows, groups, strict=True):
                    found[row] = group
                break
    known = {group: group for group in found}
    return [known.get(" ".join(parts), group) for parts, group in zip(words, found, strict=True)]


def _shape(word: str) -> str:
    return "number" if word.isdigit() else "both" if any(letter.isdigit() for letter in word) else "word"


def _plausible(groups: Sequence[str], classes: Sequence[Hashable]) -> bool:
    """Whether these may be groups: some have several files, none has a large share, no class is one of them alone."""
    sizes, of_class = Counter(groups), defaultdict(set)
    for group, name in zip(groups, classes, strict=True):
        of_class[name].add(group)
    several = Counter(classes)
    return 1 < max(sizes.values()) <= max(3, _MOST * len(groups)) and all(
        len(found) > 1 for name, found in of_class.items() if several[name] > 1
    )
