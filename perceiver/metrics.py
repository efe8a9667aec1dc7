"""Scores of clips -> mean average precision and its companions (facts, 3.2).

    metrics = scores_to_metrics(scores, labels)        # both (clips, classes)
    metrics.mAP, metrics.per_class_AP[3]

A column is a class. The first version of the Perceiver paper had them the other way round, which gave mAPs that were
far too high (its appendix F): swapped arrays are refused where they can be told.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from perceiver.errors import DataError, NumericError


@dataclass(frozen=True)
class Metrics:
    """Means over the `classes_used` that have a positive clip, and per class (K,): average precision and AUC, NaN where
    not defined, and the number of positive clips. `AUC` and `d_prime` are NaN where no class has also a negative: there
    is nothing to tell apart. Else `d_prime` is finite.
    """

    mAP: float
    AUC: float
    d_prime: float
    per_class_AP: np.ndarray
    per_class_AUC: np.ndarray
    positives: np.ndarray
    classes_used: int


def scores_to_metrics(scores: np.ndarray, labels: np.ndarray, classes: int | None = None) -> Metrics:
    """Metrics of scores against labels of 0 and 1, both (clips, classes).

    AP as sklearn's `average_precision_score` (ties share one threshold); mAP its plain mean over the classes that have
    a positive; d-prime of the mean AUC, as PANNs and AST compute it. `classes`, where given, guards against swapped
    axes.

    Raises:
        NumericError: a score is NaN or infinite.
        DataError: shapes that differ or are swapped, labels other than 0 and 1, or no positive at all.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    _check(scores, labels, classes)
    positives = labels.sum(axis=0).astype(int)
    has_positive, has_both = positives > 0, (positives > 0) & (positives < len(labels))
    ap, auc = np.full(labels.shape[1], np.nan), np.full(labels.shape[1], np.nan)
    for column in np.flatnonzero(has_positive):
        ap[column] = average_precision_score(labels[:, column], scores[:, column])
    for column in np.flatnonzero(has_both):
        auc[column] = roc_auc_score(labels[:, column], scores[:, column])
    mean_auc = float(np.nanmean(auc)) if has_both.any() else math.nan
    d_prime = _d_prime(mean_auc, positives[has_both], len(labels))
    return Metrics(float(np.nanmean(ap)), mean_auc, d_prime, ap, auc, positives, int(has_positive.sum()))


def _d_prime(mean_auc: float, positives: np.ndarray, clips: int) -> float:
    """d' = sqrt(2) * Phi^-1(AUC) (Green and Swets 1966; Gemmeke et al. 2017 give it for AudioSet), within what the
    clips can show.

    An AUC of 1 would be infinitely good. The least that K classes can fall short of it is one tie between a positive
    and a negative clip, in the class with the most such pairs: 1 / (2 * P * N) of that class, 1 / K of it in the mean.
    The mean AUC is held so far from 0 and from 1 (after Macmillan and Kaplan 1985, who hold rates 1 / (2 * n) from
    them): every other AUC that these clips can show keeps its d'. `positives` are those of the classes that have both.
    """
    if not len(positives):
        return math.nan
    least = 1 / (2 * len(positives) * int((positives * (clips - positives)).max()))
    return float(math.sqrt(2) * norm.ppf(min(max(mean_auc, least), 1 - least)))


def _check(scores: np.ndarray, labels: np.ndarray, classes: int | None) -> None:
    if scores.ndim != 2 or scores.shape != labels.shape:
        hint = "; one of them is transposed" if scores.ndim == 2 and scores.shape == labels.shape[::-1] else ""
        raise DataError(f"scores {scores.shape} and labels {labels.shape} must both be (clips, classes){hint}")
    if classes is not None and labels.shape[1] != classes:
        raise DataError(
            f"scores and labels are {labels.shape}, but there are {classes} classes: expected (clips, classes)"
        )
    if not np.isfinite(scores).all():
        clips, columns = np.nonzero(~np.isfinite(scores))
        first = f"the first of clip {clips[0]} and class {columns[0]}"
        raise NumericError(f"{len(clips)} of {scores.size} scores are NaN or infinite, {first}")
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels must be 0 or 1")
    if not labels.any():
        raise DataError(f"none of the {len(labels)} clips has a label: average precision is not defined")
