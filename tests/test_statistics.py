"""The board's statistics, against scipy and against what is known of small samples."""

import random
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.rank.statistics import detectable, difference, estimate, holm
from orchestrator.rank.student import shift_seen, t_quantile, t_tail

scores = st.floats(0.01, 1.0, allow_nan=False).map(lambda value: round(value, 4))
samples = st.lists(scores, min_size=2, max_size=8)
degrees = st.floats(1, 300)


@given(st.floats(0, 1e4), degrees)
def test_the_tail_of_t_is_scipys(t: float, df: float) -> None:
    assert t_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-9, abs=1e-300)


@given(st.floats(1e-7, 0.499), degrees)
def test_the_quantile_of_t_is_scipys(tail: float, df: float) -> None:
    assert t_quantile(tail, df) == pytest.approx(stats.t.isf(tail, df), rel=1e-8)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 4])
def test_the_shift_seen_has_the_power_that_the_noncentral_t_gives(df: int, alpha: float) -> None:
    threshold = t_quantile(alpha / 2, df)
    shift = shift_seen(threshold, df, 0.8)
    assert stats.nct.sf(threshold, df, shift) == pytest.approx(0.8, abs=1e-3)


@given(samples)
def test_the_interval_of_a_mean_is_scipys(values: list[float]) -> None:
    assume(np.std(values) > 1e-6)
    found = estimate(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
    assert found.spread == pytest.approx(np.std(values, ddof=1))


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=8))
def test_with_the_same_seeds_the_test_is_scipys_paired_one(pairs: list[tuple[float, float]]) -> None:
    first, second = (np.array(values) for values in zip(*pairs, strict=True))
    assume(np.std(first - second) > 1e-6)
    found = difference(dict(enumerate(first)), dict(enumerate(second)))
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert found.method == "paired"
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy's, where one sample has no spread
@given(samples, samples)
def test_with_other_seeds_the_test_is_scipys_welch_one(first: list[float], second: list[float]) -> None:
    assume(np.std(first) + np.std(second) > 1e-3)
    found = difference(dict(enumerate(first)), dict(enumerate(second, start=100)))
    expected = stats.ttest_ind(first, second, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.method == "welch"
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_order_of_the_seeds_does_not_matter() -> None:
    baseline = {0: 0.40, 1: 0.42, 2: 0.41}
    values = {0: 0.43, 1: 0.44, 2: 0.45}
    found = [difference(dict(order), baseline) for order in permutations(values.items())]
    assert [item.p for item in found] == pytest.approx([found[0].p] * len(found))
    assert {item.method for item in found} == {"paired"}


def test_one_seed_gives_a_mean_and_no_interval() -> None:
    found = estimate([0.4])
    assert (found.mean, found.spread, found.half_width) == (0.4, None, None)


@pytest.mark.parametrize(("first", "second"), [({0: 0.5}, {0: 0.4}), ({0: 0.5, 1: 0.6}, {0: 0.4})])
def test_one_seed_gives_a_difference_and_no_test(first: dict[int, float], second: dict[int, float]) -> None:
    found = difference(first, second)
    assert (found.method, found.p, found.low) == ("one seed", None, None)
    assert found.value > 0


@pytest.mark.parametrize("shift", [0.0, 0.1, 1 / 3])
def test_seeds_without_any_spread_give_no_test(shift: float) -> None:
    baseline = {seed: 0.1 * seed for seed in range(1, 4)}
    found = difference({seed: score + shift for seed, score in baseline.items()}, baseline)
    assert (found.method, found.p) == ("no spread", None)
    assert estimate([0.1 + 0.2, 0.3, 0.3]).half_width is None


def test_two_seeds_need_a_lead_of_more_than_twelve_standard_errors() -> None:
    found = difference({0: 0.50, 1: 0.52}, {0: 0.40, 1: 0.40})
    assert found.p == pytest.approx(2 / np.pi * np.arctan(0.01 / 0.11))  # t with one degree of freedom is Cauchy's
    assert found.p is not None and found.p > 0.05


def holm_by_definition(p_values: list[float]) -> list[float]:
    """Smallest level at which the step-down procedure, carried out step by step, rejects each hypothesis."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    return [
        min(1.0, max(p_values[other] * (len(order) - place) for place, other in enumerate(order[: rank + 1])))
        for rank in (order.index(index) for index in range(len(p_values)))
    ]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_correction_is_the_step_down_procedure(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(holm_by_definition(p_values))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_never_exceeds_bonferroni(p_values: list[float]) -> None:
    for p, corrected in zip(p_values, holm(p_values), strict=True):
        assert corrected is not None
        assert p <= corrected <= min(1.0, p * len(p_values)) + 1e-15


def test_what_was_not_tested_is_not_a_comparison() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, 0.02, None, 0.04]


def made_board(rng: random.Random, shifts: list[float]) -> list[float | None]:
    """Corrected p values of configurations with these true differences, three seeds, half of the noise common."""
    common = [rng.gauss(0, 1) for _ in range(3)]
    noise = [{seed: common[seed] + rng.gauss(0, 1) for seed in range(3)} for _ in range(len(shifts) + 1)]
    compared = [
        difference({seed: value + shift for seed, value in own.items()}, noise[0])
        for own, shift in zip(noise[1:], shifts, strict=True)
    ]
    return holm([item.p for item in compared])


def test_a_board_without_any_effect_rarely_shows_one() -> None:
    rng = random.Random(0)
    boards = [made_board(rng, [0.0] * 4) for _ in range(1500)]
    alarms = sum(any(p is not None and p < 0.05 for p in board) for board in boards)
    assert alarms / len(boards) < 0.065  # 0.05 and two standard errors


def test_the_detectable_difference_is_shown_about_four_times_in_five() -> None:
    rng = random.Random(1)
    errors = [2**0.5] * 2000  # true standard deviation of a paired difference in made_board
    exact = shift_seen(t_quantile(0.05 / 2, 2), 2, 0.8) * errors[0] / 3**0.5
    shown = [made_board(rng, [exact]) for _ in errors]
    assert sum(p is not None and p < 0.05 for (p,) in shown) / len(errors) == pytest.approx(0.8, abs=0.03)


def test_more_comparisons_ask_for_a_larger_difference() -> None:
    one = difference({0: 0.5, 1: 0.52, 2: 0.53}, {0: 0.4, 1: 0.41, 2: 0.43})
    assert detectable([]) is None
    assert detectable([difference({0: 1.0}, {0: 0.0})]) is None
    alone, among_four = detectable([one]), detectable([one] * 4)
    assert alone is not None and among_four is not None and alone < among_four
