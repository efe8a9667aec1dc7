"""Metrics are sklearn's, on random and adversarial scores, and swapped axes are refused."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from perceiver.errors import DataError, NumericError
from perceiver.metrics import scores_to_metrics

SHAPES = st.tuples(st.integers(2, 30), st.integers(1, 8))


@settings(deadline=None)
@given(st.data())
def test_map_and_auc_are_sklearns_also_with_ties_and_empty_classes(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    scores = data.draw(arrays(np.float32, shape, elements=st.sampled_from([-1e30, -1.0, 0.0, 0.25, 0.5, 1e30])))
    labels = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0])))
    if not labels.any():
        with pytest.raises(DataError, match="has a label"):
            scores_to_metrics(scores, labels)
        return
    metrics = scores_to_metrics(scores, labels)
    used = labels.any(axis=0)
    assert metrics.mAP == pytest.approx(average_precision_score(labels[:, used], scores[:, used], average="macro"))
    assert metrics.classes_used == used.sum()
    assert np.isnan(metrics.per_class_AP).tolist() == (~used).tolist()
    both = used & ~labels.all(axis=0)
    if both.any():
        auc = np.mean([roc_auc_score(labels[:, k], scores[:, k]) for k in np.flatnonzero(both)])
        assert pytest.approx(auc) == metrics.AUC
        if 0 < auc < 1:
            assert metrics.d_prime == pytest.approx(math.sqrt(2) * norm.ppf(auc))
        assert math.isfinite(metrics.d_prime)
    else:
        assert math.isnan(metrics.AUC) and math.isnan(metrics.d_prime)


def test_d_prime_is_that_of_the_mean_auc_as_published() -> None:
    assert math.sqrt(2) * norm.ppf(0.959) == pytest.approx(2.46, abs=0.01)


def test_a_perfect_ranking_has_the_d_prime_of_the_smallest_error_that_the_clips_could_show() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 0], [0, 1], [0, 0]])  # 6 pairs in the first class, 4 in the second
    perfect = scores_to_metrics(labels, labels)
    assert perfect.AUC == 1 and perfect.d_prime == pytest.approx(math.sqrt(2) * norm.ppf(1 - 1 / (2 * 2 * 6)))
    tied = labels.astype(float)
    tied[2, 0] = tied[1, 0] = 0.5
    assert scores_to_metrics(tied, labels).d_prime == pytest.approx(perfect.d_prime)
    swapped = labels.astype(float)
    swapped[2, 0] = 2.0
    assert scores_to_metrics(swapped, labels).d_prime < perfect.d_prime
    worst = scores_to_metrics(-labels, labels)
    assert worst.AUC == 0 and worst.d_prime == pytest.approx(-perfect.d_prime)


def test_known_values() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 0]])
    metrics = scores_to_metrics(np.array([[0.9, 0.1], [0.8, 0.1], [0.7, 0.1], [0.1, 0.1]]), labels)
    assert metrics.per_class_AP.tolist() == pytest.approx([(1 + 2 / 3) / 2, 1 / 4])
    assert metrics.per_class_AUC.tolist() == pytest.approx([0.75, 0.5])
    assert metrics.positives.tolist() == [2, 1]


def test_nothing_warns_where_a_class_is_empty_or_full() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = scores_to_metrics(np.zeros((3, 3)), np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]]))
    assert metrics.classes_used == 2 and metrics.per_class_AP[0] == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_an_error_that_says_where(value: float) -> None:
    scores = np.zeros((4, 3))
    scores[2, 1] = value
    with pytest.raises(NumericError, match="clip 2 and class 1"):
        scores_to_metrics(scores, np.ones((4, 3)))


def test_the_papers_first_mistake_is_refused() -> None:
    """Version 1 gave sklearn the transposed arrays: clips and classes were swapped and mAP came out far too high."""
    rng = np.random.default_rng(0)
    prevalence = 1 / (2 + np.arange(20))  # a few common classes and many rare ones, as in AudioSet
    labels = (rng.random((200, 20)) < prevalence).astype(int)
    labels[:, 0] |= ~labels.any(axis=1)
    scores = prevalence + 0.1 * rng.random((200, 20))  # knows how common a class is, and nothing about a clip
    right = scores_to_metrics(scores, labels, classes=20).mAP
    swapped = average_precision_score(labels.T, scores.T, average="macro")
    assert right == pytest.approx(labels.mean(), abs=0.1) and swapped > 2 * right
    with pytest.raises(DataError, match="20 classes"):
        scores_to_metrics(scores.T, labels.T, classes=20)
    with pytest.raises(DataError, match="transposed"):
        scores_to_metrics(scores.T, labels)


def test_labels_must_be_zeros_and_ones() -> None:
    with pytest.raises(DataError, match="0 or 1"):
        scores_to_metrics(np.zeros((2, 2)), np.array([[0.5, 1], [0, 1]]))
