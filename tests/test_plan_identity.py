"""Identities: what changes them, what does not, and golden values that a new version must not move unseen."""

import hashlib
from pathlib import Path

import pytest

import perceiver.config
from orchestrator.plan.identity import _NOT_COMPUTING, canonical, code_digest, code_text, config_digest, identity
from perceiver.config import RunConfig, with_changes

SOURCE = '''
"""A module."""

import math  # for pi


class Circle:
    """A circle."""

    radius: float = 1.0
    """In metres."""

    def area(self, precise: bool = True) -> float:
        """Its area."""
        return math.pi * self.radius**2 if precise else f"{self.radius!r:>{10}}"
'''
REFORMATTED = """
import math
class Circle:
    radius:float=1.0
    # in metres
    def area(self,precise:bool=True)->float:
        return (math.pi*self.radius ** 2
            if precise else f'{self.radius!r:>{10}}')
"""


def test_golden_config_digest() -> None:
    """A change here makes every result ever recorded a stranger: change it only together with the meaning of a key."""
    assert config_digest(RunConfig()) == "5910c230e914345cc66b10179e99379af9858f188e196dbf5f4ff06d65a21f92"


def test_golden_identity() -> None:
    assert identity("a" * 64, "b" * 64, "c" * 64) == "e164dc97e9b6d892328e82e53f721b203bb66f17f0cc8636b1b3bfdf63020e40"


def test_golden_code_text() -> None:
    """The same on every supported Python."""
    assert (
        hashlib.sha256(code_text(SOURCE).encode()).hexdigest()
        == "119c042211079d04cbf12bd83a82e51f94470f411999da945e71f14bc646072f"
    )


@pytest.mark.parametrize(
    ("one", "other"), [("2.5", "'2.5'"), ("True", "1"), ("True", "'True'"), ("b''", "''"), ("1", "1.0")]
)
def test_constants_that_look_alike_are_different_code(one: str, other: str) -> None:
    assert code_text(f"x = {one}") != code_text(f"x = {other}")


@pytest.mark.parametrize(
    "changes",
    [
        {"train.lr": 0.005},
        {"train.seed": 1},
        {"model.inputs.video": None},
        {"data.set": "other"},
        {"eval.average": "logits"},
        {"train.steps": 10},
    ],
)
def test_a_key_that_determines_results_changes_the_digest(changes: dict) -> None:
    assert config_digest(with_changes(RunConfig(), changes)) != config_digest(RunConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {"train.micro_batch": 8},
        {"train.compile": True},
        {"model.absorbed_attention": False},
        {"eval.batch_size": 1},
        {"train.epochs": 100},
        {"model.inputs.video.patch": [2, 8, 8]},
    ],
)
def test_speed_and_ways_of_writing_do_not_change_the_digest(changes: dict) -> None:
    assert config_digest(with_changes(RunConfig(), changes)) == config_digest(RunConfig())


def test_the_canonical_form_is_sorted_and_complete() -> None:
    assert canonical(RunConfig()).startswith('{"data.max_bad_fraction":0.02,"data.sampler":"uniform"')


def test_data_and_code_are_part_of_the_identity() -> None:
    assert (
        len({identity("a", "b", "c"), identity("a", "x", "c"), identity("a", "b", "x"), identity("x", "b", "c")}) == 4
    )


def test_comments_docstrings_and_formatting_are_not_code() -> None:
    assert code_text(SOURCE) == code_text(REFORMATTED)


@pytest.mark.parametrize(
    ("old", "new"), [("**2", "**3"), ("1.0", "2.0"), ("precise: bool = True", "precise: bool = False"), ("pi", "tau")]
)
def test_what_computes_is_code(old: str, new: str) -> None:
    assert code_text(SOURCE) != code_text(SOURCE.replace(old, new))


def package(folder: Path, **sources: str) -> Path:
    for name, source in sources.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder


def test_the_code_digest_sees_every_file_but_those_that_no_result_comes_from(tmp_path: Path) -> None:
    before = code_digest(
        package(tmp_path / "a", model="x = 1\n", data__clips="y = 2\n", wording="z = 3\n", speed="s = 1\n")
    )
    assert before == code_digest(
        package(tmp_path / "b", model="x = 1  # one\n", data__clips="y = 2\n", wording="z = 4\n", data__check="s = 2\n")
    )
    assert before != code_digest(package(tmp_path / "c", model="x = 1\n", data__clips="y = 3\n"))
    assert before != code_digest(package(tmp_path / "d", model="x = 1\n", data__clip="y = 2\n"))
    assert before != code_digest(
        package(tmp_path / "e", model="x = 1\n", data__clips="y = 2\n", data__wording="z = 3\n")
    )


def test_the_files_that_no_result_comes_from_are_there() -> None:
    assert all((Path(perceiver.config.__file__).parent / name).is_file() for name in _NOT_COMPUTING)


def test_the_code_digest_of_the_package_is_found_without_importing_it() -> None:
    assert len(code_digest()) == 64
