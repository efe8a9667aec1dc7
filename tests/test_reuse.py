"""What of the results on record counts for a plan: other code, code that changed in the middle, other libraries."""

from pathlib import Path
from typing import Any

import pytest
from sweep_maker import empty_store
from trial_player import Player, make_sweep

from orchestrator.plan import planner
from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.site import Site
from orchestrator.track import ledger
from orchestrator.track.ledger import NoReuse
from orchestrator.track.names import SUPERSEDED, Tag
from orchestrator.track.reader import read_runs
from perceiver.environment import environment

VARY = {"by": "grid", "factors": {"train.lr": [0.005, 0.004]}}
TRIALS = 2


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage")))


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the digest of the code that computes."""
    return lambda letter: monkeypatch.setattr(planner, "code_digest", lambda: letter * 64)


def states(player: Player, sweep: str, accept: bool = False, no_reuse: NoReuse | None = None) -> list[str]:
    plan = plan_sweep(make_sweep(sweep, vary=VARY), player.site)
    return [str(entry) for entry in ledger.take_stock(plan, accept, no_reuse).entries.values()]


def test_results_of_older_code_are_named_and_counted_only_where_that_is_accepted(player: Player, code: Any) -> None:
    code("a")
    player.run(make_sweep("mine", vary=VARY))
    assert states(player, "mine") == ["finished"] * TRIALS
    code("b")
    assert states(player, "mine") == ["near miss: made by older code"] * TRIALS
    assert states(player, "mine", accept=True) == ["finished, made by older code"] * TRIALS
    assert states(player, "other", accept=True) == ["new"] * TRIALS, "another sweep has no use for them"


def test_a_trial_that_two_codes_computed_is_neither_code_s_result(
    player: Player, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code("a")
    player.run(make_sweep("mine", vary=VARY), kill_after=3)
    code("b")
    player.accept_older_code = True
    player.run(make_sweep("mine", vary=VARY))
    assert states(player, "mine") == ["finished, made by older code", "finished"], "it stays finished where it is"
    assert states(player, "other") == ["new", "finished in mine"]
    code("a")
    assert states(player, "other") == ["new", "new"], "begun by this code, but finished by another"


def test_no_reuse_leaves_what_other_sweeps_have(player: Player) -> None:
    player.run(make_sweep("mine", vary=VARY))
    assert states(player, "other") == ["finished in mine"] * TRIALS
    assert states(player, "other", no_reuse="all") == ["new"] * TRIALS
    assert states(player, "mine", no_reuse="all") == ["finished"] * TRIALS, "its own results are its own"


@pytest.mark.parametrize(("own", "left"), [(True, "finished"), (False, "new")])
def test_no_reuse_of_other_environments(player: Player, own: bool, left: str) -> None:
    player.environment = environment() | ({} if own else {"torch": "0.4"})
    player.run(make_sweep("mine", vary=VARY))
    assert states(player, "mine") == ["finished"] * TRIALS, "other versions are reused, with a footnote"
    assert states(player, "mine", no_reuse="environment") == [left] * TRIALS
    assert states(player, "other", no_reuse="environment") == [f"{left} in mine" if own else left] * TRIALS


def test_the_environments_of_an_attempt_and_of_what_it_goes_on_from_are_on_the_run(player: Player) -> None:
    player.environment = {"torch": "2.11"}
    player.run(make_sweep("mine", vary=VARY), kill_after=3)
    player.environment = {"torch": "2.12"}
    player.run(make_sweep("mine", vary=VARY))
    player.run(make_sweep("other", vary=VARY))
    found = {run.tags[Tag.TRIAL]: run.environments for run in player.runs("mine") if run.role != "sweep"}
    assert sorted(found.values(), key=len) == [[{"torch": "2.12"}], [{"torch": "2.11"}, {"torch": "2.12"}]]
    assert {run.tags[Tag.TRIAL]: run.environments for run in player.runs("other") if run.role != "sweep"} == found


def test_a_run_that_died_and_has_left_the_file_is_recorded_as_interrupted(player: Player) -> None:
    player.run(make_sweep("mine", vary=VARY), kill_after=8)  # in the middle of the second trial
    player.run(make_sweep("mine", vary={"by": "grid", "factors": {"train.lr": [0.005, 0.003]}}))
    runs = {run.tags[Tag.CONFIGURATION]: run for run in read_runs(player.site.tracking, "mine").children}
    gone = next(run for run in runs.values() if run.role == SUPERSEDED)
    assert (gone.status, gone.tags[Tag.STOPPED], gone.tags[Tag.ERROR]) == ("KILLED", "interrupted", "its driver died")
    assert {run.status for run in runs.values() if run is not gone} == {"FINISHED"}
