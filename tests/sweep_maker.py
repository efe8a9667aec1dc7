"""Records sweeps in a real MLflow store, as the recorder would, without training anything."""

import atexit
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from orchestrator.track.names import Tag

COMPARABLE = {"data": "9f2c41aa0000", "metrics": "1"}
BASELINE = [0.431, 0.432, 0.433]
BETTER = [0.443, 0.4405, 0.4426]
SAME = [0.430, 0.4325, 0.434]
WORSE = [0.401, 0.400, 0.403]


@dataclass(frozen=True)
class Made:
    """One run to record. `score` None: no metric was reported."""

    configuration: str
    seed: int
    score: float | None = None
    status: str = "FINISHED"
    role: str = ""
    factors: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@cache
def _empty_database() -> Path:
    """MLflow's empty tables, made once in seconds; a test copies them."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    with sqlite3.connect(f"{folder}/mlflow.db") as database:
        database.execute("PRAGMA journal_mode=WAL")  # as the recorder sets it
    database.close()
    return Path(folder) / "mlflow.db"


def empty_store(folder: Path) -> str:
    """The tracking URI of a fresh sqlite store in this folder."""
    shutil.copy(_empty_database(), folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


def replicates(configuration: str, scores: Sequence[float], **more: Any) -> list[Made]:
    """Finished trials with seeds 0, 1, ... and these scores."""
    return [Made(configuration, seed, score, **more) for seed, score in enumerate(scores)]


def full_sweep() -> list[Made]:
    """A baseline and three levels of video dropout: one better, one the same, one worse."""
    return [
        *replicates("baseline", BASELINE, params={"train.video_dropout": "0.3"}, metrics={"eval/mAP_audio_only": 0.38}),
        *replicates("train.video_dropout=0.0", WORSE, factors={"train.video_dropout": 0.0}),
        *replicates("train.video_dropout=0.1", BETTER, factors={"train.video_dropout": 0.1}),
        *replicates("train.video_dropout=0.5", SAME, factors={"train.video_dropout": 0.5}),
    ]


def record_sweep(
    tracking: str,
    sweep: str,
    trials: Sequence[Made],
    metric: str = "eval/mAP",
    goal: str = "maximize",
    question: str = "Which is best?",
) -> list[str]:
    """Records the sweep's parent run and these trials; returns their run ids."""
    client = MlflowClient(tracking)
    experiment = client.create_experiment(sweep, artifact_location="file:///nowhere")
    score = json.dumps({"metric": metric, "goal": goal})
    parent = client.create_run(
        experiment, tags={Tag.NAME: sweep, Tag.ROLE: "sweep", Tag.QUESTION: question, Tag.SCORE: score}
    )
    return [_record(client, experiment, parent.info.run_id, sweep, trial, metric) for trial in trials]


def _record(client: MlflowClient, experiment: str, parent: str, sweep: str, trial: Made, metric: str) -> str:
    tags = {
        Tag.PARENT: parent,
        Tag.NAME: sweep,
        Tag.ROLE: trial.role or ("baseline" if trial.configuration == "baseline" else "trial"),
        Tag.TRIAL: f"{trial.configuration}/{trial.seed}",
        Tag.IDENTITY: f"{sweep}/{trial.configuration}/{trial.seed}",
        Tag.CONFIGURATION: trial.configuration,
        Tag.FACTOR: " ".join(trial.factors),
        Tag.LEVEL: json.dumps(list(trial.factors.values())),
        Tag.SEED: str(trial.seed),
        Tag.COMPARABLE: json.dumps(COMPARABLE),
        **trial.tags,
    }
    run_id = client.create_run(experiment, run_name=trial.configuration).info.run_id
    metrics = dict(trial.metrics) | ({} if trial.score is None else {metric: trial.score})
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, 1_700_000_000_000, 100) for key, value in metrics.items()],
        params=[Param(key, value) for key, value in trial.params.items()],
        tags=[RunTag(str(key), value) for key, value in tags.items()],
    )
    if trial.status in ("SCHEDULED", "RUNNING"):
        client.update_run(run_id, status=trial.status)
    else:
        client.set_terminated(run_id, trial.status)
    return str(run_id)
