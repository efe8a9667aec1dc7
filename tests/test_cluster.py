"""The connection to Ray, and the folder of a Ray that is started here."""

import os
import tempfile
from pathlib import Path

import pytest
import ray

from orchestrator.errors import Unreachable, UsageError
from orchestrator.plan.site import Site
from orchestrator.run.cluster import connected
from orchestrator.run.ray_folder import ray_folder


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:many"])
def test_an_address_where_nothing_listens_is_told_at_once(address: str) -> None:
    with (
        pytest.raises(Unreachable, match=rf"no Ray cluster at {address} \(site lab\)"),
        connected(Site(site="lab", ray_address=address)),
    ):
        pass


@pytest.fixture
def long_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR as a Slurm job has it: a socket's path has no room below it."""
    place = tmp_path / "node_local_scratch_of_a_researcher" / ("slurm_job_" + 60 * "1")
    place.mkdir(parents=True)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def test_a_local_ray_starts_whatever_tmpdir_is(long_place: Path) -> None:
    with connected(Site()):
        folder = Path(ray._private.worker._global_node.get_session_dir_path()).parents[1]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_the_folder_of_ray_is_private_short_and_gone_afterwards(long_place: Path) -> None:
    with ray_folder() as one, ray_folder() as other:
        assert one != other
        for folder in (one, other):
            folder.mkdir()
            assert len(os.fsencode(folder)) <= 43 and folder.parent.stat().st_mode & 0o777 == 0o700
    assert not one.parent.exists() and not other.parent.exists()
    assert not any(long_place.iterdir())


def test_ray_tmpdir_is_respected_or_refused(long_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as short:
        monkeypatch.setenv("RAY_TMPDIR", f"{short}/new")
        with ray_folder() as folder:
            assert folder.parent.parent == Path(short) / "new"
        monkeypatch.setenv("RAY_TMPDIR", str(long_place))
        with (
            pytest.raises(UsageError, match=r"RAY_TMPDIR .* bytes long, and a socket of Ray leaves it 31"),
            ray_folder(),
        ):
            pass
        Path(short, "file").touch()
        monkeypatch.setenv("RAY_TMPDIR", f"{short}/file")
        with pytest.raises(UsageError, match=r"RAY_TMPDIR .*/file can't be used"), ray_folder():
            pass
