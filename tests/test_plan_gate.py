"""What stands between a plan and its run: what no machine of the site could do is refused before anything starts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from workplace import Workplace

from perceiver.data.audioset import DataSource


@pytest.fixture(scope="module")
def recorded(synthetic_source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips with lists and nine classes, as somebody recorded it."""
    folder = tmp_path_factory.mktemp("recorded") / "mine"
    shutil.copytree(synthetic_source.url, folder)
    return folder


@pytest.fixture
def place(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A user's folder, whose site knows the set `mine`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_site(tmp_path, data={"mine": str(recorded)})
    return Workplace(tmp_path)


def write_site(folder: Path, **keys: Any) -> None:
    (folder / "site.yaml").write_text(yaml.safe_dump(keys))


def copy_of(recorded: Path, folder: Path) -> Path:
    """A set that a test may spoil."""
    return Path(shutil.copytree(recorded, folder / "spoiled"))


def sweep_of(place: Workplace, name: str = "x", factors: dict[str, list[Any]] | None = None, **changes: Any) -> str:
    changes = {"data.set": "mine"} | {key.replace("__", "."): value for key, value in changes.items()}
    return place.write_sweep(name, factors or {"train.video_dropout": [0.0, 0.3]}, **changes)


def test_classes_that_are_left_out_are_the_label_lists(place: Workplace) -> None:
    left_out = place.json("plan", sweep_of(place))["trials"]
    given = place.json("plan", sweep_of(place, model__classes=9))["trials"]
    assert {trial["config"]["model"]["classes"] for trial in left_out} == {9}
    assert [(trial["id"], trial["identity"]) for trial in left_out] == [
        (trial["id"], trial["identity"]) for trial in given
    ]


def test_each_data_set_of_a_sweep_has_its_own_classes(place: Workplace, recorded: Path) -> None:
    other = copy_of(recorded, place.folder)
    labels = other / "class_labels_indices.csv"
    labels.write_text(labels.read_text().rstrip("\n") + "\n9,/m/new,New\n")
    write_site(place.folder, data={"mine": str(recorded), "other": str(other)})
    trials = place.json("plan", sweep_of(place, factors={"data.set": ["mine", "other"]}))["trials"]
    assert [(trial["configuration"], trial["config"]["model"]["classes"]) for trial in trials] == [
        ("baseline", 9),
        ("data.set=other", 10),
    ]
