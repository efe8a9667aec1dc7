"""Trains reference configurations with the code on the path, and prints what came out, to the last bit.

    PYTHONPATH=CHECKOUT python reference_runs.py FOLDER

FOLDER holds the media (see `compare.py`). Each configuration's line is a hash of the weights, and every metric in hex.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from perceiver.config import load, with_changes
from perceiver.data.audioset import DataSource
from perceiver.train import train

TINY = Path(__file__).parents[2] / "sweeps" / "base" / "tiny.yaml"
QUICK = {
    "model.latents": 8,
    "model.latent_channels": 16,
    "train.batch_size": 4,
    "train.steps": 4,
    "eval.times": 2,
    "train.spec_augment": True,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "raw sound": {"model.inputs.audio.kind": "raw", "train.optimizer": "lamb", "data.sampler": "balanced"},
    "sound only": {"model.inputs.video": None, "train.mixup": 0.5, "data.sampler": "weighted"},
    "pictures only": {"model.inputs.audio": None, "model.share_weights": True, "train.augment": False},
    "other model": {"model.fusion": "linear", "train.ema": 0.9, "train.schedule": "step", "eval.average": "logits"},
    "plain attention": {"model.absorbed_attention": False, "train.dropout_of": "tokens", "train.video_dropout": 0.5},
    "in time": {"model.unroll_time": True, "train.micro_batch": 2},
}
_NOT_RESULTS = ("cost/", "train/clips_per_second", "train/data_wait")


def result(changes: dict[str, Any], data: DataSource) -> dict[str, str]:
    """Every number that a trial ends with."""
    config = with_changes(load(TINY), QUICK | {"data.set": "reference"} | changes)
    found: dict[str, str] = {}
    for progress in train(config, data=data, device="cpu"):
        metrics = {name: value for name, value in progress.metrics.items() if not name.startswith(_NOT_RESULTS)}
        found |= {f"{name} at {progress.clips}": float(value).hex() for name, value in metrics.items()}
        weights = progress.state.eval_model.state_dict()
    sha = hashlib.sha256()
    for name, values in sorted(weights.items()):
        sha.update(name.encode() + values.detach().cpu().contiguous().numpy().tobytes())
    return found | {"weights": sha.hexdigest()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sets = {place.name: DataSource(str(place)) for place in sorted(Path(sys.argv[1]).iterdir())}
    runs = [(name, place) for place in sets for name in (VARIANTS if place == "media" else ["as it is"])]
    print(json.dumps({f"{name}, {place}": result(VARIANTS[name], sets[place]) for name, place in runs}))
