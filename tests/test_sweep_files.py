"""Every file below sweeps/ and cluster/sites/ is one that the program accepts, and says what a reader needs to know."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.plan import schema
from orchestrator.plan.bases import SHIPPED, read_base
from orchestrator.plan.counts import parameters
from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.site import SHIPPED as SITES
from orchestrator.plan.site import Site, load_site
from orchestrator.plan.spec import load_sweep
from orchestrator.plan.vary import Range
from perceiver.config import YamlLoader, determining, flatten, load

SWEEPS = sorted(SHIPPED.parent.glob("*.yaml"))
BASES = sorted(SHIPPED.glob("*.yaml"))
PAPER = ("attention_iterations", "layers_per_block", "video_dropout", "modality_embedding")


@pytest.fixture(scope="module")
def editor() -> Any:
    """Checks a document as an editor does."""
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(schema.sweep_schema())


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", SWEEPS, ids=name_of)
def test_every_sweep_file_loads_and_plans(path: Path) -> None:
    plan = plan_sweep(load_sweep(path))
    assert plan.trials
    assert plan.sweep.name.replace("-", "_") == path.stem


@pytest.mark.parametrize("path", SWEEPS, ids=name_of)
def test_every_sweep_file_opens_with_schema_expectation_and_command(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=sweep.schema.json\n")
    assert "# Expect " in text
    assert f"# Command  sweep run sweeps/{path.name}" in text
    assert load_sweep(path).question.endswith("?")


@pytest.mark.parametrize("path", BASES, ids=name_of)
def test_every_base_is_a_complete_config_that_also_runs_alone(path: Path) -> None:
    assert load(path) == read_base(path)


@pytest.mark.parametrize("path", sorted(SITES.glob("*.yaml")), ids=name_of)
def test_every_site_file_loads(path: Path) -> None:
    assert load_site(path.stem).name


@pytest.mark.parametrize("name", PAPER)
def test_the_four_sweeps_start_from_the_papers_model(name: str) -> None:
    sweep = load_sweep(SHIPPED.parent / f"{name}.yaml")
    assert sweep.base == "audioset_mel_video"
    assert parameters(sweep.baseline.model) == 109_048_898


@pytest.mark.parametrize(
    ("row", "base"),
    [
        ("baseline", "audioset_mel_video"),
        ("raw + video", "audioset_raw_video"),
        ("mel", "audioset_mel"),
        ("raw", "audioset_raw"),
        ("video", "audioset_video"),
        ("mel + video tuned", "audioset_tuned"),
    ],
)
def test_table_3_has_the_papers_models(row: str, base: str) -> None:
    configs = {
        each.label: each.config for each in plan_sweep(load_sweep(SHIPPED.parent / "table3.yaml")).configurations
    }
    assert determining(configs[row]) == determining(read_base(SHIPPED / f"{base}.yaml"))
    without = [config for label, config in configs.items() if label.endswith("without video dropout")]
    assert {(config.model.inputs.audio.kind, config.train.video_dropout) for config in without} == {
        ("mel", 0.0),
        ("raw", 0.0),
    }
    assert len(configs) == 8


def test_the_tuned_search_surrounds_the_papers_best() -> None:
    """44.2 mAP: no SpecAugment, audio dropped at 0.1, video at 0.3."""
    sweep = load_sweep(SHIPPED.parent / "tuned.yaml")
    best = flatten(read_base(SHIPPED / "audioset_tuned.yaml"))
    for key, factor in sweep.vary.factors.items():
        inside = factor.low <= best[key] <= factor.high if isinstance(factor, Range) else best[key] in factor
        assert inside, key
    assert flatten(sweep.baseline) == best | {"train.epochs": 20.0}
    assert {"train.audio_dropout", "train.video_dropout", "train.spec_augment"} <= sweep.vary.factors.keys()


def test_the_laptop_sweep_asks_all_four_questions() -> None:
    factors = load_sweep(SHIPPED.parent / "four_questions.yaml").vary.factors
    assert {key.split(".")[-1] for key in factors} == {"iterations", "layers_per_block", "video_dropout", "embedding"}


def test_the_local_site_is_the_default() -> None:
    assert load_site(None) == load_site("local")
    local = Site().model_dump(exclude={"storage", "tracking", "data"})
    assert load_site("local").model_dump(exclude={"storage", "tracking", "data"}) == local


@pytest.mark.parametrize(
    ("name", "differing"),
    [
        ("audioset_raw_video", {"model.inputs.audio.kind", "model.inputs.audio.max_resolution"}),
        ("audioset_tuned", {"train.spec_augment", "train.audio_dropout"}),
        ("audioset_shared", {"model.iterations", "model.layers_per_block", "model.share_weights"}),
    ],
)
def test_bases_differ_from_the_main_one_only_as_they_say(name: str, differing: set[str]) -> None:
    main, other = flatten(read_base(SHIPPED / "audioset_mel_video.yaml")), flatten(read_base(SHIPPED / f"{name}.yaml"))
    assert {key for key in main if main[key] != other[key]} == differing


def test_the_checked_in_schemas_are_current() -> None:
    for path, text in schema.files().items():
        assert path.read_text() == text, "run: python -m orchestrator.plan.schema"


@pytest.mark.parametrize("path", SWEEPS, ids=name_of)
def test_every_sweep_file_fits_the_schema_that_editors_use(path: Path, editor: Any) -> None:
    editor.validate(yaml.load(path.read_text(), Loader=YamlLoader))


@pytest.mark.parametrize(
    "wrong",
    [
        {"set": {"train.lr": "fast"}},
        {"vary": {"by": "one-factor", "factors": {"train.video_dropout": 0.3}}},
        {"vary": {"by": "one-factor", "factors": {"train.video_dropout": [1.7]}}},
        {"vary": {"by": "random", "factors": {"train.lr": [0.1]}}},
        {"seeds": 0},
        {"seeds": [1, 1]},
        {"sweep": "My Sweep"},
        {"limits": {"memory": "70GiB"}},
        {"limits": {"parameters": -1}},
        {"score": {"goal": "max"}},
        {"final": {"train.epochs": "many"}},
        {"stop_early": {"rule": "asha", "grace": 0}},
        {"vary": {"by": "gird", "factors": {"train.lr": [0.1]}}},
        {"vary": {"by": "grid", "factors": {"train.lr": [0.1]}, "match": {"keep": "flop", "solve": "model.latents"}}},
        {"vary": {"by": "random", "trials": 3, "factors": {"train.lr": {"low": 0.1}}}},
        {"vary": {"by": "list", "points": [{"train.lr": "fast"}]}},
        {"vary": {"by": "leave-one-out", "components": {}}},
        {"colour": "blue"},
    ],
)
def test_the_schema_finds_what_the_program_finds(wrong: dict, editor: Any) -> None:
    right = {"sweep": "x", "base": "tiny", "vary": {"by": "grid", "factors": {"train.video_dropout": [0.1]}}}
    assert editor.is_valid(right)
    assert not editor.is_valid(right | wrong)


def test_no_line_of_a_sweep_file_is_longer_than_the_code_may_be() -> None:
    long = [path.name for path in [*SWEEPS, *BASES] for line in path.read_text().splitlines() if len(line) > 120]
    assert not long
    assert all(not re.search(r"\t", path.read_text()) for path in SWEEPS)
