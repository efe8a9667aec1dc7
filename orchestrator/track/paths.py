"""Where everything of a sweep lies on storage. Nobody else joins these strings.

<storage>/<sweep>/sweep.json                      the frozen plan: trial -> identity -> run id
<storage>/<sweep>/driver/<number>.json            who runs the sweep; see run/lease.py
<storage>/<sweep>/stop                            there while the sweep shall stop
<storage>/<sweep>/<run id>/artifacts/             one trial: its MLflow run's artifact root
    checkpoints/<clips>/                          see perceiver/state.py
    evaluation/, attention/, log.txt, error.txt
    stop                                          there while this trial shall stop early
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SweepPaths:
    """Paths of one sweep below a storage URL."""

    storage: str
    sweep: str

    @property
    def root(self) -> str:
        """The sweep's folder, also its MLflow experiment's artifact location."""
        return f"{self.storage.rstrip('/')}/{self.sweep}"

    @property
    def plan(self) -> str:
        """The frozen plan."""
        return f"{self.root}/sweep.json"

    @property
    def drivers(self) -> str:
        """The folder of leases."""
        return f"{self.root}/driver"

    def driver(self, number: int) -> str:
        """The lease of that number; the highest says who runs the sweep."""
        return f"{self.drivers}/{number:06d}.json"

    @property
    def stop(self) -> str:
        """There while the sweep shall stop."""
        return f"{self.root}/stop"


@dataclass(frozen=True)
class TrialPaths:
    """Paths of one trial below its run's artifact root."""

    root: str

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints, one each for a number of clips seen."""
        return f"{self.root.rstrip('/')}/checkpoints"

    def checkpoint(self, clips: int) -> str:
        """The checkpoint after so many training clips; padded, so that names sort as numbers do."""
        return f"{self.checkpoints}/{clips:012d}"

    @property
    def stop(self) -> str:
        """There while this trial shall stop early; says why."""
        return f"{self.root.rstrip('/')}/stop"

    @property
    def log(self) -> str:
        """What the trial's worker logged."""
        return f"{self.root.rstrip('/')}/log.txt"

    @property
    def error(self) -> str:
        """The traceback of a failed trial."""
        return f"{self.root.rstrip('/')}/error.txt"
