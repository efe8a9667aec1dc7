"""Folders of somebody's own clips, as people have them, and the command line that is called on them."""

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from orchestrator.cli import main


def make_wavs(folder: Path, names: Iterable[str], seconds: float = 0.2, rate: int = 4_000) -> None:
    """Small files of sound, each with another content; a name may have folders."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng([*name.encode()]).normal(0, 3_000, int(seconds * rate)).astype("<i2")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())


def write_lists(folder: Path, train: Iterable[str], evaluation: Iterable[str], classes: str = "ab") -> None:
    """Rows as AudioSet has them, and the label list."""
    for split, rows in (("train", train), ("eval", evaluation)):
        (folder / f"{split}_segments.csv").write_text("# one\n# two\n# three\n" + "".join(f"{row}\n" for row in rows))
    labels = "".join(f"{index},/m/{name},Class {name}\n" for index, name in enumerate(classes))
    (folder / "class_labels_indices.csv").write_text(f"index,mid,display_name\n{labels}")


def sweep(*arguments: str) -> Result:
    """Calls the command line in this process."""
    return CliRunner().invoke(main, list(arguments))
