"""RunConfig: the paper's shapes, its dotted keys, and mistakes in words that help."""

from pathlib import Path

import pytest
import yaml

from perceiver.config import (
    RunConfig,
    YamlLoader,
    all_keys,
    determining,
    dump,
    flatten,
    is_speed_only,
    load,
    nearest_key,
    parse,
    with_changes,
)
from perceiver.errors import ConfigError

VIDEO, AUDIO = "model.inputs.video", "model.inputs.audio"


def mistakes_of(changes: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        with_changes(RunConfig(), changes)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_the_defaults_have_the_shapes_of_the_paper() -> None:
    mel = RunConfig().model
    raw = with_changes(RunConfig(), {f"{AUDIO}.kind": "raw"}).model
    assert (mel.input_tokens, mel.input_channels) == (17_344, 487)
    assert (raw.input_tokens, raw.input_channels) == (13_024, 487)
    assert (mel.inputs.video.tokens, mel.inputs.audio.tokens, raw.inputs.audio.tokens) == (12_544, 4_800, 480)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({AUDIO: None}, (12_544, 483)),
        ({VIDEO: None, f"{AUDIO}.kind": "raw"}, (480, 257)),
        ({VIDEO: None, f"{AUDIO}.bands": 192}, (4_800, 386)),
    ],
)
def test_one_modality_alone_has_its_own_width(changes: dict, shape: tuple[int, int]) -> None:
    model = with_changes(RunConfig(), changes).model
    assert (model.input_tokens, model.input_channels) == shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.video_dropout": 1.7}, "train.video_dropout: 1.7 is above its greatest value, 1.0"),
        ({"model.iterations": 0}, "model.iterations: 0 is below its least value, 1"),
        ({"train.lr": 0}, "train.lr: 0 must be above 0.0"),
        ({"train.lr": float("nan")}, "train.lr: expected a finite number, got NaN"),
        ({"train.epochs": "many"}, 'train.epochs: expected a number, got "many"'),
        ({"model.iterations": 2.5}, "model.iterations: expected a whole number, got 2.5"),
        ({"model.iterations": True}, "model.iterations: expected a whole number, got true"),
        ({"train.spec_augment": "no"}, 'train.spec_augment: expected true or false, got "no"'),
        ({f"{AUDIO}.kind": "mell"}, f'{AUDIO}.kind: "mell" is none of mel, raw. Nearest: mel'),
        ({"model.iteration": 3}, "model.iteration: not a key of the configuration. Nearest: model.iterations"),
        ({"data": 3}, "data: expected a mapping, got 3"),
        ({"model": 3, "model.latents": 4}, "model: expected a mapping, got 3"),
        ({f"{VIDEO}.bands": 4, VIDEO: "yes"}, f'{VIDEO}: expected a mapping, got "yes"'),
        ({VIDEO: [1], f"{VIDEO}.bands": 4}, f"{VIDEO}: expected a mapping, got [1]"),
        ({"train": None, "train.lr": 0.1}, "train: expected a mapping, got null"),
        ({3: 4}, f"3: not a key of the configuration. Nearest: {nearest_key('3')}"),
        ({"train.epochs": 1e300}, "train.epochs: 1e+300 is above its greatest value, 1000000.0"),
        ({"train.steps": 10**12}, "train.steps: 1000000000000 is above its greatest value, 1000000000"),
        ({"train.lr": 1e300}, "train.lr: 1e+300 is above its greatest value, 1e+37"),
        ({f"{AUDIO}.mel_std": 1e-300}, f"{AUDIO}.mel_std: 1e-300 is below its least value, 0.001"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(changes: dict, message: str) -> None:
    assert mistakes_of(changes) == [message]


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes_of({"train.lr": -1, "train.epoch": 3, "model.latents": 0, "eval.clips": "16"})
    assert len(found) == 4


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"model.self_heads": 7}, ("model.self_heads 7", "model.latent_channels 1024")),
        ({"model.cross_heads": 2}, ("model.cross_heads 2", "487")),
        ({f"{VIDEO}.size": 225}, (f"{VIDEO}.size 225", "8")),
        ({VIDEO: None, AUDIO: None}, ("neither video nor audio",)),
        ({f"{VIDEO}.frames": 64}, ("2.56 s of video", "1.28 s of audio")),
        ({f"{AUDIO}.bands": 300}, ("leave no room", f"{AUDIO}.bands 300")),
        ({f"{VIDEO}.embedding": 0}, ("can't be told apart",)),
        ({"model.unroll_time": True, "model.iterations": 3}, ("model.iterations 3", "16 time steps")),
        ({f"{AUDIO}.mel_high": 30_000.0}, ("mel_high 30000", "48000")),
        ({"train.video_dropout": 0.6, "train.audio_dropout": 0.6}, ("above 1",)),
        ({"train.micro_batch": 1024}, ("train.micro_batch 1024", "train.batch_size 512")),
        ({"train.steps": 9, "train.warmup_steps": 10}, ("train.warmup_steps 10", "train.steps 9")),
        ({"model.cross_heads": 2}, ("487 = 384 of", f"{VIDEO}.patch [2, 8, 8]", f"{VIDEO}.bands 16", "embedding 4")),
        ({f"{AUDIO}.kind": "raw", f"{AUDIO}.segment": 512}, ("641 = ", f"lower {AUDIO}.segment, or", "linear")),
        (
            {f"{AUDIO}.kind": "raw", f"{AUDIO}.bands": 200},
            (f"529 = {AUDIO}.segment 128 + (2 x {AUDIO}.bands 200 + 1)", f"lower {AUDIO}.segment or {AUDIO}.bands,"),
        ),
        (
            {f"{AUDIO}.positions": "learned", f"{AUDIO}.position_channels": 600},
            (f"601 = 1 of {AUDIO}.kind mel + {AUDIO}.position_channels 600", f"lower {AUDIO}.position_channels,"),
        ),
        (
            {VIDEO: None, "model.unroll_time": True, "model.iterations": 7},
            (f"{VIDEO} null", "60 time steps", f"{AUDIO}.samples 61440 / {AUDIO}.mel_hop 1024"),
        ),
        ({f"{AUDIO}.max_resolution": "samples"}, (f"{AUDIO}.max_resolution samples is for raw", f"{AUDIO}.kind mel")),
        (
            {f"{AUDIO}.mel_window": 512},
            (f"of {AUDIO}.mel_bins 80", "93.75 Hz", f"{AUDIO}.mel_low 80", f"{AUDIO}.mel_window 512", "sample_rate"),
        ),
    ],
)
def test_values_that_do_not_fit_together_are_told_with_their_keys(changes: dict, keys: tuple[str, ...]) -> None:
    (message,) = mistakes_of(changes)
    assert all(key in message for key in keys)


