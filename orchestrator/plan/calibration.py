"""What was measured at a site, for plans that rest on more than an assumption; kept in `runs/profiles/<site>.json`."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.errors import UsageError
from orchestrator.plan.counts import computed_flops
from orchestrator.plan.vary import Part
from perceiver.config import RunConfig

PROFILES = "runs/profiles"
"""Folder of the profiles, below the one in which the command is called."""


class Calibration(Part):
    """A throughput that was measured here."""

    clips_per_second: Annotated[float, Field(gt=0)]
    """Training clips of one trial, all its workers together."""
    flops: Annotated[float, Field(gt=0)]
    """FLOPs of one clip's forward pass as they are computed (`counts.computed_flops`)."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision it trained with."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Workers of the measured trial."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """How long it was measured."""
    spread: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Relative spread of the throughput while it was measured."""
    measured: date | None = None
    """The day."""


_PROFILE = TypeAdapter(list[Calibration])


def calibration_of(config: RunConfig, clips_per_second: float, workers: int, minutes: float | None) -> Calibration:
    """What a trial's `train/clips_per_second` says of its site."""
    return Calibration(
        clips_per_second=clips_per_second,
        flops=computed_flops(config.model),
        precision=config.train.precision,
        workers=workers,
        minutes=minutes,
        measured=date.today(),
    )


def measured_at(site: str) -> list[Calibration]:
    """The measurements in a site's profile, the newest last.

    Raises:
        UsageError: the profile is no longer readable.
    """
    path = _profile(site)
    if not path.is_file():
        return []
    try:
        return _PROFILE.validate_json(path.read_bytes())
    except ValidationError:
        raise UsageError(f"{path} is no profile of a site: remove it or mend it") from None


def save_calibration(site: str, measured: Calibration) -> Path:
    """Adds a measurement to a site's profile; returns the profile's path."""
    path = _profile(site)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_PROFILE.dump_json([*measured_at(site), measured], indent=1))
    return path


def _profile(site: str) -> Path:
    return Path(PROFILES) / f"{site}.json"
