"""A set is ingested once, and a sweep trains from them as from any other set."""

import json

import pytest
import yaml
from workplace import Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_sweep_trains_from_an_ingested_set(workplace: Workplace) -> None:
    first = workplace.json("data", "ingest", "synthetic", "shards", "--pixels", "64")
    assert first["clips"] == {"train": 18, "eval": 9} and first["shards_written"] == 3
    again = workplace.sweep("data", "ingest", "synthetic", "shards", "--pixels", "64")
    assert again.returncode == 0 and "nothing was done" in again.stdout and "Next:" in again.stdout
    refused = workplace.sweep("data", "ingest", "synthetic", ".")
    assert refused.returncode == 1 and "no ingested set" in refused.stderr
    (workplace.folder / "site.yaml").write_text(yaml.safe_dump({"data": {"synthetic": "shards"}}))
    file = workplace.write_sweep(
        "packed", {"train.video_dropout": [0.0, 0.3]}, **{"train.epochs": 1.0, "eval.times": 1}
    )
    done = workplace.sweep("run", file)
    assert done.returncode == 0, done.stderr
    frozen = json.loads((workplace.folder / "runs" / "storage" / "packed" / "sweep.json").read_text())
    assert {trial["data_digest"] for trial in frozen["trials"].values()} == {first["digest"]}
