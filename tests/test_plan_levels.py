"""The levels of a range, whoever draws them: inside it, exact where it has a step, different, and found again."""

import random
from fractions import Fraction
from itertools import islice
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.combine import drawn, points
from orchestrator.plan.levels import count_levels, level_at, levels
from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.space import Space, type_of
from orchestrator.plan.spec import Sweep, parse_sweep
from orchestrator.plan.vary import Range
from orchestrator.run.study import Study

REAL, WHOLE = "model.inputs.audio.mel_mean", "model.inputs.audio.segment"
"""Keys that hold any number from -1000 to 1000, and a whole number from 1 to 65,536."""

TODAYS = [
    ({"low": 1e-4, "high": 1e-1, "scale": "log"}, False, [0.03414, 0.01879, 0.001827, 0.0005981, 0.003418]),
    ({"low": 3e-4, "high": 3e-2, "scale": "log"}, False, [0.01465, 0.009841, 0.002081, 0.0009885, 0.00316]),
    ({"low": 0.0, "high": 0.6}, False, [0.5067, 0.4548, 0.2523, 0.1554, 0.3068]),
    ({"low": 0.9, "high": 0.999}, False, [0.9836, 0.975, 0.9416, 0.9256, 0.9506]),
    ({"low": 0.99, "high": 0.9999}, False, [0.9984, 0.9975, 0.9942, 0.9926, 0.9951]),
    ({"low": -3.0, "high": 5.0}, False, [3.755, 3.064, 0.3646, -0.9287, 1.09]),
    ({"low": 10000, "high": 12000}, False, [11690.0, 11520.0, 10840.0, 10520.0, 11020.0]),
    ({"low": 0.0, "high": 0.6, "step": 0.1}, False, [0.5, 0.5, 0.2, 0.1, 0.3]),
    ({"low": 0.0, "high": 0.3, "step": 0.05}, False, [0.25, 0.25, 0.1, 0.05, 0.15]),
    ({"low": 1, "high": 8}, True, [7, 7, 4, 3, 5]),
    ({"low": 1, "high": 512, "scale": "log"}, True, [174, 96, 9, 3, 17]),
    ({"low": 16, "high": 128, "step": 16}, True, [112, 112, 64, 48, 80]),
    ({"low": 12345, "high": 12349}, True, [12349, 12348, 12347, 12346, 12347]),
]
"""Draws at 0.84, 0.76, 0.42, 0.26, 0.51 (Python's random, seed 0) as they were before narrow ranges were mended."""


def sweep(by: str, factors: dict[str, Any], trials: int = 12, base: str = "tiny", **changes: Any) -> Sweep:
    vary = {"by": by, "trials": trials, "factors": factors} | changes
    return parse_sweep(yaml.safe_dump({"sweep": "mine", "base": base, "vary": vary}, sort_keys=False), "mine.yaml")


def proposed(of: Sweep, count: int) -> list[dict[str, Any]]:
    """What a search proposes, with results that pull it about."""
    study, found = Study(of), []
    for number in range(count):
        proposal = study.ask()
        assert proposal is not None
        found.append(proposal.changes)
        study.tell(proposal.number, [(1, float(number % 5))], "finished")
    return found


@pytest.mark.parametrize(("ends", "whole", "expected"), TODAYS)
def test_draws_that_were_right_keep_their_digits(ends: dict[str, Any], whole: bool, expected: list[float]) -> None:
    generator = random.Random(0)
    assert repr([level_at(Range(**ends), generator.random(), whole) for _ in expected]) == repr(expected)


def test_proposals_that_were_right_keep_their_digits() -> None:
    factors = {
        "train.lr": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "train.video_dropout": {"low": 0.0, "high": 0.6},
        "train.mixup": {"low": 0.0, "high": 1.0, "step": 0.25},
        "model.layers_per_block": {"low": 0, "high": 6},
    }
    assert list(proposed(sweep("tpe", factors), 1)[0].values()) == [0.00443, 0.4291, 0.75, 3]


NARROW = [
    {"low": 0.999, "high": 0.99999},
    {"low": 0.00123444, "high": 0.00123448},
    {"low": 345, "high": 345.04},
    {"low": 0.999, "high": 0.99995, "step": 0.00005},
    {"low": 0.999, "high": 1.0, "scale": "log"},
    {"low": -0.99999, "high": -0.999},
    {"low": 0.1, "high": 1.7, "step": 0.1},
    {"low": 0, "high": 1, "step": 1e-9},
    {"low": 0.8, "high": 2.0, "step": 0.1},
]


@pytest.mark.parametrize("by", ["random", "sobol", "tpe", "nsga2"])
@pytest.mark.parametrize("ends", NARROW, ids=str)
def test_a_narrow_range_gives_as_many_different_levels_as_asked(by: str, ends: dict[str, Any]) -> None:
    if by in ("tpe", "nsga2"):
        found = [changes[REAL] for changes in proposed(sweep(by, {REAL: ends}, startup=6), 12)]
    else:
        found = [each.changes[REAL] for each in plan_sweep(sweep(by, {REAL: ends})).configurations[1:]]
    assert len(set(found)) == 12
    for level in found:
        check_level(level, ends, whole=False)


