"""What of a machine is ours: cores by affinity, by a cgroup's quota, by Slurm's variables."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.plan.machine import cores

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)


def group(root: Path, line: str, **files: str) -> Path:
    """A machine with this line in /proc/self/cgroup; `files`: path below /sys/fs/cgroup with __ for / -> text."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"{line}\n")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def test_a_quota_counts_wherever_it_is_set(tmp_path: Path) -> None:
    assert cores(tmp_path / "none") == 64
    inside = {"slurm__job__cpu.max": "max 100000", "slurm__cpu.max": "250000 100000", "cpu.max": "max 100000"}
    assert cores(group(tmp_path / "2", "0::/slurm/job", **inside)) == 2
    assert cores(group(tmp_path / "container", "0::/docker/of/the/host", **{"cpu.max": "50000 100000"})) == 1
    old = {"cpu,cpuacct__a__cpu.cfs_quota_us": "-1", "cpu,cpuacct__a__cpu.cfs_period_us": "100000"}
    old |= {"cpu__cpu.cfs_quota_us": "400000", "cpu__cpu.cfs_period_us": "100000"}
    assert cores(group(tmp_path / "1", "4:cpu,cpuacct:/a", **old)) == 4
    assert cores(group(tmp_path / "free", "0::/", **{"cpu.max": "max 100000"})) == 64


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "8"}, 4),
        ({"SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_CPUS_PER_TASK": "128"}, 64),
        ({"SLURM_CPUS_PER_TASK": ""}, 64),
    ],
)
def test_slurms_variables_count(variables: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cores(Path("/nowhere")) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no affinity")
def test_a_plan_counts_the_cores_that_it_may_use(tmp_path: Path) -> None:
    code = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from orchestrator.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "plan", str(ROOT / "sweeps" / "smoke.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "at 1 trial side by side" in done.stdout, done.stderr
