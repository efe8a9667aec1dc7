"""Finds out whether code that was changed still gives the same results, bit by bit, and keeps that (`make equal-code`).

    python tests/equal_code/compare.py [--before COMMIT]

Trains the reference configurations (`reference_runs.py`) with the code of a commit (HEAD, where the change is not
committed yet) and with the code of this checkout. Where every weight and metric is equal, today's code counts as the
old from now on: `orchestrator/plan/equal_code.json` has both. Where one differs, names it, writes nothing, ends with 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
CHECKOUT = HERE.parents[2]
KEPT = Path("orchestrator/plan/equal_code.json")
CLASSES = 9


def main() -> int:
    """Compares, says what came out, keeps it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="HEAD", help="the commit that has the code from before (HEAD)")
    before = parser.parse_args().before
    with tempfile.TemporaryDirectory(prefix="equal-code-") as scratch:
        old, data = Path(scratch) / "before", Path(scratch) / "data"
        _git("worktree", "add", "--quiet", "--detach", str(old), before)
        try:
            digests = [_run(folder, "-c", _DIGEST).strip() for folder in (old, CHECKOUT)]
            if digests[0] == digests[1]:
                print(f"The code of {before} has the same digest: there is nothing to keep.")
                return 0
            make_media_sets(data)
            results = [_run(folder, str(HERE.with_name("reference_runs.py")), str(data)) for folder in (old, CHECKOUT)]
        finally:
            _git("worktree", "remove", "--force", str(old))
    different = differences(*(json.loads(result) for result in results))
    if different:
        print(f"{len(different)} numbers differ from those of {before}; nothing was kept:", *different[:20], sep="\n  ")
        return 1
    keep(CHECKOUT / KEPT, *digests)
    print(f"Equal to the last bit: today's code {digests[1][:12]} counts as {digests[0][:12]} ({KEPT}).")
    return 0


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs between two outputs of `reference_runs.py`, a line each."""
    return [
        f"{run}: {number} was {before.get(run, {}).get(number)}, is {after.get(run, {}).get(number)}"
        for run in sorted(before.keys() | after.keys())
        for number in sorted(before.get(run, {}).keys() | after.get(run, {}).keys())
        if before.get(run, {}).get(number) != after.get(run, {}).get(number)
    ]


def keep(path: Path, before: str, after: str) -> None:
    """Adds a digest to the list that has the one it is equal to, or begins one."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    codes = next((codes for codes in kept["codes"] if before in codes), None)
    if codes is None:
        kept["codes"].append(codes := [before])
    if after not in codes:
        codes.append(after)
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def make_media_sets(folder: Path) -> None:
    """A set of real files of several kinds, and the same ingested: what reading does belongs to a result."""
    sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]
    from media_maker import flashes_and_clicks, make_media

    from perceiver.data.audioset import DataSource
    from perceiver.data.ingest import ingest

    media = folder / "media"
    (media / "clips").mkdir(parents=True)
    kinds = [("mp4", 25, 48_000, "mono"), ("mp4", 30, 44_100, "stereo"), ("mkv", 12.5, 22_050, "mono")]
    lists: dict[str, list[str]] = {"train": [], "eval": []}
    for number in range(2 * CLASSES):
        suffix, fps, rate, layout = kinds[number % len(kinds)]
        pictures, sound = flashes_and_clicks([0.3 + 0.1 * number, 2.2], 3.0, fps, rate)
        samples = np.stack([sound, 0.3 * sound]) if layout == "stereo" else sound
        make_media(media / "clips" / f"clip{number:02d}.{suffix}", pictures, samples, rate=rate, layout=layout)
        split = "train" if number < CLASSES else "eval"
        lists[split].append(f'clip{number:02d},0.0,3.0,"/m/{number % CLASSES}"')
    for split, rows in lists.items():
        (media / f"{split}_segments.csv").write_text("# YTID, start_seconds, end_seconds, labels\n" + "\n".join(rows))
    names = "".join(f"{number},/m/{number},class {number}\n" for number in range(CLASSES))
    (media / "class_labels_indices.csv").write_text(f"index,mid,display_name\n{names}")
    ingest(DataSource(str(media)), str(folder / "shards"))


_DIGEST = "from orchestrator.plan.closure import closure_digest; print(closure_digest())"


def _run(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the code of {folder} failed; nothing was kept")
    return done.stdout


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