def test_a_gaussian_process_draws_such_levels_too() -> None:
    for ends in (NARROW[0], NARROW[3]):
        found = [changes[REAL] for changes in proposed(sweep("gp", {REAL: ends}, startup=2), 4)]
        assert len(set(found)) == 4
        for level in found:
            check_level(level, ends, whole=False)


def test_every_draw_of_a_grid_of_frequencies_is_on_it() -> None:
    ends = Range(low=10000, high=12000, step=125)
    assert {level_at(ends, unit / 170, False) for unit in range(170)} == {10000.0 + 125 * k for k in range(17)}


def test_a_step_as_long_as_the_range_leaves_its_two_ends() -> None:
    assert list(levels(Range(low=0.8, high=0.9, step=0.1), False)) == [0.8, 0.9]


def is_on_grid(level: float, ends: dict[str, Any]) -> bool:
    low, step = Fraction(str(ends["low"])), Fraction(str(ends["step"]))
    return float(low + round((Fraction(str(level)) - low) / step) * step) == level


@st.composite
def ranges(draw: st.DrawFn, whole: bool) -> dict[str, Any]:
    """Ends as people write them, wide and narrow, on either side of zero, with a step, a log scale, or neither."""
    digits = 0 if whole else draw(st.integers(0, 9))
    unit = Fraction(1, 10**digits)
    low = draw(st.integers(1 if whole else -900, 900)) + (draw(st.integers(0, 10**digits - 1)) * unit)
    high = min(low + draw(st.sampled_from([1, 3, 40, 1000, 10**digits])) * unit, Fraction(1000))
    ends: dict[str, Any] = {"low": number(low, whole), "high": number(high, whole)}
    kind = draw(st.sampled_from(["plain", "step", "log"]))
    if kind == "step":
        ends["step"] = number(draw(st.integers(1, max(1, int((high - low) / unit)))) * unit, whole)
    if kind == "log" and low > 0:
        ends["scale"] = "log"
    return ends


def number(exact: Fraction, whole: bool) -> int | float:
    return int(exact) if whole else float(exact)


def test_steps_as_small_as_numbers_can_tell_are_found_again() -> None:
    ends = {"low": 128.0, "high": 128.00000003, "step": 1e-8}
    asked = sweep("random", {REAL: ends})
    space = Space(asked.baseline, asked.vary.factors)
    found = [point.changes[REAL] for point in islice(points(asked.vary, asked.baseline), 20)]
    assert {128.00000001, 128.00000002} <= set(found)
    assert all(space.point({REAL: level}) == {REAL: level} for level in found)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["random", "sobol"]), st.integers(0, 5))
def test_every_draw_lies_within_its_range_and_is_found_again(
    data: st.DataObject, whole: bool, by: str, seed: int
) -> None:
    ends, key = data.draw(ranges(whole)), WHOLE if whole else REAL
    asked = sweep(by, {key: ends}, seed=seed)
    space = Space(asked.baseline, asked.vary.factors)
    for point in islice(points(asked.vary, asked.baseline), 20):
        check_level(point.changes[key], ends, whole)
        assert space.point(point.changes) == point.changes
    edge = drawn(space, [1 - 2**-53])[key]
    assert edge == drawn(space, [1 - 2**-53])[key]
    check_level(edge, ends, whole)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["tpe", "nsga2"]))
def test_every_proposal_lies_within_its_range_and_is_found_again(data: st.DataObject, whole: bool, by: str) -> None:
    ends, key = data.draw(ranges(whole)), WHOLE if whole else REAL
    asked = sweep(by, {key: ends, "train.video_dropout": {"low": 0.0, "high": 0.9}}, startup=2)
    space = Space(asked.baseline, asked.vary.factors)
    for changes in proposed(asked, 5):
        check_level(changes[key], ends, whole)
        assert space.point(changes) == changes


def check_level(level: float, ends: dict[str, Any], whole: bool) -> None:
    assert isinstance(level, int if whole else float)
    assert ends["low"] <= level <= ends["high"]
    assert "step" not in ends or is_on_grid(level, ends)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_the_levels_of_a_range_are_those_that_can_be_drawn(data: st.DataObject, whole: bool) -> None:
    ends = Range(**data.draw(ranges(whole)))
    if count_levels(ends, whole) > 3000:
        return
    every = list(levels(ends, whole))
    assert len(every) == len(set(every)) <= count_levels(ends, whole)
    assert every == sorted(every)
    generator = random.Random(0)
    assert {level_at(ends, generator.random(), whole) for _ in range(300)} <= set(every)


def test_keys_of_these_tests_hold_what_they_say() -> None:
    assert (type_of(REAL), type_of(WHOLE)) == (float, int)
