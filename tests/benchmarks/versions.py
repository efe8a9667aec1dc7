"""Reading clips beside an earlier version of this project, in turns: the ratio of CPU seconds and its 95 % interval.

    git worktree add ../before 9580e14
    python tests/benchmarks/versions.py ../before [FOLDER] [--rounds 20] [--clips 24]

Both versions read the same places of the same files, each in a process of its own that stays, A B B A: training clips
(32 frames of 256 pixels, 1.28 s of sound) and evaluation files (16 clips), from the files as they are, from web video
with stereo sound that is made of them, and from shards of both that the earlier version wrote. FOLDER holds video files
with sound, by default the stamps clips beside the checkout. 1.00 is as fast as before, 1.05 takes 5 % longer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("as they are", "web video", "shards", "shards of web video")


def main() -> None:
    beside = ROOT.parent / "shared" / "data" / "stamps" / "clips"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of the earlier version")
    parser.add_argument("folder", nargs="?", type=Path, default=beside)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--clips", type=int, default=24, help="training clips of a round; evaluation files are a quarter"
    )
    options = parser.parse_args()
    files = sorted(map(str, options.folder.glob("*.*")))
    files = files[:: max(1, len(files) // 12)][:12]
    if not files:
        raise SystemExit(f"no files in {options.folder}: name a folder of video files with sound")
    with tempfile.TemporaryDirectory() as scratch:
        versions = [_Version(options.before.resolve()), _Version(ROOT)]
        paths = dict(zip(KINDS, versions[0].ask("make", files, scratch), strict=True))
        print(f"{'CPU seconds, now / before':36}{'ratio':>8}   95 % interval     ({options.rounds} rounds)")
        for kind in KINDS:
            for split in ("train", "eval"):
                count = options.clips if split == "train" else max(1, options.clips // 4)
                compare(f"{kind}, {split}", versions, paths[kind], split, count, options.rounds)


def compare(name: str, versions: list["_Version"], paths: list[str], split: str, count: int, rounds: int) -> None:
    """Prints a line: the mean of the ratios of the rounds, on a logarithmic scale."""
    for version in versions:
        version.ask("read", paths, split, count, 0)
    ratios = []
    for number in range(1, rounds + 1):
        seconds = [0.0, 0.0]
        for which in (0, 1, 1, 0):
            seconds[which] += versions[which].ask("read", paths, split, count, number)
        ratios.append(np.log(seconds[1] / seconds[0]))
    mean = np.mean(ratios)
    reach = student.ppf(0.975, rounds - 1) * np.std(ratios, ddof=1) / np.sqrt(rounds)
    low, middle, high = np.exp([mean - reach, mean, mean + reach])
    print(f"{name:36}{middle:8.3f}   {low:.3f} to {high:.3f}", flush=True)


class _Version:
    """A process that reads with the code of a checkout."""

    def __init__(self, checkout: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        # In another folder Python would find the packages of this checkout first.
        command = [sys.executable, "-c", "import runpy, sys; runpy.run_path(sys.argv[1], run_name='worker')", __file__]
        pipe = subprocess.PIPE
        self._process: Any = subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def ask(self, *order: Any) -> Any:
        """What the process answers."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def work() -> None:
    """Answers orders until there are no more."""
    for line in sys.stdin:
        what, *rest = json.loads(line)
        print(json.dumps(make(*rest) if what == "make" else read(*rest)), flush=True)


def make(files: list[str], scratch: str) -> list[list[str]]:
    """Paths of the clips of each of `KINDS`."""
    sys.path.append(str(ROOT / "tests" / "benchmarks"))
    from shards import web_video

    web = [str(web_video(Path(file), Path(scratch))) for file in files]
    return [files, web, shard(files, f"{scratch}/1"), shard(web, f"{scratch}/2")]


def shard(files: list[str], folder: str) -> list[str]:
    """Places of the files' clips in a shard."""
    from perceiver.data.audioset import Segment
    from perceiver.data.files import FileRange
    from perceiver.data.packing import ShardTask, write_shard
    from perceiver.data.shards import Form

    rows = [Segment(Path(file).stem, 0.0, 10.0, (), file, 0, True) for file in files]
    record = write_shard(ShardTask(folder, "train", 0, 0, Form(), rows, []))
    return [str(FileRange(f"{folder}/train-000000.tar", clip.offset, clip.length)) for clip in record.clips]


def read(paths: list[str], split: str, count: int, seed: int) -> float:
    """CPU seconds for `count` clips, or files of evaluation, at places that follow from the seed."""
    from perceiver.config import RunConfig
    from perceiver.data.clips import Wants, read_clip, read_clips
    from perceiver.data.dataset import Clip

    wants = Wants.training(RunConfig()) if split == "train" else Wants.evaluation(RunConfig())
    draw = np.random.default_rng(seed)
    began = time.process_time()
    for file in draw.permutation(np.arange(count) % len(paths)):
        clip = Clip(str(file), paths[file], 0.0, 10.0, True, ())
        read_clip(clip, wants, draw.random()) if split == "train" else read_clips(clip, wants, 16)
    return time.process_time() - began


if __name__ == "worker":
    work()
elif __name__ == "__main__":
    main()
