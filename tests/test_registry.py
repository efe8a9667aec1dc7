"""Registered models and their champion, in a real sqlite store."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from sweep_maker import empty_store

from orchestrator.errors import Unreachable, UsageError
from orchestrator.track.registry import CHAMPION, Registry, Version


@pytest.fixture
def tracking(tmp_path: Path) -> str:
    return empty_store(tmp_path)


def register(tracking: str, checkpoint: str, score: float) -> Version:
    client = MlflowClient(tracking)
    run_id = client.create_run("0").info.run_id
    return Registry(tracking).register("perceiver", f"/storage/{checkpoint}", run_id, {"score": str(score)})


def test_a_checkpoint_becomes_one_version_however_often_it_is_registered(tracking: str) -> None:
    first = register(tracking, "a", 0.5)
    again = register(tracking, "a", 0.5)
    assert (again.number, again.run_id, again.score) == (first.number, first.run_id, 0.5)
    assert register(tracking, "b", 0.6).number == "2"


def test_a_rollback_gives_the_alias_back_to_the_champion_before(tracking: str) -> None:
    registry = Registry(tracking)
    assert registry.champion("perceiver") is None
    for checkpoint in ("a", "b"):
        registry.crown(register(tracking, checkpoint, 0.5))
    old, new = registry.rollback("perceiver")
    assert (old.number, new.number) == ("2", "1")
    champion = registry.champion("perceiver")
    assert champion is not None and champion.number == "1"
    with pytest.raises(UsageError, match="first champion"):
        registry.rollback("perceiver")
    with pytest.raises(UsageError, match=r"has no version 7\. Versions: 1, 2"):
        registry.rollback("perceiver", "7")


def test_a_champion_that_another_tool_made_has_no_score(tracking: str) -> None:
    client = MlflowClient(tracking)
    client.create_registered_model("perceiver")
    client.create_model_version("perceiver", "/elsewhere/model")
    client.set_registered_model_alias("perceiver", CHAMPION, "1")
    champion = Registry(tracking).champion("perceiver")
    assert champion is not None and champion.score is None


def test_looking_for_a_model_where_nothing_is_recorded_makes_no_database(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/runs/mlflow.db")
    assert registry.champion("perceiver") is None
    with pytest.raises(UsageError, match="there is no model perceiver"):
        registry.rollback("perceiver")
    with pytest.raises(UsageError, match="there is no model perceiver"):
        registry.version("perceiver", "1")
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_does_not_answer_is_named_by_every_call() -> None:
    registry = Registry("http://me:secret@127.0.0.1:9")
    version = Version("perceiver", "1", "", "", {})
    for call in (
        lambda: registry.champion("perceiver"),
        lambda: registry.register("perceiver", "/a", "1", {}),
        lambda: registry.crown(version),
        lambda: registry.rollback("perceiver"),
        lambda: registry.version("perceiver", "1"),
    ):
        with pytest.raises(Unreachable, match=r"No MLflow server answers at http://me:\*\*\*@127\.0\.0\.1:9"):
            call()
