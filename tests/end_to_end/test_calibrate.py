"""Measuring a site: what it leaves, what a plan makes of it, and how it ends when it can't be done."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from workplace import Workplace

WaitFor = Callable[["subprocess.Popen[str]", str], list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def left_in(folder: Path) -> set[str]:
    """What lies below the folder of results."""
    return {path.relative_to(folder).as_posix() for path in (folder / "runs").rglob("*") if path.is_file()}


def test_a_measured_site_leaves_its_profile_and_plans_rest_on_it(workplace: Workplace) -> None:
    file = workplace.write_sweep("speed", {"train.video_dropout": [0.0]})
    assumed = workplace.json("plan", file)
    told = workplace.json("calibrate", file, "--minutes", "0.05", "--set", "train.batch_size=4")
    measured = told["calibration"]
    assert measured["clips_per_second"] > 0 and measured["evaluation_clips_per_second"] > 0
    assert 0.05 <= measured["minutes"] < 1, "the warm-up is not in it"
    assert 100e6 < measured["memory"] < 10e9
    assert left_in(workplace.folder) == {"runs/profiles/site.json"}, "no run is recorded, nothing is stored"

    planned = workplace.json("plan", file)
    assert "calibration on site" in planned["totals"]["basis"]
    assert "assume" in assumed["totals"]["basis"]
    ratio = measured["memory"] / measured["expected_memory"]
    before, now = (each["configurations"][0]["cost"] for each in (assumed, planned))
    assert now["memory"] == pytest.approx(before["memory"] * ratio, rel=1e-6)
    evaluated = 9 * 2 * 4
    trained = 4 * 18
    seconds = trained / measured["clips_per_second"] + evaluated / measured["evaluation_clips_per_second"]
    assert now["seconds"] == pytest.approx(seconds, rel=1e-6)


def test_ctrl_c_ends_it_and_stores_nothing(workplace: Workplace, wait_for: WaitFor) -> None:
    file = workplace.write_sweep("speed", {"train.video_dropout": [0.0]})
    with workplace.start("calibrate", file, "--minutes", "0.5") as process:
        wait_for(process, "training")
        process.send_signal(signal.SIGINT)
        said = "".join(process.stdout or [])
    assert process.returncode == 130
    assert "Stopped; nothing was stored." in said
    assert "Traceback" not in said
    assert left_in(workplace.folder) == set()


@pytest.mark.parametrize(
    ("site", "code", "words"),
    [
        ({"resources": {"cpus": 1000}}, 5, "a trial wants 1000 CPU, but this machine has"),
        ({"data": {"other": "/nowhere"}}, 2, "does not say where data set synthetic lies"),
        ({"data": {"synthetic": "/nowhere"}}, 2, "/nowhere"),
    ],
)
def test_a_site_that_cannot_be_measured_is_told(
    workplace: Workplace, site: dict[str, Any], code: int, words: str
) -> None:
    file = workplace.write_sweep("speed", {"train.video_dropout": [0.0]})
    path = workplace.folder / "site.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | site))
    done = workplace.sweep("calibrate", file, "--minutes", "0.05")
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert left_in(workplace.folder) == set()


def test_what_training_raises_is_told_in_its_own_words(workplace: Workplace) -> None:
    file = workplace.write_sweep("speed", {"train.video_dropout": [0.0]}, **{"model.classes": 11})
    done = workplace.sweep("calibrate", file, "--minutes", "0.05", "--json")
    assert done.returncode == 1
    assert "set model.classes: 9" in done.stderr and "Traceback" not in done.stderr
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)
