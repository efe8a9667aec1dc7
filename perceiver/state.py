"""What a checkpoint holds: enough to go on as if nothing had happened, and to explain itself.

model.safetensors   the weights that are evaluated: the averaged ones when `train.ema` is set
state.pt            optimizer, step, seconds, unreported losses, random states; the raw weights beside averaged ones
progress.json       the config, what identifies the data, and the whole history of metrics with their time stamps
MANIFEST.json       written last: sizes and sha256 of the others. A folder without a valid one is no checkpoint
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_model, save_model
from torch.optim.swa_utils import AveragedModel

from perceiver.config import RunConfig, determining, dump, parse
from perceiver.data.batch import BadClip
from perceiver.errors import CheckpointError, ConfigError
from perceiver.model.perceiver import Perceiver, build_model
from perceiver.optim import build_average, build_optimizer
from perceiver.wording import shown

MANIFEST = "MANIFEST.json"
WEIGHTS = "model.safetensors"
FILES = (WEIGHTS, "state.pt", "progress.json")

_OF_STORAGE = ("storage", "forbidden")
"""Reasons for which earlier versions counted clips that storage did not give as bad; who is, is found again."""


@dataclass
class TrainState:
    """Model, optimizer and place of a trial in training."""

    config: RunConfig
    model: Perceiver
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    """Moving average of the weights, with `train.ema`."""
    step: int = 0
    """Optimizer steps done."""
    total: int = 0
    """Optimizer steps of the whole trial."""
    data: dict[str, str] = field(default_factory=dict)
    """What tells the clips of each split from others (`DataSet.fingerprint`)."""
    seconds: float = 0.0
    """Time that all attempts have taken."""
    losses: list[torch.Tensor] = field(default_factory=list)
    """Of the steps since the last report."""
    bad: dict[tuple[str, str, float], BadClip] = field(default_factory=dict)
    """Unreadable clips met so far, by row."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Every report: `{"time": milliseconds since 1970, "clips": ..., "metrics": {...}}`."""

    @classmethod
    def start(cls, config: RunConfig, device: torch.device) -> "TrainState":
        """A new model, its initial weights drawn from `train.seed`."""
        torch.manual_seed(config.train.seed)
        model = build_model(config.model).to(device)
        model.checkpoint_activations(config.train.activation_checkpointing)
        average = None if config.train.ema is None else build_average(model, config.train.ema)
        return cls(config, model, build_optimizer(model, config.train), average)

    @classmethod
    def load(cls, folder: Path, config: RunConfig, device: torch.device) -> "TrainState":
        """The state saved in `folder`.

        Raises:
            CheckpointError: it is incomplete, damaged, or was made with another config.
        """
        verify(folder)
        progress = json.loads((folder / "progress.json").read_text())
        _refuse_other(
            f"the checkpoint {folder} was made with another config", determining(_config(folder)), determining(config)
        )
        state = cls.start(config, device)
        saved = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        load_model(state.eval_model, folder / WEIGHTS, device=str(device))
        if state.average is not None:
            state.model.load_state_dict(saved["weights"])
            state.average.n_averaged.fill_(saved["step"])
        state.optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"])
        state.losses = list(torch.tensor(saved["losses"], device=device).unbind())
        found = (BadClip(*fields) for fields in saved["bad"])
        state.bad = {clip.row: clip for clip in found if clip.reason not in _OF_STORAGE}
        state.step, state.seconds, state.history = saved["step"], saved["seconds"], progress["history"]
        state.data = progress.get("data", {})
        return state

    def belong_to(self, data: dict[str, str]) -> None:
        """Binds the trial to its data: a new one to any, one that goes on to what it has been trained on.

        Raises:
            CheckpointError: the data is another; says which split.
        """
        if self.data:
            _refuse_other("the checkpoint was made with other data", self.data, data)
        self.data = data

    @property
    def eval_model(self) -> Perceiver:
        """The model that is evaluated and shipped."""
        return self.model if self.average is None else cast(Perceiver, self.average.module)

    def update_average(self) -> None:
        """Moves the averaged weights towards the model's, after each step."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def record(self, clips: int, metrics: dict[str, float]) -> None:
        """Adds a report to the history, with the time that it keeps in every replay."""
        self.history.append({"time": time.time_ns() // 1_000_000, "clips": clips, "metrics": metrics})

    def save(self, folder: Path) -> None:
        """Writes a checkpoint into `folder`, the manifest last. One that is there is none any more from the start."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        save_model(self.eval_model, str(folder / WEIGHTS))
        saved = {
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
            "losses": [loss.item() for loss in self.losses],
            "bad": [tuple(clip) for clip in self.bad.values()],
        }
        if self.average is not None:
            saved["weights"] = self.model.state_dict()
        torch.save(saved, folder / "state.pt")
        progress = {"config": dump(self.config), "data": self.data, "step": self.step, "total": self.total}
        (folder / "progress.json").write_text(json.dumps(progress | {"history": self.history}))
        _write_manifest(folder)


def load_weights(folder: Path, device: str | torch.device = "cpu") -> Perceiver:
    """The trained model in a checkpoint, ready to evaluate. Raises CheckpointError."""
    verify(folder)
    model = build_model(_config(folder).model)
    load_model(model, folder / WEIGHTS)
    return model.to(device).eval()


def verify(folder: Path) -> None:
    """Raises CheckpointError unless every file is there with the size and hash that the manifest gives."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        wrong = [name for name in FILES if _entry(folder / name) != files[name]]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no complete checkpoint: {error}") from None
    except (KeyError, TypeError):
        raise CheckpointError(f"{folder} is no complete checkpoint: {MANIFEST} does not list its files") from None
    if wrong:
        raise CheckpointError(f"{folder} is damaged: {', '.join(wrong)} differ from {MANIFEST}")


def _config(folder: Path) -> RunConfig:
    try:
        return parse(json.loads((folder / "progress.json").read_text())["config"])
    except ConfigError as error:
        raise CheckpointError(f"the checkpoint {folder} is of another version of this program: {error}") from None


def _refuse_other(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises CheckpointError with every key that differs and both of its values."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if keys:
        changes = (f"{key} was {shown(before.get(key))} and is {shown(now.get(key))}" for key in keys)
        raise CheckpointError(f"{what}: {', '.join(changes)}")


def _write_manifest(folder: Path) -> None:
    files = {name: _entry(folder / name) for name in FILES}
    beside = folder / f".{MANIFEST}"
    beside.write_text(json.dumps({"format": 1, "files": files}, indent=1))
    os.replace(beside, folder / MANIFEST)


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
