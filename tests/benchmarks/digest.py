"""What a set's digest costs: the first look into every file, and a later plan, which makes one listing.

    python tests/benchmarks/digest.py [--files 100000] [--folder FOLDER]

Prints seconds, and for a million files seconds by the clock and of the processor, which tell little of other work on
the machine: of a listing alone, of the first pass over files of 2 kB that lie warm in memory, of a later plan where
nothing has changed, and of one where a file in a hundred has. Of files of a real set up to 512 kB are read each.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from perceiver.data.audioset import DataSource
from perceiver.data.digest import describe
from perceiver.data.files import list_files

_FOLDERS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make the files; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        source = make_set(Path(folder) / "set", arguments.files)
        measure("listing alone", arguments.files, lambda: list_files(source.url))
        measure("first pass", arguments.files, lambda: describe(source))
        measure("later plan", arguments.files, lambda: describe(source))
        for number in range(0, arguments.files, 100):
            clip(Path(source.url), number).write_bytes(os.urandom(2_000))
        measure("1 % changed", arguments.files, lambda: describe(source))
        index = sum(path.stat().st_size for path in Path(f"{folder}/cache").rglob("*") if path.is_file())
        print(f"index         {index / arguments.files:7.0f} bytes a file")


def make_set(folder: Path, files: int) -> DataSource:
    """A set of files of random bytes, in a hundred folders; a row each."""
    for number in range(_FOLDERS):
        (folder / "clips" / f"{number:02d}").mkdir(parents=True)
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/0,A\n")
    rows = [f'clip{number:08d}, 0.000, 10.000, "/m/0"\n' for number in range(files)]
    (folder / "eval_segments.csv").write_text("".join(rows[:100]))
    (folder / "train_segments.csv").write_text("".join(rows[100:]))
    for number in range(files):
        clip(folder, number).write_bytes(os.urandom(2_000))
    return DataSource(str(folder))


def clip(folder: Path, number: int) -> Path:
    return folder / "clips" / f"{number % _FOLDERS:02d}" / f"clip{number:08d}.mp4"


def measure(what: str, files: int, call: Callable[[], object]) -> None:
    """Runs something once, and prints what it took by the clock, and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    call()
    clock, processor = (
        1e6 / files * seconds for seconds in (time.perf_counter() - began, time.process_time() - worked)
    )
    print(f"{what:<13} {clock * files / 1e6:7.2f} s   {clock:7.0f} s {processor:7.0f} s of processor", flush=True)


if __name__ == "__main__":
    main()
