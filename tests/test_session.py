"""A driver's session where something outside goes wrong: another driver has its lease, storage is away at Ctrl-C."""

import os
import signal
import time
from pathlib import Path

import pytest
from sweep_maker import empty_store
from trial_player import Player, make_sweep

from orchestrator.errors import Unreachable
from orchestrator.plan.site import Site
from orchestrator.run import lease
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths

VARY = {"by": "grid", "factors": {"train.lr": [0.005, 0.004, 0.003]}}


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage")))


def test_a_driver_that_lost_its_lease_starts_hears_and_records_nothing_more(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.02)
    paths = SweepPaths(player.site.storage, "mine")
    with player.session(make_sweep("mine", vary=VARY), 2) as session:
        running = [player._work(session.next_order()) for _ in range(2)]  # type: ignore[arg-type]
        for worker in running:
            session.on_report(next(worker))
        theirs = '{"host": "other", "pid": 1, "time": 9e9, "token": "theirs"}'
        storage.write_text(paths.driver(2), theirs)
        while not session._lease.lost:
            time.sleep(0.01)
        assert session.next_order() is None
        for worker in running:
            for report in worker:
                session.on_report(report)
        assert session.outcome.finished == []
        with pytest.raises(Unreachable, match="another driver has taken mine over"):
            session.tick()
    assert storage.read_text(paths.driver(2)) == theirs, "the other's lease is left alone"


def test_ctrl_c_is_passed_on_as_soon_as_storage_takes_it(player: Player) -> None:
    paths = SweepPaths(player.site.storage, "mine")
    with player.session(make_sweep("mine", vary=VARY)) as session, session._interrupt:
        assert session.next_order() is not None
        Path(paths.root).rename(f"{paths.root}-away")
        Path(paths.root).touch()  # a file where the folder was: nothing can be written
        os.kill(os.getpid(), signal.SIGINT)
        session.tick()
        assert session.next_order() is None, "nothing new starts, whatever storage does"
        Path(paths.root).unlink()
        Path(f"{paths.root}-away").rename(paths.root)
        session.tick()
        assert storage.exists(paths.stop), "the workers look for this file"
