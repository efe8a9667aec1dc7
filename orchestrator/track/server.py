"""Reads runs through MlflowClient: for tracking servers and every backend that can't be read directly."""

import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Unreachable
from orchestrator.track.connection import explain, require_answer
from orchestrator.track.database import number
from orchestrator.track.names import Tag
from orchestrator.track.records import HistoryRow, RunRecord, SweepRuns, SweepSummary, gather, summarise
from orchestrator.track.sqlite import for_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_FAIL_FAST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own 7 retries keep who asks waiting for minutes; the recorder tries again by itself."""
_PAGE = 1000
_CHUNK = 100
"""Run ids in one request."""


class Server:
    """The same questions as `Database`, asked over MLflow's API."""

    def __init__(self, tracking_uri: str, client: "MlflowClient") -> None:
        self.tracking_uri = tracking_uri
        self._client = client

    def experiments(self) -> dict[str, str]:
        """Name -> id of every experiment that was not deleted."""
        found = pages(lambda token: self._client.search_experiments(max_results=_PAGE, page_token=token))
        return {experiment.name: experiment.experiment_id for experiment in found}

    def sweep(self, name: str, params: bool, metrics: Collection[str] | None) -> SweepRuns | None:
        """A sweep's runs, or None. The API always sends everything: `params` and `metrics` save nothing here."""
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage != "active":
            return None
        runs = self._search([experiment.experiment_id])
        return gather(name, self.tracking_uri, experiment.experiment_id, runs)

    def with_identity(self, identities: Collection[str]) -> list[RunRecord]:
        """Runs of any sweep with one of these identities; a request for each, as the API has no OR."""
        everywhere = list(self.experiments().values())
        return [
            run for identity in identities for run in self._search(everywhere, f"tags.`{Tag.IDENTITY}` = '{identity}'")
        ]

    def with_ids(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """These runs in this order, as far as they exist and were not deleted."""
        everywhere, found = list(self.experiments().values()), dict[str, RunRecord]()
        for start in range(0, len(run_ids), _CHUNK):
            chosen = ", ".join(f"'{run_id}'" for run_id in run_ids[start : start + _CHUNK])
            found |= {run.run_id: run for run in self._search(everywhere, f"attributes.run_id IN ({chosen})")}
        return [found[run_id] for run_id in run_ids if run_id in found]

    def history(self, run_ids: Sequence[str], metrics: Collection[str]) -> list[HistoryRow]:
        """Every value of these metrics; a request for each run and metric."""
        return [
            HistoryRow(run_id, row.key, row.step, row.timestamp, number(row.value, math.isnan(row.value)))
            for run_id in run_ids
            for metric in metrics
            for row in self._client.get_metric_history(run_id, metric)
        ]

    def summaries(self) -> list[SweepSummary]:
        """One line per sweep; experiments without runs of ours are left out."""
        found = {
            name: self._search([experiment_id], f"tags.`{Tag.ROLE}` != ''")
            for name, experiment_id in self.experiments().items()
        }
        return [summarise(gather(name, self.tracking_uri, "", runs)) for name, runs in found.items() if runs]

    def _search(self, experiment_ids: list[str], condition: str = "") -> list[RunRecord]:
        # in the order of their start, so that runs created while we read can't shift a page
        runs = pages(
            lambda token: self._client.search_runs(
                experiment_ids, condition, max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
        )
        return [_record(run) for run in runs]


def make_client(tracking_uri: str) -> "MlflowClient":
    """MLflow's client, giving up on a server after seconds unless the user's environment says otherwise."""
    for name, value in _FAIL_FAST.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(for_mlflow(tracking_uri))


@contextmanager
def open_server(tracking_uri: str) -> Iterator[Server]:
    """A client of the tracking server.

    Raises:
        Unreachable: nothing answers there, or it answers with an error.
    """
    require_answer(tracking_uri)
    from mlflow.exceptions import MlflowException

    try:
        yield Server(tracking_uri, make_client(tracking_uri))
    except MlflowException as error:
        raise Unreachable(explain(tracking_uri, error)) from error


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Everything that comes in pages; `ask` is given the token of each."""
    token: str | None = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _record(run: "Run") -> RunRecord:
    metrics = {key: number(value, math.isnan(value)) for key, value in run.data.metrics.items()}
    return RunRecord(
        run_id=run.info.run_id,
        status=run.info.status,
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        artifact_uri=run.info.artifact_uri or "",
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=metrics,
    )
