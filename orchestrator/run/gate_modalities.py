"""The gate's question whether clips have what models ask for: some files are looked into, once for each data set."""

import json
import subprocess
import sys
from pathlib import Path

from orchestrator.plan.site import DataPlace
from orchestrator.run.verdict import Verdict
from perceiver.config import RunConfig
from perceiver.data.cache import FileIndex
from perceiver.data.files import File

_KIND = "modalities-1"
_ROOT = Path(__file__).resolve().parents[2]


def look_at_modalities(verdict: Verdict) -> None:
    """Whether any clip has each modality of each model that does not do without (`model.missing_modality`)."""
    for name, description in verdict.plan.data.descriptions.items():
        configs = [each.config for each in verdict.plan.configurations if each.config.data.set == name]
        wanted = dict.fromkeys(modality for config in configs for modality in _needed(config))
        place = verdict.site.data[name]
        if not wanted or place.synthetic:
            continue
        for split, found in _seen(place, description.digest).items():
            for modality in wanted:
                told = description.known.lacks(modality)  # by `gate_data`, of all files
                if found.get("files") and not found.get(modality) and not told:
                    verdict.of_sweep(
                        f"model.inputs.{modality}",
                        f"model.inputs.{modality}: of {found['files']} {split} clips of data set {name} that were "
                        f"looked into none has {modality}: `model.inputs.{modality}: null` does without, and "
                        "`model.missing_modality: mask` sees zeros in its place",
                    )


def _needed(config: RunConfig) -> tuple[str, ...]:
    return () if config.model.missing_modality == "mask" else config.model.inputs.modalities


def _seen(place: DataPlace, digest: str) -> dict[str, dict[str, int]]:
    """Split -> what a sample of its files has; empty where that can't be told."""
    index, key = FileIndex(), File(place.url, 0, digest)
    text = index.known(_KIND, [key]).get(place.url)
    if text is None:
        where = [place.url, place.labels] if place.labels else [place.url]
        command = [sys.executable, "-m", "perceiver.data.modalities", *where]
        asked = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
        if asked.returncode:
            return {}
        text = asked.stdout.strip().splitlines()[-1]
        index.remember(_KIND, {key: text})
    found: dict[str, dict[str, int]] = json.loads(text)
    return found
