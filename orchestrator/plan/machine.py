"""What of this machine is ours: a Slurm job or a container has a few of its cores."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_AMD = "sys/class/kfd/kfd/topology/nodes/*/gpu_id"
_SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""The first of them that is set tells the cores of this task; the second is the whole job's on this node."""


def cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy, at least 1: what affinity, a cgroup's quota and Slurm's variables leave.

    `root` is where /proc and /sys lie.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    limits = [float(len(affinity(0)) if affinity else os.cpu_count() or 1), *_quotas(root)]
    job = next((os.environ[name] for name in _SLURM if os.environ.get(name, "").isdigit()), None)
    return max(1, int(min([*limits, float(job or "inf")])))


def gpus() -> int:
    """GPUs that this process may use: NVIDIA's by its driver, AMD's by the kernel, less those that are hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = _nvidia() or sum(_read(path) not in ("", "0") for path in Path("/").glob(_AMD))
    if hidden is None:
        return there
    return min(there, sum(bool(name) for name in hidden.split(",")) if hidden not in ("-1", "NoDevFiles") else 0)


def _nvidia() -> int:
    with suppress(OSError, AttributeError):  # no driver
        driver, count = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_uint(0)
        if driver.nvmlInit_v2() == 0 and driver.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0:
            return count.value
    return 0


def _quotas(root: Path) -> Iterator[float]:
    """Cores that the quotas of our cgroups are worth."""
    for controller, folder in _cgroups(root):
        if controller == "":
            quota, _, period = _read(folder / "cpu.max").partition(" ")
        elif controller == "cpu":
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        else:
            continue
        if quota.isdigit() and period.isdigit():  # not "max", and not -1
            yield int(quota) / int(period)


def _cgroups(root: Path) -> Iterator[tuple[str, Path]]:
    """Our cgroup and each around it, as controller of version 1 ("" for version 2) and folder.

    In a container the path may be the host's, where the group itself is the root: not all of these folders are there.
    """
    lines = (line.split(":", 2) for line in _read(root / "proc/self/cgroup").splitlines())
    for _, controllers, path in lines:
        for controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controller
            inside = mount / path.lstrip("/")
            yield from ((controller, folder) for folder in (inside, *inside.parents) if folder.is_relative_to(mount))


def _read(path: Path) -> str:
    """The text of one of the kernel's files; none where it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
