"""Makes a data set of a folder of own clips: segment lists, a label list, a site file. Runs on: the driver's cores."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import Interrupted, UsageError
from orchestrator.plan.machine import cores
from orchestrator.plan.site import absolute
from orchestrator.progress import Ticker
from orchestrator.run.file_pool import Work, spread
from perceiver.data.files import File, is_local, join, local_path
from perceiver.data.own_lists import Options, OwnLists, make_lists, write_lists
from perceiver.data.verdicts import FileReport

_SITE_FILE = "site.yaml"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class Initialised:
    """A folder that has become a data set: its name in sweep files, what was written, and the lists."""

    name: str
    site_file: str
    written: list[str]
    lists: OwnLists

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        lists = self.lists
        return {
            "name": self.name,
            "form": lists.form,
            "written": self.written,
            "site": self.site_file,
            "rows": {split: len(rows) for split, rows in lists.rows.items()},
            "classes": [label._asdict() for label in lists.classes],
            "files": {"all": lists.files, "with pictures": lists.pictures, "with sound": lists.sound},
            "assumed": lists.assumed,
            "left_out": {
                "counts": dict(lists.left_out.counts),
                "named": [problem._asdict() for problem in lists.left_out.named],
            },
        }


def init_set(folder: str, options: Options, name: str | None = None) -> Initialised:
    """Writes what makes a data set of the folder; nothing where one of the files is there already.

    Raises:
        UsageError: the site file is there already, or a pattern is none.
        DataError: the folder has a list already, or nothing says what its clips are; a file can't be written.
        Interrupted: by Ctrl-C; nothing was written.
    """
    folder = absolute(folder)
    if name is not None and not re.fullmatch(_NAME, name):
        raise UsageError(f"--name {name!r}: expected letters, digits and _ . -, such as birds")
    name = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(local_path(folder)).name).strip("-._") or "mine"
    site_file = join(local_path(folder), _SITE_FILE) if is_local(folder) else f"{name}.yaml"
    if Path(site_file).exists():
        raise UsageError(f"{site_file} exists already, and nothing is overwritten: move it away, or edit it instead")
    with Ticker(f"listing {folder} and reading its tables", "files' headers") as ticker:
        try:
            lists = make_lists(folder, options, ticker.show, _run)
        except re.error as error:
            raise UsageError(f"--group-pattern {options.group_pattern!r} is no regular expression: {error}") from None
        except KeyboardInterrupt:
            raise Interrupted("Interrupted; nothing was written.") from None
    write_lists(lists)
    Path(site_file).write_text(_site_text(name, folder), encoding="utf-8")
    return Initialised(name, site_file, [*(join(folder, text) for text in lists.texts), site_file], lists)


def print_initialised(done: Initialised) -> None:
    """What the folder looked like, what was assumed, what was left out, what was written."""
    lists = done.lists
    print(f"{lists.url}   {lists.form}   {len(lists.classes):,} classes")
    for line in lists.assumed:
        print(f"  {line}")
    for reason, count in lists.left_out.counts.most_common():
        example = next(problem.message for problem in lists.left_out.named if problem.reason == reason)
        print(f"  ! left out, {reason}: {count:,}, such as {example}")
    if lists.files:
        print(f"  {lists.files:,} files: {lists.pictures:,} with pictures, {lists.sound:,} with sound")
    print("written:")
    for path in done.written:
        split = path.rsplit("/", 1)[-1].partition("_segments.csv")[0]
        rows = f"   {len(lists.rows[split]):,} rows" if split in lists.rows else ""
        print(f"  {path}{rows}")


def sweep_keys(done: Initialised) -> str:
    """What a sweep file has to say of the set."""
    lists = done.lists
    keys = [f"data.set: {done.name}", f"model.classes: {len(lists.classes)}"]
    if lists.files and not lists.pictures:
        keys.append("model.inputs.video: null")
    if lists.files and not lists.sound:
        keys.append("model.inputs.audio: null")
    return f"set: {{{', '.join(keys)}}}"


def _run(work: Work, files: Iterable[File]) -> Iterator[FileReport]:
    yield from spread(work, files, cores())


def _site_text(name: str, folder: str) -> str:
    places = yaml.safe_dump({"site": name, "data": {name: folder}}, sort_keys=False, allow_unicode=True)
    return f"""# A site says where things are and never changes what is computed; cluster/sites/ explains every key.
{places}storage: runs/storage  # or s3://bucket/sweeps, gs://..., a shared folder
tracking: sqlite:///runs/mlflow.db  # or http://host:5000, postgresql://...
resources: {{cpus: 1, gpus: 0}}  # of each worker of a trial
"""
