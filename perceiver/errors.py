"""Every error that the perceiver raises on purpose.

PerceiverError
+-- ConfigError     a config that can't be run; holds all mistakes found, each a ConfigMistake
+-- DataError       a data set that can't be read at all: missing, no label list, too many bad clips
|   +-- ClipError   one clip that is wrong in itself; counted and skipped
+-- StorageError    storage that can't give or take something now; says nothing of what lies there
+-- NumericError    a loss or an input that is not finite
+-- CheckpointError a checkpoint that is incomplete, damaged, or of another model
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

COMPUTES = False
"""No result depends on this module (see `orchestrator.plan.closure`): it only words messages."""


class PerceiverError(Exception):
    """Base of all errors raised here on purpose."""


@dataclass(frozen=True)
class ConfigMistake:
    """One mistake: the dotted key (empty for a rule between several keys), what is wrong, the nearest valid name."""

    key: str
    problem: str
    nearest: str | None = None

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        nearest = f". Nearest: {self.nearest}" if self.nearest else ""
        return f"{key}{self.problem}{nearest}"


class ConfigError(PerceiverError):
    """Raised when a config can't be run; `mistakes` holds them all, `source` the name of their file."""

    def __init__(self, mistakes: Sequence[ConfigMistake], source: str = "") -> None:
        self.mistakes, self.source = list(mistakes), source
        super().__init__("\n".join(f"{source}: {mistake}" if source else str(mistake) for mistake in self.mistakes))


class DataError(PerceiverError):
    """Raised when a data set can't be used: not there, no label list, labels that don't fit, too many bad clips."""


class ClipError(DataError):
    """Raised when one clip can't be read; `reason` is a short class that is counted, the message says the rest."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class StorageError(PerceiverError):
    """Raised when storage can't give or take something now: no answer, 5xx, forbidden, no space, a mount gone.

    Never a fault of what lies there, so nothing is counted as bad for it. `status` is the errno or the HTTP status that
    storage gave, None where it gave none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)

    @property
    def is_refusal(self) -> bool:
        """Whether storage answered, but not to this user: no right, or credentials that have expired."""
        return self.status in (errno.EACCES, errno.EPERM, 401, 403)


class NumericError(PerceiverError):
    """Raised when an input or the loss is NaN or infinite; names the clips."""


class CheckpointError(PerceiverError):
    """Raised when a checkpoint is incomplete, damaged, or does not fit the config."""
