"""What a plan says, a run does: the same trials are new, there and proposed, whatever was deleted or restored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sweep_maker import empty_store
from trial_player import TIMES, Player, make_sweep, score_of

from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.plan.trials import done
from orchestrator.track.checkpoints import complete
from orchestrator.track.ledger import take_stock
from orchestrator.track.names import Tag
from orchestrator.track.paths import TrialPaths
from orchestrator.track.reader import read_history, read_runs
from orchestrator.track.records import RunRecord

LISTED = {"by": "list", "points": [{"train.lr": 0.002}, {"train.lr": 0.003}]}


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage")))


def planned(player: Player, sweep: Sweep) -> tuple[int, int]:
    """What a plan says: trials to run, those to propose with them; and trials that are there."""
    stock = take_stock(plan_sweep(sweep, player.site))
    there = len(done(stock.entries))
    return len(stock.plan.trials) - there + stock.plan.to_propose, there


def ran(player: Player, sweep: Sweep) -> tuple[int, int]:
    outcome = player.run(sweep).outcome
    assert outcome.complete
    return len(outcome.finished), len(outcome.already)


def one_run(client: MlflowClient, experiment: str, parent: str, trials: list[str]) -> int:
    client.delete_run(trials[0])
    return 1


def all_but_the_parent(client: MlflowClient, experiment: str, parent: str, trials: list[str]) -> int:
    for run_id in trials:
        client.delete_run(run_id)
    return 3


def the_parent(client: MlflowClient, experiment: str, parent: str, trials: list[str]) -> int:
    client.delete_run(parent)
    return 0


def the_experiment(client: MlflowClient, experiment: str, parent: str, trials: list[str]) -> int:
    client.delete_experiment(experiment)
    return 3


def the_experiment_for_a_while(client: MlflowClient, experiment: str, parent: str, trials: list[str]) -> int:
    client.delete_run(trials[1])
    client.delete_experiment(experiment)
    client.restore_experiment(experiment)  # MLflow restores every run with it
    return 0


def a_run_for_a_while(client: MlflowClient, experiment: str, parent: str, trials: list[str]) -> int:
    client.delete_run(trials[0])
    client.restore_run(trials[0])
    return 0


DELETIONS = [one_run, all_but_the_parent, the_parent, the_experiment, the_experiment_for_a_while, a_run_for_a_while]


@pytest.mark.parametrize("delete", DELETIONS)
@pytest.mark.parametrize("vary", [LISTED, {"trials": 2, "startup": 2}], ids=["listed", "searched"])
def test_whatever_was_deleted_or_restored(player: Player, delete: Callable[..., int], vary: dict[str, object]) -> None:
    sweep = make_sweep(vary=vary)
    assert planned(player, sweep) == (3, 0) == ran(player, sweep)
    runs = read_runs(player.site.tracking, "mine")
    assert runs.parent is not None
    client = MlflowClient(player.site.tracking)
    new = delete(client, runs.experiment_id, runs.parent.run_id, [run.run_id for run in runs.trials])
    assert planned(player, sweep) == (new, 3 - new) == ran(player, sweep)
    assert planned(player, sweep) == (0, 3) == ran(player, sweep)
    now = read_runs(player.site.tracking, "mine")
    assert now.parent is not None
    assert len(now.trials) == 3 and {run.tags[Tag.PARENT] for run in now.trials} == {now.parent.run_id}


def test_a_restored_run_beside_the_one_that_took_its_place(player: Player) -> None:
    sweep = make_sweep(vary=LISTED)
    player.run(sweep)
    first = read_runs(player.site.tracking, "mine").trials[0].run_id
    client = MlflowClient(player.site.tracking)
    client.delete_run(first)
    player.run(sweep)
    client.restore_run(first)
    assert planned(player, sweep) == (0, 3) == ran(player, sweep)
    assert len(player.runs("mine")) == 3 and first not in {run.run_id for run in player.runs("mine")}


@pytest.mark.parametrize("by", ["tpe", "nsga2"])
def test_a_search_over_fewer_points_than_it_is_asked_for(player: Player, by: str) -> None:
    factors = {"train.optimizer": ["lamb", "adamw"], "train.mixup": {"low": 0.0, "high": 1.0, "step": 0.5}}
    sweep = make_sweep(vary={"by": by, "trials": 30, "startup": 2, "factors": factors})
    assert plan_sweep(sweep, player.site).fewer_proposals() == [
        "25 of 30 proposals are not made: no other point can be run within the limits"
    ]
    assert planned(player, sweep) == (6, 0) == ran(player, sweep)
    assert planned(player, sweep) == (0, 6) == ran(player, sweep)


def test_a_search_that_its_limits_cut_short(player: Player) -> None:
    unlimited = make_sweep()
    hours = plan_sweep(unlimited, player.site).configurations[0].cost.gpu_hours
    assert hours is not None
    sweep = make_sweep(limits={"gpu_hours": 4.5 * hours})
    assert planned(player, sweep) == (4, 0) == ran(player, sweep)


def test_what_another_sweep_has_is_there_in_both(player: Player) -> None:
    player.run(make_sweep("first", vary=LISTED))
    second = make_sweep("second", vary={"by": "list", "points": [{"train.lr": 0.002}, {"train.lr": 0.004}]})
    assert planned(player, second) == (1, 2) == ran(player, second)
    client = MlflowClient(player.site.tracking)
    client.delete_experiment(client.get_experiment_by_name("second").experiment_id)
    assert planned(player, second) == (1, 2) == ran(player, second)
    client.delete_experiment(client.get_experiment_by_name("first").experiment_id)
    assert planned(player, second) == (0, 3)


Deletion = Callable[[MlflowClient, RunRecord], None]


def its_run(client: MlflowClient, run: RunRecord) -> None:
    client.delete_run(run.run_id)


def its_experiment(client: MlflowClient, run: RunRecord) -> None:
    client.delete_experiment(client.get_run(run.run_id).info.experiment_id)


@pytest.mark.parametrize("delete", [its_run, its_experiment])
@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_run_that_is_deleted_while_its_trial_trains_is_booked_again(
    player: Player, delete: Deletion, at: int
) -> None:
    """`at`: the evaluation, of four, before which it happens."""
    player.checkpoints, client, deleted = True, MlflowClient(player.site.tracking), list[RunRecord]()
    sweep = make_sweep(vary={"by": "list", "points": [{"train.lr": 0.002}]})

    reports = iter(range(100))

    def score(config: dict[str, Any]) -> float:
        if config["train"]["lr"] == 0.002 and next(reports) == at:
            run = next(run for run in player.runs("mine") if run.tags[Tag.CONFIGURATION] != "baseline")
            deleted.append(run)
            delete(client, run)
        return score_of(config)

    player.score = score
    outcome = player.run(sweep).outcome
    assert outcome.complete and len(outcome.finished) == 2
    (run,) = [run for run in player.runs("mine") if run.tags[Tag.CONFIGURATION] != "baseline"]
    assert run.run_id != deleted[0].run_id and run.status == "FINISHED"
    rows = read_history(player.site.tracking, [run.run_id], {"eval/mAP"})[run.run_id]
    assert len(rows) == TIMES
    assert next(complete(TrialPaths(run.artifact_uri).checkpoints)).startswith("file://")
    assert client.get_run(deleted[0].run_id).info.lifecycle_stage == "deleted"
    new = 0 if delete is its_run else 1  # the baseline had ended when the experiment was deleted
    assert planned(player, sweep) == (new, 2 - new) == ran(player, sweep)
