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

from perceiver.config import RunConfig, load, with_changes
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
VIDEO, AUDIO = "model.inputs.video", "model.inputs.audio"
RAW = {f"{AUDIO}.kind": "raw", f"{AUDIO}.segment": 64}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "frames": {f"{VIDEO}.frames": 4, f"{VIDEO}.fps": 3.125},
    "size": {f"{VIDEO}.size": 16},
    "patch": {f"{VIDEO}.patch": [4, 8, 8]},
    "learned positions": {
        f"{VIDEO}.positions": "learned",
        f"{VIDEO}.position_channels": 8,
        f"{AUDIO}.positions": "learned",
    },
    "position channels of sound": {f"{AUDIO}.positions": "learned", f"{AUDIO}.position_channels": 16},
    "bands": {f"{VIDEO}.bands": 3, f"{AUDIO}.bands": 5},
    "resolution of pictures": {f"{VIDEO}.max_resolution": "pixels"},
    "embedding": {f"{VIDEO}.embedding": 2},
    "scaling": {f"{VIDEO}.scaling": "unit"},
    "raw sound": RAW,
    "resolution of raw sound": RAW | {f"{AUDIO}.max_resolution": "samples", "train.optimizer": "lamb"},
    "samples": {f"{AUDIO}.samples": 10_240, f"{VIDEO}.frames": 4},
    "sample rate": {f"{AUDIO}.sample_rate": 48_000, f"{AUDIO}.samples": 61_440},
    "mel bins": {f"{AUDIO}.mel_bins": 16, f"{AUDIO}.mel_low": 100.0, f"{AUDIO}.mel_high": 7_000.0},
    "mel window": {f"{AUDIO}.mel_window": 2_048, f"{AUDIO}.mel_hop": 512},
    "mel scale": {f"{AUDIO}.mel_mean": -2.0, f"{AUDIO}.mel_std": 1.5},
    "mel positions": {f"{AUDIO}.mel_positions": "1d"},
    "unrolled": {"model.unroll_time": True, f"{AUDIO}.unrolled": True},
    "fusion": {"model.fusion": "linear"},
    "iterations": {"model.iterations": 3, "model.placement": "at_start"},
    "layers": {"model.layers_per_block": 2},
    "latents": {"model.latents": 6, "model.latent_channels": 24, "model.latent_init_std": 0.05},
    "shared weights": {"model.share_weights": True},
    "heads": {"model.cross_heads": 5, "model.self_heads": 2},
    "widening": {"model.widening": 2, "model.gelu": "erf"},
    "query": {"model.readout": "query", "model.prior": 0.1},
    "sound only": {VIDEO: None, "train.mixup": 0.5, "data.sampler": "weighted"},
    "pictures only": {AUDIO: None, "train.augment": False, "model.missing_modality": "mask"},
    "balanced": {"data.sampler": "balanced", "data.max_bad_fraction": 0.1},
    "shuffled labels": {"data.shuffle_labels": True},
    "epochs": {"train.steps": None, "train.epochs": 1.0, "train.batch_size": 3},
    "seed": {"train.seed": 1},
    "rate": {"train.lr": 0.002, "train.warmup_steps": 2, "train.schedule": "constant_cosine"},
    "steps of the rate": {"train.schedule": "step", "train.weight_decay": 0.1},
    "clipping": {"train.clip_norm": 0.01},
    "averaged weights": {"train.ema": 0.9},
    "dropout": {"train.video_dropout": 0.6, "train.audio_dropout": 0.4, "train.dropout_of": "tokens"},
    "no masks": {"train.spec_augment": False},
    "bfloat16": {"train.precision": "bfloat16"},
    "evaluation": {"eval.clips": 3, "eval.average": "logits", "eval.times": 1},
    "plain attention": {"model.absorbed_attention": False},
    "in parts": {"train.micro_batch": 2, "eval.batch_size": 4, "train.activation_checkpointing": True},
}
"""Each key that determines results, and those for speed, away from the first one's level somewhere."""
_NOT_RESULTS = ("cost/", "train/clips_per_second", "train/data_wait")


def reference_config(changes: dict[str, Any]) -> RunConfig:
    """A trial of seconds."""
    return with_changes(load(TINY), QUICK | {"data.set": "reference"} | changes)


def result(changes: dict[str, Any], data: DataSource) -> dict[str, str]:
    """Every number that a trial ends with."""
    found: dict[str, str] = {}
    for progress in train(reference_config(changes), data=data, device="cpu"):
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
