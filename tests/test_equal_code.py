"""What `make equal-code` keeps, and what it refuses. That it tells codes apart is seen by running it."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from perceiver.config import determining


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "equal_code" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    return load("compare")


def test_the_reference_configurations_vary_every_key_that_determines_a_result() -> None:
    reference = load("reference_runs")
    configs = [determining(reference.reference_config(changes)) for changes in reference.VARIANTS.values()]
    levels = {key: {str(config.get(key)) for config in configs} for key in configs[0]}
    assert {key for key, values in levels.items() if len(values) < 2} == {"data.set", "model.classes"}


def test_every_number_has_to_be_equal(compare: ModuleType) -> None:
    run = {"as it is": {"eval/mAP at 16": (0.5).hex(), "weights": "a"}}
    assert compare.differences(run, json.loads(json.dumps(run))) == []
    other = {"as it is": {"eval/mAP at 16": (0.5 + 2**-53).hex(), "weights": "a", "eval/loss at 16": "0x0.0p+0"}}
    assert [line.split(" was ")[0] for line in compare.differences(run, other)] == [
        "as it is: eval/loss at 16",
        "as it is: eval/mAP at 16",
    ]
    assert compare.differences(run, {}), "a run that is missing is no equal one"


def test_codes_that_follow_one_another_are_one_list(compare: ModuleType, tmp_path: Path) -> None:
    kept = tmp_path / "equal_code.json"
    kept.write_text(json.dumps({"codes": [["x", "y"]]}))
    for before, after in (("a", "b"), ("b", "c"), ("a", "d"), ("y", "z"), ("b", "c")):
        compare.keep(kept, before, after)
    assert json.loads(kept.read_text())["codes"] == [["x", "y", "z"], ["a", "b", "c", "d"]]
