"""The connection to Ray, and the folder of a Ray that is started here."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InfeasiblePlan, Unreachable, UsageError
from orchestrator.plan.resources import in_rays_names, workers_that_fit
from orchestrator.plan.site import Site
from orchestrator.run.cluster import connected
from orchestrator.run.nodes import nodes_of
from orchestrator.run.ray_folder import ray_folder
from orchestrator.run.room import require_room


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
        cluster = Site(site="lab", ray_address=ray.get_runtime_context().gcs_address)
        (node,) = nodes_of(cluster)
        assert node["CPU"] == ray.cluster_resources()["CPU"]
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


CLUSTER = {"site": "lab", "ray_address": "auto", "resources": {"cpus": 12, "gpus": 1}, "workers": 8}


def test_a_trial_fits_on_nodes_that_are_there_or_waits_for_those_that_can_come() -> None:
    node = {"CPU": 96.0, "GPU": 8.0}
    assert require_room(Site(**CLUSTER), [node]) == []
    assert require_room(Site(**CLUSTER), [node | {"GPU": 4.0}] * 2) == []
    with pytest.raises(InfeasiblePlan, match=r"8 workers of 12 CPU, 1 GPU each, but the nodes have room for 4.*nodes:"):
        require_room(Site(**CLUSTER), [node | {"GPU": 4.0}])
    with pytest.raises(InfeasiblePlan, match="the largest node has 0 CPU, 0 GPU"):
        require_room(Site(**CLUSTER), [])
    growing = Site(**CLUSTER, nodes=[{"count": 2, "cpus": 96, "gpus": 8}])
    (line,) = require_room(growing, [])
    assert "waits for those of `nodes:`" in line
    with pytest.raises(InfeasiblePlan, match="the nodes have room for 16"):
        require_room(growing.model_copy(update={"workers": 17}), [])


@given(
    amounts=st.lists(st.tuples(st.integers(0, 64), st.integers(0, 8)), max_size=5),
    cpus=st.integers(1, 40),
    gpus=st.sampled_from([0, 0.1, 0.3, 0.5, 1, 2]),
)
def test_as_many_workers_fit_as_can_be_taken_one_by_one(amounts: list[tuple[int, int]], cpus: int, gpus: float) -> None:
    taken = 0
    for free_cpus, free_gpus in amounts:
        left = [Fraction(free_cpus), Fraction(free_gpus)]
        while left[0] >= cpus and left[1] >= Fraction(str(gpus)):
            left, taken = [left[0] - cpus, left[1] - Fraction(str(gpus))], taken + 1
    nodes = [{"CPU": float(cores), "GPU": float(units)} for cores, units in amounts]
    assert workers_that_fit(nodes, in_rays_names(cpus, gpus, {})) == taken