def test_two_rules_broken_are_two_mistakes() -> None:
    assert len(mistakes_of({"model.self_heads": 7, f"{VIDEO}.size": 225})) == 2


def test_rules_between_keys_are_told_beside_wrong_fields() -> None:
    found = mistakes_of({"train.lr": "x", "model.self_heads": 7, "train.micro_batch": 1024, f"{VIDEO}.size": 225})
    assert len(found) == 4 and found[0].startswith("train.lr")


@pytest.mark.parametrize(
    "changes",
    [
        {"model.self_heads": "x", "model.latent_channels": 1001},
        {f"{VIDEO}.patch": [2, "x", 8], f"{VIDEO}.size": 225},
        {VIDEO: 3, f"{AUDIO}.samples": 1024},
    ],
)
def test_a_rule_is_not_judged_where_a_field_of_it_is_wrong(changes: dict) -> None:
    (message,) = mistakes_of(changes)
    assert message.startswith(next(iter(changes)))


def test_a_rule_is_not_judged_where_an_unknown_name_may_mean_a_field_of_it() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"model": {"self_head": 7, "latent_channels": 1001}})
    assert [mistake.nearest for mistake in caught.value.mistakes] == ["model.self_heads"]


def test_the_text_on_audio_bands_is_true() -> None:
    assert "at most 178 (raw) and 242 (mel)" in all_keys()[f"{AUDIO}.bands"].description
    for kind, most in (("raw", 178), ("mel", 242)):
        with_changes(RunConfig(), {f"{AUDIO}.kind": kind, f"{AUDIO}.bands": most})
        assert len(mistakes_of({f"{AUDIO}.kind": kind, f"{AUDIO}.bands": most + 1})) == 1


