"""A folder as a user's: a small sweep file, a site, and the command line in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SWEEP = Path(sys.executable).parent / "sweep"

TINY = {
    "model.latents": 8,
    "model.latent_channels": 16,
    "model.inputs.video.bands": 2,
    "model.inputs.audio.bands": 2,
    "train.batch_size": 6,
    "train.epochs": 4.0,
    "eval.times": 4,
}


@dataclass(frozen=True)
class Workplace:
    """Where a user works."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a verb, at this workplace's site."""
        return [str(SWEEP), *arguments, "--site", "site.yaml"]

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a verb to its end."""
        return subprocess.run(self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=300)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts a verb; its output is read line by line."""
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def json(self, *arguments: str) -> Any:
        """What a verb prints with --json."""
        done = self.sweep(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write_sweep(self, name: str, factors: dict[str, list[Any]], seeds: int = 1, **changes: Any) -> str:
        """A one-factor sweep file; returns its name."""
        document = {
            "sweep": name,
            "question": "Does it work?",
            "base": "tiny",
            "set": TINY | changes,
            "vary": {"by": "one-factor", "factors": factors},
            "seeds": seeds,
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
        return f"{name}.yaml"
