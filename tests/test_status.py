"""What `sweep status` and `sweep logs` say, from runs in a real sqlite store and files on storage."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from sweep_maker import empty_store

from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.run.lease import Lease
from orchestrator.run.status import print_status, read_logs, read_status
from orchestrator.track import storage
from orchestrator.track.names import Tag
from orchestrator.track.paths import SweepPaths, TrialPaths
from orchestrator.track.recorder import Recorder


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage"))


def record(site: Site, sweep: str, *trials: str, status: str = "FINISHED", **more: str) -> list[str]:
    """A sweep with these trials, each with a log that says whose it is; returns their run ids."""
    recorder = Recorder(site.tracking, sweep, SweepPaths(site.storage, sweep).root)
    parent = recorder.open_parent({Tag.NAME: sweep, Tag.ROLE: "sweep"})
    run_ids = []
    for trial in trials:
        tags = {Tag.NAME: sweep, Tag.ROLE: "baseline", Tag.TRIAL: trial, Tag.CONFIGURATION: "baseline", Tag.SEED: "0"}
        place = recorder.schedule(parent, "baseline seed 0", tags | more, {})
        storage.write_text(TrialPaths(place.root).log, f"log of {place.run_id}\n")
        recorder.start(place.run_id, 1) if status == "RUNNING" else recorder.end(place.run_id, status)
        run_ids.append(place.run_id)
    recorder.close()
    return run_ids


def test_the_log_of_a_trial_is_found_by_the_beginning_of_its_id(site: Site) -> None:
    abc, _ = record(site, "colours", "abc", "xyz")
    heading, log = read_logs(site, "a").splitlines()
    assert log == f"log of {abc}"
    assert heading.startswith("abc  colours  baseline  seed 0  ")
    with pytest.raises(UsageError, match="Found: none"):
        read_logs(site, "b")


def test_a_trial_that_two_sweeps_computed_is_asked_for_with_its_sweep(site: Site) -> None:
    (first,) = record(site, "colours", "abc")
    (second,) = record(site, "shapes", "abc")
    with pytest.raises(UsageError, match="Found: colours:abc, shapes:abc"):
        read_logs(site, "abc")
    assert f"log of {first}" in read_logs(site, "colours:abc")
    assert f"log of {second}" in read_logs(site, "shapes:a")
    with pytest.raises(UsageError, match="No sweep sounds"):
        read_logs(site, "sounds:abc")


def test_a_run_that_repeats_another_sweep_s_result_has_its_log(site: Site) -> None:
    (first,) = record(site, "colours", "abc")
    record(site, "shapes", "abc", **{Tag.REUSED_FROM: f"colours {first}"})
    assert f"log of {first}" in read_logs(site, "abc")
    assert f"log of {first}" in read_logs(site, "shapes:abc")


def test_runs_of_a_driver_that_died_are_shown_as_they_are_and_nothing_is_written(site: Site) -> None:
    (run_id,) = record(site, "colours", "abc", status="RUNNING")
    with Lease(SweepPaths(site.storage, "colours")):
        assert [trial.state for trial in read_status(site, "colours").trials] == ["running"]
    (trial,) = read_status(site, "colours").trials
    assert (trial.state, trial.error) == ("interrupted", "its driver died")
    run = MlflowClient(site.tracking).get_run(run_id)
    assert run.info.status == "RUNNING", "on another machine the driver may live, and only be slow to renew its lease"
    assert not run.data.tags.get(Tag.STOPPED)


def test_the_commands_that_a_status_proposes_go_to_the_same_site(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    record(site, "colours", "abc")
    found = read_status(site, "colours")
    print_status(found)
    assert capsys.readouterr().out.splitlines()[-1] == "Next:  sweep board colours"
    print_status(found, " --site lab")
    assert capsys.readouterr().out.splitlines()[-1] == "Next:  sweep board colours --site lab"
