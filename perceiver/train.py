"""Trains one Perceiver: the story of a trial, from its config to its last score.

Called by the orchestrator's worker, and alone (`perceiver.alone`), in one process or in several that share every batch:

    python -m perceiver.train CONFIG.yaml --data FOLDER --output FOLDER      # run again to go on
    torchrun --nproc-per-node 8 -m perceiver.train CONFIG.yaml --data FOLDER --output FOLDER

`train` is a generator: it yields a `Progress` at every report (metrics) and every few seconds in between (a heartbeat,
no metrics). Whoever pulls decides at each of them whether to save a checkpoint, to log, or to stop. It yields only at
its top level, never inside a torch context, which would leak into the caller.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from perceiver.config import RunConfig, completed
from perceiver.data.audioset import DataSource, Problem
from perceiver.data.augment import augmented_parts
from perceiver.data.bad_clips import refuse_too_many
from perceiver.data.batch import BadClip, Batch
from perceiver.data.dataset import open_splits
from perceiver.data.loading import train_batches
from perceiver.data.presence import refuse_absent
from perceiver.errors import ConfigError, ConfigMistake
from perceiver.evaluate import Evaluation, evaluate
from perceiver.meter import Costs, Stretch
from perceiver.model.inputs import refuse_non_finite
from perceiver.optim import learning_rate, set_learning_rate
from perceiver.ranks import Ranks
from perceiver.state import TrainState

REPORTS = 50
"""Reports of the training loss over a trial, beside those that come with an evaluation."""


@dataclass(frozen=True)
class Progress:
    """One report of a running trial."""

    clips: int
    """Training clips seen: the step under which the metrics are logged."""
    fraction: float
    """Share of the trial that is done, 0..1."""
    metrics: dict[str, float]
    """Metrics by name; empty at a heartbeat."""
    state: TrainState
    """What a checkpoint of this moment holds: `state.save(folder)`."""
    evaluation: Evaluation | None = None
    """The evaluation that the metrics come from."""
    bad_clips: list[BadClip] = field(default_factory=list)
    """Every unreadable clip met so far."""
    bad_rows: list[Problem] = field(default_factory=list)
    """Rows of the segment CSVs that can't be used, the first thousand of each split."""


def train(
    config: RunConfig,
    resume: Path | None = None,
    *,
    data: DataSource,
    device: str | torch.device | None = None,
    gpus: float | None = None,
    data_workers: int = 0,
    heartbeat: float = 5.0,
) -> Iterator[Progress]:
    """Trains a model, from the start or from the checkpoint in the folder `resume`.

    Every random choice is a function of `train.seed` and the step, so a trial that was interrupted ends where an
    unbroken one does. `heartbeat` is in seconds; `gpus` is how many the trial holds, for its costs.

    Where torch.distributed has several ranks, each calls this; they share every batch and yield at the same steps, each
    the same metrics. Only the first need save.

    Raises:
        ConfigError: more ranks than `train.batch_size` has clips.
        DataError: the data set can't be used, too many clips are bad, or none has a modality (`refuse_absent`).
        NumericError: the loss or an input is not finite; names the clips.
        CheckpointError: `resume` is damaged, or of another config or data set; says what differs.
    """
    device, ranks = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")), Ranks.here()
    _require_work_for(ranks, config)
    costs = Costs(device, (float(ranks.world) if device.type == "cuda" else 0.0) if gpus is None else gpus)
    train_set, eval_set = open_splits(data, config)
    config = completed(config, len(train_set.classes))
    bad_rows = [*train_set.problems.named, *eval_set.problems.named]
    total = total_steps(config, len(train_set))
    evaluations, reports = _spread(total, config.eval.times), _spread(total, REPORTS)
    state = TrainState.start(config, device) if resume is None else TrainState.load(resume, config, device)
    state.belong_to({data.split: data.fingerprint() for data in (train_set, eval_set)})
    state.total = total
    model = _shared(state.model, ranks, device)
    model = torch.compile(model) if config.train.compile else model
    batches = train_batches(
        train_set,
        config,
        first_step=state.step,
        rank=ranks.rank,
        world=ranks.world,
        workers=data_workers,
        known_bad=list(state.bad.values()),
    )
    stretch = Stretch(state.losses, config.train.batch_size, ranks)
    present, first_step, beat = Counter[str](), state.step, time.monotonic()

    while state.step < total:
        set_learning_rate(state.optimizer, learning_rate(state.step, total, config.train))
        batch = next(batches)
        stretch.add(_step(model, state, batch, config, device, ranks), batch.ids)
        state.step += 1
        state.bad |= {clip.row: clip for clip in batch.bad}
        present.update(batch.having())
        reports_now, evaluates_now = state.step in reports, state.step in evaluations
        if not (reports_now or evaluates_now or ranks.first(time.monotonic() - beat >= heartbeat)):
            continue

        stretch.check()
        metrics, evaluation = {}, None
        if reports_now or evaluates_now:
            metrics = stretch.end()
        if evaluates_now:
            evaluation = evaluate(state.eval_model, eval_set, config, device, data_workers)
            state.bad |= {clip.row: clip for clip in evaluation.bad}
            metrics |= evaluation.metrics
            refuse_absent(eval_set, len(eval_set), evaluation.present, config)
        everywhere = ranks.gather((state.bad, present))
        for bad, _ in everywhere:
            state.bad |= bad
        refuse_too_many(state.bad.values(), train_set, config)
        clips, read = (steps * config.train.batch_size for steps in (state.step, state.step - first_step))
        refuse_absent(train_set, read, sum((had for _, had in everywhere), Counter()), config)
        state.seconds += costs.lap()
        if metrics:
            metrics |= costs.metrics(state.seconds)
            state.record(clips, metrics)
        yield Progress(clips, state.step / total, metrics, state, evaluation, list(state.bad.values()), bad_rows)
        stretch.resume()
        beat = time.monotonic()


