"""YAML files that could hurt or confuse: each gets one message with its place."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.plan.document import MAX_BYTES, parse, read

LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def mistakes_of(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as caught:
        parse(text, "mine.yaml")
    return [(mistake.line, mistake.column, mistake.message) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [1, 2\n", 2, "expected ',' or ']'"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a:\n\tb: 1\n", 2, "a tab indents this line; YAML wants spaces"),
        ("a: 1\nb: *nothing\n", 2, "undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, "several documents"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "is not allowed"),
        ("a: 2026-13-45\n", 1, "month must be in 1..12"),
        ("a: 2026-11-28\n", 1, "2026-11-28: a date is no value here; in quotes it is text"),
        ("a: !!binary aGk=\n", 1, "is not allowed"),
        ("a: !!int abc\n", 1, "abc is no int"),
        (f"a: {'9' * 5000}\n", 1, "digits"),
        ("a: 1\nb: \x07\n", 2, "0x07 is not allowed"),
        ("a: 1\nb: \0\n", 2, "0x00 is not allowed"),
        ("? [1, 2]\n: 3\n", 1, "a key must be a word"),
        ("- a\n- b\n", 1, "expected a mapping"),
        ("", 1, "expected a mapping"),
        ("just words", 1, "expected a mapping"),
        ("a: 1\nb: 2\na: 3\n", 3, "a is here twice; first in line 1"),
        ("a: {b: 1, c: 2, b: 3}\n", 1, "b is here twice"),
        (LAUGHS, 0, "expand to more than 100,000 values"),
        ("a: &a [*a]\n", 0, "expand to more than"),
        ("[" * 3000, 0, "nested too deeply"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(text: str, line: int, words: str) -> None:
    ((found_line, _, message),) = mistakes_of(text)
    assert (found_line, words in message) == (line, True), message


def test_all_duplicate_keys_are_told_at_once() -> None:
    assert len(mistakes_of("a: 1\na: 2\nb: {c: 1, c: 2}\n")) == 2


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(50 * MAX_BYTES)
    with pytest.raises(SpecError, match=r"50\.0 MB is more than the 1 MB"):
        read(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(SpecError, match="byte 3 is no UTF-8"):
        read(path)


def test_a_missing_file_and_a_folder_are_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(SpecError, match="directory"):
        read(tmp_path)


EDITORS = {
    "1e-4": 0.0001,
    "1E3": 1000.0,
    "-2.5e+1": -25.0,
    ".5": 0.5,
    "1.": 1.0,
    "010": 10,
    "0o10": 8,
    "0x1F": 31,
    "+7": 7,
    "-.INF": -math.inf,
    "True": True,
    "FALSE": False,
    "~": None,
    "Null": None,
    "": None,
    "!!float 3": 3.0,
}
"""Scalars, and what an editor with the core schema of YAML 1.2 shows them as."""
WORDS = ["1_000", "12:30:45", "1:30", "2026-11-28 or so", "yes", "no", "on", "Off", "y", "0b11", "-0x1F", "=", "1e"]
"""Scalars that YAML 1.1 takes for numbers and truth values, or nearly for dates, and that are words in YAML 1.2."""


def test_scalars_are_what_an_editor_shows() -> None:
    data = parse("\n".join(f"- {text}" for text in EDITORS).replace("-", "a:\n-", 1), "mine.yaml").data["a"]
    assert list(map(repr, data)) == list(map(repr, EDITORS.values()))
    data = parse("a:\n" + "\n".join(f"- {text}" for text in WORDS), "mine.yaml").data["a"]
    assert data == WORDS


@given(st.one_of(st.integers(), st.floats(allow_nan=False)))
def test_every_number_that_json_writes_is_that_number(number: int | float) -> None:
    text = json.dumps(number).replace("Infinity", ".inf")
    assert parse(f"a: {text}", "mine.yaml").data["a"] == number


def test_keys_are_text_as_written() -> None:
    assert parse("on: 1\n2: 3\nyes: 4\n", "mine.yaml").data == {"on": 1, "2": 3, "yes": 4}


def test_anchors_and_merges_are_plain_yaml() -> None:
    data = parse("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne: *x\n", "mine.yaml").data
    assert data["d"] == {"b": 1, "c": 3}
    assert data["e"] == {"b": 1, "c": 2}


def test_places_are_those_of_keys_and_items() -> None:
    document = parse("a:\n  b.c: 1\n  d: [10, 20]\n", "mine.yaml")
    assert document.places[("a", "b.c")] == (2, 3)
    assert document.places[("a", "d", 1)] == (3, 11)
    assert document.mistake(("a", "b.c", "deeper"), "x").line == 2


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        assert isinstance(parse(text, "mine.yaml").data, dict)
    except SpecError as error:
        assert error.mistakes
