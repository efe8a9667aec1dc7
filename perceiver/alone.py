"""`python -m perceiver.train`: training without an orchestrator, from a file into a folder. The next call goes on.

OUTPUT/checkpoints/<step>/    the newest two; `perceiver.state` says what one holds
OUTPUT/data/                  the synthetic set, where the config wants it and --data is not given
"""

import argparse
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from perceiver.config import RunConfig, load
from perceiver.data.audioset import DataSource
from perceiver.data.content import Progress
from perceiver.data.digest import describe
from perceiver.data.recipe import DEMO
from perceiver.errors import CheckpointError, DataError, PerceiverError
from perceiver.ranks import SILENCE, Ranks
from perceiver.state import MANIFEST, TrainState, verify
from perceiver.train import train

KEPT_CHECKPOINTS = 2
"""While the newest is being written, and if it should be damaged, there is one before it."""
CHECKPOINT_SECONDS = 120.0
"""Time between checkpoints, beside those that come with an evaluation."""


def main() -> None:
    """Trains the config of a file on one machine, saving into a folder from which the next call goes on."""
    parser = argparse.ArgumentParser(prog="python -m perceiver.train", description=main.__doc__)
    parser.add_argument("config", type=Path, help="YAML file of a RunConfig, such as sweeps/base/tiny.yaml")
    parser.add_argument("--data", help="folder or URL of the data set; a synthetic one is made in the output folder")
    parser.add_argument("--labels", help="the label list, where it lies apart from the data")
    parser.add_argument("--output", type=Path, default=Path("runs/alone"), help="folder of the checkpoints")
    parser.add_argument("--workers", type=int, default=0, help="processes that read clips")
    arguments = parser.parse_args()
    if arguments.workers < 0:
        parser.error(f"--workers {arguments.workers}: expected 0 or more")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--output {arguments.output} can't be a folder: {error.strerror}")
    try:
        _meet()
        _train(arguments)
    except CheckpointError as error:
        sys.exit(f"CheckpointError: {error}; give another --output to begin anew")
    except PerceiverError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        print("Interrupted: run the same command again to go on from the newest checkpoint", file=sys.stderr)
        sys.exit(130)


def _meet() -> None:
    """Waits for the other processes that torchrun started; alone, there is nobody to meet."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=SILENCE)


def _train(arguments: argparse.Namespace) -> None:
    config, folder = load(arguments.config), arguments.output / "checkpoints"
    data, saved = _source(arguments, config), time.monotonic()
    for progress in train(config, newest(folder), data=data, data_workers=arguments.workers):
        if not Ranks.here().is_first:
            continue
        shown = "  ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
        print(f"{progress.fraction:4.0%}  {progress.clips} clips  {shown}", flush=True)
        if progress.evaluation or time.monotonic() - saved > CHECKPOINT_SECONDS:
            save(progress.state, folder)
            saved = time.monotonic()
    if Ranks.here().is_first:
        print(f"Trained; the checkpoint is {newest(folder)}")
    if dist.is_initialized():
        dist.destroy_process_group()


def _source(arguments: argparse.Namespace, config: RunConfig) -> DataSource:
    if arguments.data is None and config.data.set != "synthetic":
        raise DataError(f"data.set is {config.data.set}: give --data FOLDER; only the set synthetic is made here")
    recipe = None if arguments.data else DEMO
    source = DataSource(arguments.data or str(arguments.output / "data"), arguments.labels, recipe)
    ranks, described = Ranks.here(), None
    if ranks.is_first:
        described = describe(source, _looking())
        print("".join(f"{line}\n" for line in described.told), end="", file=sys.stderr)
    return replace(source, planned=ranks.first(described.planned if described else None))


def _looking() -> Progress:
    """Says every ten seconds how many files of a large set were looked into; only the first time takes long."""
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"looked into {done:,} of {total:,} files", file=sys.stderr)

    return tell


def save(state: TrainState, folder: Path) -> None:
    """Writes a checkpoint beside those that are there, then removes all but the newest."""
    state.save(folder / f"{state.step:09d}")
    for old in _complete(folder)[KEPT_CHECKPOINTS:]:
        shutil.rmtree(old)


def newest(folder: Path) -> Path | None:
    """The newest undamaged checkpoint below a folder; None where there is none yet.

    Raises:
        CheckpointError: all that are there are damaged.
    """
    problem: CheckpointError | None = None
    for checkpoint in _complete(folder):
        try:
            verify(checkpoint)
        except CheckpointError as error:
            problem = problem or error
        else:
            return checkpoint
    if problem is not None:
        raise problem
    return None


def _complete(folder: Path) -> list[Path]:
    """Checkpoints that were written to their end, the newest first."""
    return sorted((manifest.parent for manifest in folder.glob(f"*/{MANIFEST}")), reverse=True)