def total_steps(config: RunConfig, train_clips: int) -> int:
    """Optimizer steps of a trial: `train.steps`, or epochs over the training clips, at least one."""
    return config.train.steps or max(1, round(config.train.epochs * train_clips / config.train.batch_size))


def _require_work_for(ranks: Ranks, config: RunConfig) -> None:
    """Each rank has at least one clip of every batch; with mixup, one pair."""
    size, pairs = config.train.batch_size, -(-config.train.batch_size // 2)
    if ranks.world > (pairs if config.train.mixup else size):
        shared = f"the {pairs} pairs that mixup makes of {size} clips" if config.train.mixup else f"a batch of {size}"
        raise ConfigError([ConfigMistake("train.batch_size", f"{shared} can't be shared by {ranks.world} workers")])


def _shared(model: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """The model, its gradients averaged over the ranks. Its buffers are constants, which nobody needs to send."""
    if not ranks.are_several:
        return model
    return DistributedDataParallel(model, [device] if device.type == "cuda" else None, broadcast_buffers=False)


def _step(
    model: Any,
    state: TrainState,
    batch: Batch,
    config: RunConfig,
    device: torch.device,
    ranks: Ranks,
) -> torch.Tensor:
    """One optimizer step over the batch, in micro-batches; returns this rank's part of the global batch's mean loss,
    still on the device.
    """
    refuse_non_finite(batch.inputs, batch.ids)
    total, left = torch.zeros((), device=device), len(batch)
    state.model.train()
    state.optimizer.zero_grad(set_to_none=True)
    for example in augmented_parts(batch, config, device, config.train.micro_batch):
        left -= len(example)
        share = len(example) / config.train.batch_size
        # Ranks may have different numbers of parts: they meet once a step, behind the last one.
        with model.no_sync() if ranks.are_several and left else nullcontext():
            with torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bfloat16"):
                logits = model(
                    example.inputs, present=example.present, blank=config.train.dropout_of, mel_mask=example.mel_mask
                )
            loss = F.binary_cross_entropy_with_logits(logits.float(), example.labels)
            (loss * share * ranks.world).backward()  # gradients are averaged over the ranks
        total += loss.detach() * share
    if config.train.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.train.clip_norm)
    state.optimizer.step()
    state.update_average()
    return total


def _spread(total: int, times: int) -> set[int]:
    """`times` steps, or as many as there are, evenly spaced, the last one `total`."""
    times = min(times, total)
    return {round(total * (k + 1) / times) for k in range(times)}


if __name__ == "__main__":
    from perceiver.alone import main

    main()
