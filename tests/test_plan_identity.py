"""Identities: what changes them, what does not, and golden values that a new version must not move unseen."""

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.plan.closure import closure_digest
from orchestrator.plan.identity import canonical, code_digest, config_digest, identity, mixed_identity
from orchestrator.plan.remembered_code import PACKAGE, remembered_digest
from perceiver.config import RunConfig, all_keys, load, with_changes
from perceiver.model_config import ADDED_LATER


def test_golden_config_digest() -> None:
    """A change here makes every result ever recorded a stranger: change it only together with the meaning of a key."""
    assert config_digest(RunConfig()) == "5910c230e914345cc66b10179e99379af9858f188e196dbf5f4ff06d65a21f92"


@pytest.mark.parametrize(
    ("base", "digest"),
    [
        ("audioset_mel", "7bb2de3f186d892a"),
        ("audioset_mel_video", "2aa0f8f38bc5f346"),
        ("audioset_raw", "3bf287b7c0a39ece"),
        ("audioset_raw_video", "d60b65b3785617d2"),
        ("audioset_shared", "63d02e6b40531807"),
        ("audioset_tuned", "ffd63970568c00e5"),
        ("audioset_video", "03eda271a21e180f"),
        ("tiny", "353ced01170f84df"),
    ],
)
def test_bases_keep_the_digests_under_which_results_are_paid_for(base: str, digest: str) -> None:
    """A key that is added later is marked `ADDED_LATER`, so that these stay."""
    config = load(Path(__file__).parent.parent / "sweeps" / "base" / f"{base}.yaml")
    known = config if config.model.classes else with_changes(config, {"model.classes": 9})
    assert config_digest(known).startswith(digest)


def test_golden_identity() -> None:
    assert identity("a" * 64, "b" * 64, "c" * 64) == "e164dc97e9b6d892328e82e53f721b203bb66f17f0cc8636b1b3bfdf63020e40"


@pytest.mark.parametrize(
    "changes",
    [
        {"train.lr": 0.005},
        {"train.seed": 1},
        {"model.inputs.video": None},
        {"data.set": "other"},
        {"eval.average": "logits"},
        {"train.steps": 10},
    ],
)
def test_a_key_that_determines_results_changes_the_digest(changes: dict) -> None:
    assert config_digest(with_changes(RunConfig(), changes)) != config_digest(RunConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {"train.micro_batch": 8},
        {"train.compile": True},
        {"model.absorbed_attention": False},
        {"eval.batch_size": 1},
        {"train.epochs": 100},
        {"model.inputs.video.patch": [2, 8, 8]},
    ],
)
def test_speed_and_ways_of_writing_do_not_change_the_digest(changes: dict) -> None:
    assert config_digest(with_changes(RunConfig(), changes)) == config_digest(RunConfig())


def test_the_canonical_form_is_sorted_and_complete() -> None:
    assert canonical(RunConfig()).startswith('{"data.max_bad_fraction":0.02,"data.sampler":"uniform"')


def test_data_and_code_are_part_of_the_identity() -> None:
    assert (
        len({identity("a", "b", "c"), identity("a", "x", "c"), identity("a", "b", "x"), identity("x", "b", "c")}) == 4
    )


def test_a_key_added_later_counts_only_off_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config_digest(RunConfig())
    monkeypatch.setattr(all_keys()["train.ema"], "json_schema_extra", ADDED_LATER)
    later = config_digest(RunConfig())
    assert later != before, "the canonical form held it, so it was no later key"
    assert "train.ema" not in canonical(RunConfig())
    assert "train.ema" in canonical(with_changes(RunConfig(), {"train.ema": 0.9}))


def test_code_that_gives_the_same_results_counts_as_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    today, kept = closure_digest(), tmp_path / "equal_code.json"
    monkeypatch.setattr("orchestrator.plan.identity.EQUAL_CODE", kept)
    for codes, counts_as in (([], today), ([["a", "b"]], today), ([["x"], ["old", "older", today]], "old")):
        kept.write_text(json.dumps({"codes": codes}))
        assert code_digest.__wrapped__() == counts_as


def test_a_remembered_code_digest_counts_while_no_source_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = Path(shutil.copytree(PACKAGE, tmp_path / "perceiver", ignore=shutil.ignore_patterns("__pycache__")))
    first = remembered_digest(copy)
    assert first == closure_digest(copy) == remembered_digest(copy)
    source = copy / "train.py"
    text = source.read_text()
    source.write_text(text.replace("(k + 1)", "(k + 2)"))
    assert remembered_digest(copy) == closure_digest(copy) != first
    source.write_text(text)
    (kept,) = (tmp_path / "cache" / "perceiver-sweeps").glob("code-*.json")
    for damaged in ("", "[]", "{", '{"sources": 1}'):
        kept.write_text(damaged)
        assert remembered_digest(copy) == first


def test_a_trial_begun_by_one_code_and_finished_by_another_matches_neither() -> None:
    begun = identity("a", "b", "c")
    assert len({begun, identity("a", "b", "d"), mixed_identity(begun, "d"), mixed_identity(begun, "e")}) == 4
