"""Several processes train one model: real ones, as torchrun starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from perceiver.alone import newest
from perceiver.config import RunConfig, dump, load, with_changes
from perceiver.data.audioset import DataSource

BASE = Path(__file__).parent.parent / "sweeps" / "base" / "tiny.yaml"
# Seven clips in parts of three: with mixup's pairs kept together two ranks have four and three, in two parts and one.
UNEVEN = {
    "train.batch_size": 7,
    "train.micro_batch": 3,
    "train.steps": 4,
    "train.optimizer": "lamb",
    "train.mixup": 0.5,
}


def train_with(ranks: int, config: RunConfig, data: DataSource, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dump(config)))
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    train = ["-m", "perceiver.train", str(folder / "config.yaml"), "--data", data.url, "--output", str(folder)]
    return subprocess.run([sys.executable, *several, *train], capture_output=True, text=True)


def result(folder: Path) -> tuple[dict, list[dict]]:
    checkpoint = newest(folder / "checkpoints")
    history = json.loads((checkpoint / "progress.json").read_text())["history"]
    return load_file(checkpoint / "model.safetensors"), [entry["metrics"] for entry in history]


def test_two_ranks_compute_what_one_does(synthetic_source: DataSource, tmp_path: Path) -> None:
    config = with_changes(load(BASE), UNEVEN)
    for ranks in (1, 2):
        done = train_with(ranks, config, synthetic_source, tmp_path / str(ranks))
        assert done.returncode == 0, done.stderr
    (alone, expected), (together, found) = result(tmp_path / "1"), result(tmp_path / "2")
    assert max((alone[name] - together[name]).abs().max().item() for name in alone) < 1e-5
    for name in ("train/loss", "eval/mAP", "eval/AUC", "eval/loss", "eval/mAP_audio_only"):
        assert [entry.get(name) for entry in found] == pytest.approx([entry.get(name) for entry in expected], abs=1e-5)


def test_a_batch_smaller_than_the_ranks_is_refused(synthetic_source: DataSource, tmp_path: Path) -> None:
    config = with_changes(load(BASE), {"train.batch_size": 1})
    done = train_with(2, config, synthetic_source, tmp_path / "small")
    assert done.returncode != 0
    assert "train.batch_size: a batch of 1 can't be shared by 2 workers" in done.stderr
