"""What `make equal-code` keeps, and what it refuses. That it tells codes apart is seen by running it."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    path = Path(__file__).parent / "equal_code" / "compare.py"
    spec = importlib.util.spec_from_file_location("compare", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
