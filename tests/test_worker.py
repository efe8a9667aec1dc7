"""A trial's worker, in this process: it saves first, and what only decorates never ends it."""

import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from orchestrator.run import artifacts
from orchestrator.run.worker import Order, Report, work
from orchestrator.track import checkpoints, storage
from perceiver.config import dump, load, with_changes
from perceiver.data.audioset import DataSource

BASE = Path(__file__).parent.parent / "sweeps" / "base" / "tiny.yaml"
QUICK = {"model.latents": 8, "model.latent_channels": 16, "train.batch_size": 6, "train.steps": 6, "eval.times": 2}


@pytest.fixture
def order(synthetic_source: DataSource) -> Order:
    root = f"memory://{uuid.uuid4().hex}"
    config = dump(with_changes(load(BASE), QUICK | {"eval.clips": 1}))
    data = {"url": synthetic_source.url, "labels": None}
    return Order(trial="t", config=config, root=f"{root}/artifacts", data=data, stop=f"{root}/stop")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "_WAITS", (0.0, 0.0))


class Refusing:
    """Storage that refuses to write files of some names, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, times: float) -> None:
        memory: Any = type(fsspec.filesystem("memory"))
        self._open, self._name, self.left = memory._open, name, times
        monkeypatch.setattr(memory, "_open", lambda fs, path, mode="rb", **more: self.open(fs, path, mode, **more))

    def open(self, fs: Any, path: str, mode: str, **more: Any) -> Any:
        if path.endswith(self._name) and "w" in mode and self.left > 0:
            self.left -= 1
            raise OSError("503 Slow Down")
        return self._open(fs, path, mode, **more)


def saved(order: Order) -> list[str]:
    return [url.rsplit("/", 1)[-1].lstrip("0") for url in checkpoints.complete(f"{order.root}/checkpoints")]


def troubles(reports: list[Report]) -> list[str]:
    return [line.partition(":")[0] for report in reports for line in report.trouble]


def test_a_log_that_is_refused_once_is_whole_in_the_end(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    Refusing(monkeypatch, "log.txt", times=2)
    reports = list(work(order))
    assert reports[-1].state == "finished" and not troubles(reports)
    text = storage.read_text(f"{order.root}/log.txt")
    assert text is not None and [line.split("  ")[1].split(",")[0] for line in text.splitlines()] == [
        f"started on {reports[0].node}",
        "saved at 50.0%",
        "saved at 100.0%",
    ]


@pytest.mark.parametrize(("name", "what"), [("log.txt", "its log can't be left"), (".csv", "evaluation/per_class.csv")])
def test_a_place_that_takes_no_decoration_costs_no_trial(
    order: Order, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    Refusing(monkeypatch, name, times=float("inf"))
    reports = list(work(order))
    assert reports[-1].state == "finished"
    assert saved(order) == ["36", "18"]
    assert any(line.startswith(what) for line in troubles(reports))


def test_pictures_that_cannot_be_drawn_cost_no_trial(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> list[Path]:
        raise ValueError("font cache is not writable")

    monkeypatch.setattr(artifacts, "draw_attention", broken)
    reports = list(work(order))
    assert reports[-1].state == "finished" and saved(order) == ["36", "18"]
    assert [line for report in reports for line in report.trouble] == [
        "its attention maps can't be left: font cache is not writable"
    ]
