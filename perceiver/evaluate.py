"""Measures a model: overlapping clips cover each file, their scores are averaged, and mAP is taken over the files.

Paper, section 4.2: 16 clips of 32 frames over the ten seconds. A model with both modalities is also measured with each
alone, the other zeroed as by training's dropout.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceiver.config import RunConfig
from perceiver.data.audioset import ClassLabel
from perceiver.data.bad_clips import refuse_too_many
from perceiver.data.batch import BadClip, Batch
from perceiver.data.dataset import DataSet
from perceiver.data.loading import eval_batches
from perceiver.errors import NumericError
from perceiver.metrics import Metrics, scores_to_metrics
from perceiver.model.inputs import refuse_non_finite
from perceiver.ranks import Ranks


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a data set."""

    metrics: dict[str, float]
    """By name, as in design 4.7."""
    overall: Metrics
    """Per class too, with every modality."""
    files: int
    """Files that were measured."""
    bad: list[BadClip]
    """Files that could not be read."""
    classes: Sequence[ClassLabel]
    """The data set's classes, in the order of the logits."""
    present: Mapping[str, int]
    """Clips that had each modality."""
    example: dict[str, Tensor]
    """Inputs of the first clip, a batch of one: for pictures of what the model does with it."""

    def per_class(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Header and rows of a table: each class that has a positive, its positives and its average precision."""
        rows = [
            (label.mid, label.name, int(positives), float(ap))
            for label, positives, ap in zip(
                self.classes, self.overall.positives, self.overall.per_class_AP, strict=True
            )
            if positives
        ]
        return ("mid", "name", "positives", "AP"), rows


@dataclass
class Tally:
    """Scores as far as they are added up: of one rank's files, or of several ranks' together."""

    sums: dict[str, np.ndarray]
    """By view: the sum over a file's clips, (files, classes)."""
    counts: np.ndarray
    """Clips of each file, (files,)."""
    loss: float = 0.0
    """Summed over the clips."""
    bad: list[BadClip] = field(default_factory=list)
    example: dict[str, Tensor] = field(default_factory=dict)
    present: Counter[str] = field(default_factory=Counter)
    """Clips that had each modality."""

    def of_all(self, ranks: Ranks) -> "Tally":
        """What all ranks have together: they read different files, so each counts once."""
        sums = {view: ranks.sum(torch.from_numpy(total)).numpy() for view, total in self.sums.items()}
        counts = ranks.sum(torch.from_numpy(self.counts)).numpy()
        loss = ranks.sum(torch.tensor(self.loss, dtype=torch.float64)).item()
        bad = [clip for found in ranks.gather(self.bad) for clip in found]
        present = sum(ranks.gather(self.present), Counter[str]())
        return Tally(sums, counts, loss, bad, self.example, present)

    def evaluation(self, data: DataSet) -> Evaluation:
        """The metrics over all files that were read."""
        measured = _metrics(self.sums, self.counts, data, self.loss / max(self.counts.sum(), 1))
        files = int(self.counts.astype(bool).sum())
        return Evaluation(*measured, files, self.bad, data.classes, self.present, self.example)


def evaluate(
    model: nn.Module, data: DataSet, config: RunConfig, device: torch.device, data_workers: int = 0
) -> Evaluation:
    """Scores of the model on every readable file of the set, each file counted once.

    Ranks share the files, and each returns the whole evaluation, with an example of its own.

    Raises:
        DataError: no file could be read, or too many could not.
        NumericError: an input or a score is not finite; names the clips.
    """
    ranks = Ranks.here()
    found = tally(model, data, config, device, data_workers, ranks).of_all(ranks)
    refuse_too_many(found.bad, data, config)
    return found.evaluation(data)


def tally(
    model: nn.Module,
    data: DataSet,
    config: RunConfig,
    device: torch.device,
    data_workers: int,
    ranks: Ranks,
) -> Tally:
    """What the model makes of a rank's files. The sum over all ranks is what one rank alone would find; raises the same
    as `evaluate`.
    """
    was_training = model.training
    model.eval()
    views = _views(config)
    found = Tally({view: np.zeros((len(data), config.model.logits)) for view in views}, np.zeros(len(data)))
    for batch in eval_batches(data, config, rank=ranks.rank, world=ranks.world, workers=data_workers, device=device):
        found.bad += batch.bad
        refuse_non_finite(batch.inputs, batch.ids)
        found.present.update(batch.having())
        found.example = found.example or {name: value[:1] for name, value in batch.inputs.items()}
        for view, kept in views.items():
            logits = _logits(model, batch, kept, config)
            if view == "":
                found.loss += F.binary_cross_entropy_with_logits(logits, batch.labels).item() * len(batch)
            scores = logits.sigmoid() if config.eval.average == "probabilities" else logits
            np.add.at(found.sums[view], batch.rows.numpy(), _finite(scores.double().cpu().numpy(), batch))
        np.add.at(found.counts, batch.rows.numpy(), 1)
    model.train(was_training)
    return found


def _views(config: RunConfig) -> dict[str, tuple[str, ...]]:
    """Suffix of the metric -> the modalities that the model gets to see."""
    modalities = config.model.inputs.modalities
    alone = {f"_{name}_only": (name,) for name in modalities} if len(modalities) == 2 else {}
    return {"": modalities} | alone


@torch.no_grad()
def _logits(model: nn.Module, batch: Batch, kept: tuple[str, ...], config: RunConfig) -> Tensor:
    present = {
        name: mask if name in kept else torch.zeros_like(mask, dtype=torch.bool) for name, mask in batch.present.items()
    }
    device = batch.labels.device
    with torch.autocast(device.type, torch.bfloat16, enabled=config.train.precision == "bfloat16"):
        logits = model(batch.inputs, present=present, blank=config.train.dropout_of)
    return logits.float()


def _finite(scores: np.ndarray, batch: Batch) -> np.ndarray:
    bad = [name for name, finite in zip(batch.ids, np.isfinite(scores).all(axis=1), strict=True) if not finite]
    if bad:
        raise NumericError(f"the model's scores are NaN or infinite on the clips {', '.join(dict.fromkeys(bad))}")
    return scores


def _metrics(
    sums: dict[str, np.ndarray], counts: np.ndarray, data: DataSet, loss: float
) -> tuple[dict[str, float], Metrics]:
    """Metrics by name, and the whole of them for all modalities together; over the files that were read."""
    read = counts > 0
    labels = data.labels(np.flatnonzero(read).tolist())
    classes = len(data.classes)
    found = {view: scores_to_metrics(total[read] / counts[read, None], labels, classes) for view, total in sums.items()}
    overall = found.pop("")
    named = {"eval/mAP": overall.mAP, "eval/AUC": overall.AUC, "eval/d_prime": overall.d_prime, "eval/loss": loss}
    return named | {f"eval/mAP{view}": metrics.mAP for view, metrics in found.items()}, overall