def test_changes_are_applied_from_the_outside_in_and_stay_as_they_were() -> None:
    given = {f"{VIDEO}.bands": 4, VIDEO: {"frames": 32}}
    assert with_changes(RunConfig(), given).model.inputs.video.bands == 4
    assert given == {f"{VIDEO}.bands": 4, VIDEO: {"frames": 32}}


@pytest.mark.parametrize("order", [1, -1])
def test_keys_inside_a_part_that_is_switched_off_fall_away(order: int) -> None:
    given = dict([(f"{VIDEO}.bands", 4), (VIDEO, None)][::order])
    assert with_changes(RunConfig(), given).model.inputs.video is None


def test_flat_and_nested_forms_are_the_same_config() -> None:
    config = with_changes(RunConfig(), {"train.video_dropout": 0.1, f"{VIDEO}.patch": [4, 8, 8]})
    assert with_changes(RunConfig(), flatten(config)) == config
    assert parse(dump(config)) == config
    assert flatten(config)["train.video_dropout"] == 0.1


def test_an_absent_modality_is_one_leaf_and_comes_back_with_its_defaults() -> None:
    deaf = with_changes(RunConfig(), {AUDIO: None})
    assert flatten(deaf)[AUDIO] is None
    assert with_changes(deaf, {f"{AUDIO}.kind": "mel"}) == RunConfig()


def test_whole_numbers_are_numbers_too() -> None:
    assert with_changes(RunConfig(), {"train.epochs": 20}) == with_changes(RunConfig(), {"train.epochs": 20.0})


def test_keys_that_only_change_speed_do_not_determine_a_result() -> None:
    quick = {"model.absorbed_attention": False, "train.micro_batch": 8, "train.compile": True, "eval.batch_size": 2}
    assert all(is_speed_only(key) for key in quick)
    assert determining(with_changes(RunConfig(), quick)) == determining(RunConfig())
    assert not any(is_speed_only(key) for key in determining(RunConfig()))


def test_every_key_is_described() -> None:
    leaves = [key for key in all_keys() if key not in ("model", "data", "train", "eval")]
    assert [key for key in leaves if not all_keys()[key].description] == []


def test_nearest_key_finds_the_key_that_was_meant() -> None:
    assert nearest_key("train.videodropout") == "train.video_dropout"
    assert nearest_key("iterations") == "model.iterations"


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().train.lr = 1.0  # type: ignore[misc]


def test_a_yaml_file_is_a_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("train: {lr: 1e-4, epochs: 3}\n")
    assert load(path).train.lr == 0.0001


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- 1\n", "holds no mapping"),
        ("", "holds no mapping"),
        ("train: [", "can't be read as YAML"),
        ("\tx: 1\n", "can't be read as YAML"),
        ("train: {lr: 1, lr: 2}\n", "the key lr is given twice"),
        ("when: 2020-99-99\n", "can't be read as YAML"),
        ("train: {lr: -1}\n", "train.lr: -1 must be above 0"),
        ("3: 4\n", "3: "),
    ],
)
def test_a_file_that_holds_no_config_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"config\.yaml: .*{problem}"):
        load(path)


def test_a_mapping_that_merged_another_can_be_merged_itself() -> None:
    text = "B: &B {k: 2, z: 1}\nx: {a: &A {<<: *B, k: 1}}\n<<: *A\n"
    assert yaml.load(text, Loader=YamlLoader) == yaml.safe_load(text)
    with pytest.raises(yaml.YAMLError, match="the key k is given twice"):
        yaml.load("B: &B {k: 2, k: 1}\nx: {<<: *B}\n", Loader=YamlLoader)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: is not there"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(tmp_path)
