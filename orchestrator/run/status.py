"""Where each trial of a sweep stands, and asking its driver to stop. Runs on: any machine that sees the storage."""

import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from orchestrator.console import Column, print_next, print_table
from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.run.lease import holder
from orchestrator.track import storage
from orchestrator.track.ledger import original
from orchestrator.track.names import SUPERSEDED, Tag
from orchestrator.track.paths import SweepPaths, TrialPaths
from orchestrator.track.reader import list_sweeps, read_runs
from orchestrator.track.records import RunRecord, SweepSummary

_STATES = {
    "SCHEDULED": "waiting",
    "RUNNING": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "interrupted",
}
_SILENT_SECONDS = 30.0
_FINAL = {"final": "(final)"}


@dataclass(frozen=True)
class TrialStatus:
    """One trial as it stands."""

    trial: str
    configuration: str
    seed: int | None
    role: str
    state: str
    """waiting, running, finished, failed, interrupted, or stopped (early)."""
    stopped: str
    """Where `stop_early` ended it."""
    progress: float
    attempts: int
    score: float | None
    error: str
    run_id: str


@dataclass(frozen=True)
class SweepStatus:
    """A sweep, or all of them, as they stand."""

    sweep: str | None
    metric: str
    driver: dict[str, Any] | None
    trials: list[TrialStatus]
    sweeps: list[SweepSummary]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def read_status(site: Site, sweep: str | None) -> SweepStatus:
    """What MLflow and the driver's lease say. Writes nothing: runs whose driver died are shown as they truly are, and
    the next `sweep run` records it.

    Raises:
        UsageError: there is no such sweep.
        Unreachable: the tracker or the storage does not answer.
    """
    if sweep is None:
        return SweepStatus(None, "", None, [], list_sweeps(site.tracking))
    runs = read_runs(site.tracking, sweep)
    driver = holder(SweepPaths(site.storage, sweep))
    score = json.loads(runs.parent.tags.get(Tag.SCORE, "{}")) if runs.parent else {}
    metric = score.get("metric", "eval/mAP")
    gone = {run.run_id for run in runs.children if run.status == "RUNNING"} if driver is None else set()
    shown = [run for run in runs.children if run.role != SUPERSEDED]
    return SweepStatus(sweep, metric, driver, [_trial(run, metric, run.run_id in gone) for run in shown], [])


def print_status(status: SweepStatus, site_option: str = "") -> None:
    """As a table; `site_option` (`--site lab`) belongs to the commands that it proposes."""
    if status.sweep is None:
        _print_sweeps(status.sweeps)
        return
    driver = status.driver
    print(f"{status.sweep}   " + (_described(driver) if driver else "not running"))
    columns = [Column("trial"), Column("configuration"), Column("seed", True), Column("state"), Column("done", True)]
    columns += [Column(status.metric, True), Column("attempts", True), Column("error")]
    rows = [
        (
            trial.trial,
            trial.configuration,
            str(trial.seed),
            " ".join(filter(None, (trial.state, trial.stopped and f"by {trial.stopped}", _FINAL.get(trial.role)))),
            f"{trial.progress:.0%}",
            ""
            if trial.score is None
            else f"{100 * trial.score:.1f}"
            if 0 <= trial.score <= 1
            else f"{trial.score:.4g}",
            str(trial.attempts),
            trial.error,
        )
        for trial in status.trials
    ]
    print_table(columns, rows)
    print_next(f"sweep board {status.sweep} {site_option.strip()}".rstrip())


def _described(driver: dict[str, Any]) -> str:
    """Who runs the sweep; a driver elsewhere that has been silent for long may be dead, or its clock another."""
    silent = time.time() - driver["time"]
    heard = f", last heard of {silent:.0f} s ago" if silent > _SILENT_SECONDS else ""
    return f"run by process {driver['pid']} on {driver['host']}{heard}"


def request_stop(site: Site, sweep: str) -> dict[str, Any]:
    """Asks the sweep's driver to save and stop; returns who it is.

    Raises:
        UsageError: nobody runs the sweep.
    """
    paths = SweepPaths(site.storage, sweep)
    driver = holder(paths)
    if driver is None:
        raise UsageError(f"sweep {sweep} is not being run at {site.storage}. All: sweep status")
    storage.write_text(paths.stop, json.dumps({"by": "sweep stop", "time": time.time()}))
    return driver


def read_logs(site: Site, trial: str) -> str:
    """The log of a trial, and its traceback if it failed.

    `trial` is the beginning of its id, or `sweep:trial` where sweeps have trials of the same id. A run that repeats
    another sweep's result has that one's log.

    Raises:
        UsageError: no trial, or more than one, has an id that begins so.
    """
    sweep, colon, prefix = trial.rpartition(":")
    sweeps = [sweep] if colon else [each.sweep for each in list_sweeps(site.tracking)]
    found = _runs_of_trial(site.tracking, sweeps, prefix)
    runs = {run.run_id: run for run in (original(each, site.tracking) for each in found.values())}
    if len(runs) != 1:
        known = ", ".join(sorted(found)) or "none"
        raise UsageError(f"{trial} is not the beginning of one trial's id. Found: {known}. All: sweep status SWEEP")
    (run,) = runs.values()
    paths = TrialPaths(run.artifact_uri)
    name = "  ".join(run.tags[tag] for tag in (Tag.TRIAL, Tag.NAME, Tag.CONFIGURATION))
    heading = f"{name}  seed {run.seed}  {run.artifact_uri}"
    parts = [heading, storage.read_text(paths.log) or "Nothing was logged yet.", storage.read_text(paths.error) or ""]
    return "\n".join(part.rstrip() for part in parts if part)


def _runs_of_trial(tracking: str, sweeps: list[str], prefix: str) -> dict[str, RunRecord]:
    """`sweep:trial` -> its newest run, for every trial whose id begins so."""
    return {
        f"{sweep}:{run.tags[Tag.TRIAL]}": run
        for sweep in sweeps
        for run in read_runs(tracking, sweep, params=False).children
        if run.tags.get(Tag.TRIAL, "").startswith(prefix) and run.role != SUPERSEDED
    }


def _trial(run: RunRecord, metric: str, died: bool) -> TrialStatus:
    stop = run.early_stop
    return TrialStatus(
        trial=run.tags.get(Tag.TRIAL, ""),
        configuration=run.tags.get(Tag.CONFIGURATION, ""),
        seed=run.seed,
        role=run.role,
        state="interrupted" if died else "stopped" if stop else _STATES.get(run.status, run.status.lower()),
        stopped=str(stop or ""),
        progress=float(run.tags.get(Tag.PROGRESS) or 0),
        attempts=int(run.tags.get(Tag.ATTEMPTS) or 0),
        score=run.metrics.get(metric),
        error="its driver died" if died else run.tags.get(Tag.ERROR, ""),
        run_id=run.run_id,
    )


def _print_sweeps(sweeps: list[SweepSummary]) -> None:
    columns = [Column("sweep"), Column("finished", True), Column("stopped", True), Column("running", True)]
    rows = [
        (
            each.sweep,
            f"{each.finished} of {each.trials}",
            str(each.stopped),
            str(each.running),
            str(each.failed),
            _when(each),
            each.question,
        )
        for each in sweeps
    ]
    print_table([*columns, Column("failed", True), Column("changed"), Column("question")], rows)


def _when(sweep: SweepSummary) -> str:
    return "" if sweep.changed is None else f"{datetime.fromtimestamp(sweep.changed / 1000):%Y-%m-%d %H:%M}"
