"""Training itself: on real clips, on one core, in seconds."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from perceiver.config import RunConfig, load, with_changes
from perceiver.data.audioset import DataSource
from perceiver.data.dataset import open_splits
from perceiver.data.sampling import make_sampler
from perceiver.errors import CheckpointError, DataError, NumericError
from perceiver.state import TrainState, load_weights
from perceiver.train import Progress, total_steps, train

BASE = Path(__file__).parent.parent / "sweeps" / "base" / "tiny.yaml"
QUICK = {"model.latents": 8, "model.latent_channels": 16, "train.batch_size": 6, "train.steps": 6, "eval.times": 2}


def config(**changes: Any) -> RunConfig:
    return with_changes(load(BASE), QUICK | {key.replace("__", "."): value for key, value in changes.items()})


def run(config: RunConfig, data: DataSource, resume: Path | None = None) -> list[Progress]:
    return list(train(config, resume, data=data))


def test_a_trial_reports_the_metrics_of_the_design(synthetic_source: DataSource) -> None:
    last = run(config(), synthetic_source)[-1]
    assert last.fraction == 1 and last.clips == 36
    names = {"train/loss", "train/clips_per_second", "eval/mAP", "eval/AUC", "eval/d_prime", "eval/loss"}
    names |= {"eval/mAP_audio_only", "eval/mAP_video_only", "cost/gpu_hours", "cost/peak_memory_bytes"}
    assert names <= last.metrics.keys()


def test_a_model_of_one_modality_has_no_metrics_of_one_modality(synthetic_source: DataSource) -> None:
    last = run(config(model__inputs__video=None), synthetic_source)[-1]
    assert "eval/mAP" in last.metrics and "eval/mAP_audio_only" not in last.metrics


@pytest.mark.parametrize(
    "changes",
    [{}, {"train__ema": 0.9}, {"train__optimizer": "lamb", "data__sampler": "balanced", "train__mixup": 0.5}],
    ids=["plain", "averaged weights", "lamb, balanced, mixup"],
)
def test_a_resumed_trial_ends_where_an_unbroken_one_does(
    changes: dict[str, Any], synthetic_source: DataSource, tmp_path: Path
) -> None:
    whole = run(config(**changes), synthetic_source)
    for progress in train(config(**changes), data=synthetic_source):
        if progress.state.step == 3:
            progress.state.save(tmp_path)
            break
    resumed = run(config(**changes), synthetic_source, tmp_path)
    assert resumed[0].state.step == 6
    expected, found = whole[-1].state.eval_model.state_dict(), resumed[-1].state.eval_model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert resumed[-1].metrics["eval/mAP"] == whole[-1].metrics["eval/mAP"]
    steps = [entry["clips"] for entry in resumed[-1].state.history]
    assert steps == [entry["clips"] for entry in whole[-1].state.history], "the history is whole, nothing twice"


@pytest.mark.parametrize("changes", [{"train__micro_batch": 2}, {"train__micro_batch": 3, "train__mixup": 0.5}])
def test_micro_batches_compute_the_gradient_of_the_global_batch(
    changes: dict[str, Any], synthetic_source: DataSource
) -> None:
    whole = run(config(**(changes | {"train__micro_batch": None})), synthetic_source)[-1]
    parts = run(config(**changes), synthetic_source)[-1]
    for name, value in whole.state.model.state_dict().items():
        torch.testing.assert_close(parts.state.model.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_bad_clips_of_earlier_attempts_count_towards_the_limit(synthetic_source: DataSource, tmp_path: Path) -> None:
    """Two bad training clips are one too many for this limit, also when each is met by another attempt."""
    shutil.copytree(synthetic_source.url, tmp_path / "set")
    data, limited = DataSource(str(tmp_path / "set")), config(data__max_bad_fraction=0.06)
    first, second = sorted((tmp_path / "set" / "clips").iterdir(), key=_place_in_training(limited, data))[:2]
    first.write_bytes(b"")
    for progress in train(limited, data=data):
        if progress.state.step == 3:
            assert [clip.split for clip in progress.bad_clips] == ["train"]
            progress.state.save(tmp_path / "saved")
            break
    second.write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of the 18 train clips .*max_bad_fraction allows \(1\)"):
        run(limited, data, tmp_path / "saved")


def _place_in_training(config: RunConfig, source: DataSource) -> Callable[[Path], int]:
    """When a file is first drawn for training; files of the evaluation come last."""
    train_set, _ = open_splits(source, config)
    sampler = make_sampler(train_set, config)
    order = [train_set.clips[sampler(place)].path for place in range(len(train_set))]
    return lambda path: order.index(str(path)) if str(path) in order else len(order)


def test_activation_checkpointing_changes_no_result(synthetic_source: DataSource) -> None:
    kept = run(config(), synthetic_source)[-1]
    computed_again = run(config(train__activation_checkpointing=True), synthetic_source)[-1]
    assert computed_again.metrics["train/loss"] == pytest.approx(kept.metrics["train/loss"], rel=1e-5)


def test_gradients_are_clipped_by_their_global_norm(synthetic_source: DataSource) -> None:
    def norm(clip_norm: float | None) -> float:
        model = run(config(train__steps=1, train__clip_norm=clip_norm, eval__clips=1), synthetic_source)[-1].state.model
        return torch.nn.utils.get_total_norm([param.grad for param in model.parameters()]).item()

    whole = norm(None)
    assert norm(whole / 4) == pytest.approx(whole / 4, rel=1e-3)
    assert norm(whole * 4) == pytest.approx(whole, rel=1e-3)


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated")  # of torch's compiler, about its own doing
def test_training_runs_the_compiled_model_where_the_config_says_so(synthetic_source: DataSource) -> None:
    """Compiling takes a minute; torch can be told to refuse instead, which only code that is to be compiled notices."""
    with torch.compiler.set_stance("fail_on_recompile"):
        assert run(config(train__steps=1, eval__clips=1), synthetic_source)[-1].fraction == 1
        with pytest.raises(RuntimeError, match="fail_on_recompile"):
            run(config(train__steps=1, train__compile=True), synthetic_source)


def test_bfloat16_stays_close(synthetic_source: DataSource) -> None:
    full = run(config(), synthetic_source)[-1]
    half = run(config(train__precision="bfloat16"), synthetic_source)[-1]
    assert half.metrics["train/loss"] == pytest.approx(full.metrics["train/loss"], abs=0.02)


def test_a_loss_that_is_not_finite_names_the_clips(synthetic_source: DataSource) -> None:
    with pytest.raises(NumericError, match=r"the training loss is (nan|inf) on the clips \w+"):
        run(config(train__lr=1e37), synthetic_source)


def test_a_checkpoint_of_another_config_is_refused(synthetic_source: DataSource, tmp_path: Path) -> None:
    run(config(), synthetic_source)[-1].state.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"another config: train\.lr was 0\.005 and is 0\.5$"):
        run(config(train__lr=0.5), synthetic_source, tmp_path)


def test_a_checkpoint_of_other_data_is_refused(synthetic_source: DataSource, tmp_path: Path) -> None:
    run(config(), synthetic_source)[-1].state.save(tmp_path / "saved")
    shutil.copytree(synthetic_source.url, tmp_path / "set")
    table = tmp_path / "set" / "train_segments.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(CheckpointError, match=r'other data: train was "18 clips, digest \w+" and is "17 clips'):
        run(config(), DataSource(str(tmp_path / "set")), tmp_path / "saved")


@pytest.mark.parametrize(
    "manifest", ["[]", "null", "3", '{"files": []}', '{"files": {}}', '{"files": {"state.pt": 1}}']
)
def test_a_manifest_that_lists_nothing_is_none(manifest: str, tmp_path: Path) -> None:
    TrainState.start(config(), torch.device("cpu")).save(tmp_path)
    (tmp_path / "MANIFEST.json").write_text(manifest)
    with pytest.raises(CheckpointError, match=r"no complete checkpoint|damaged"):
        load_weights(tmp_path)


@pytest.fixture(scope="module")
def silent_source(synthetic_source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """The synthetic set, its clips without their sound."""
    folder = tmp_path_factory.mktemp("data") / "silent"
    shutil.copytree(synthetic_source.url, folder)
    for clip in (folder / "clips").iterdir():
        silent = clip.with_name("silent.mp4")
        with av.open(str(clip)) as source, av.open(str(silent), "w") as target:
            video = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = video
                    target.mux(packet)
        silent.replace(clip)
    return DataSource(str(folder))


def test_a_split_without_any_sound_is_an_error_unless_it_may_be_masked(silent_source: DataSource) -> None:
    with pytest.raises(DataError, match=r"none of 18 train clips .* has audio, and model\.missing_modality is 'error'"):
        run(config(eval__times=1), silent_source)
    assert run(config(model__missing_modality="mask"), silent_source)[-1].fraction == 1
    with pytest.raises(DataError, match=r"none of 9 eval clips .* model\.inputs\.audio: null would do without"):
        run(config(train__steps=1), silent_source)


def test_a_clip_without_sound_is_masked(
    silent_source: DataSource, synthetic_source: DataSource, tmp_path: Path
) -> None:
    shutil.copytree(silent_source.url, tmp_path / "set")
    for split in ("train", "eval"):
        name = f"clips/{split}000003.mp4"
        shutil.copy(f"{synthetic_source.url}/{name}", tmp_path / "set" / name)
    assert run(config(), DataSource(str(tmp_path / "set")))[-1].fraction == 1


def test_a_damaged_checkpoint_is_told(synthetic_source: DataSource, tmp_path: Path) -> None:
    run(config(), synthetic_source)[-1].state.save(tmp_path)
    content = bytearray((tmp_path / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged: state.pt"):
        run(config(), synthetic_source, tmp_path)


def test_the_weights_of_a_checkpoint_load_alone(synthetic_source: DataSource, tmp_path: Path) -> None:
    last = run(config(train__ema=0.5), synthetic_source)[-1]
    last.state.save(tmp_path)
    expected = last.state.eval_model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load_weights(tmp_path).state_dict().items())


def test_length_is_epochs_over_the_clips_unless_steps_are_given() -> None:
    assert total_steps(config(train__steps=None, train__epochs=2.0), 30) == 10
    assert total_steps(config(train__steps=7), 30) == 7


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_the_last_step_of_a_short_trial_is_evaluated(steps: int, synthetic_source: DataSource) -> None:
    """Here there are more evaluations and reports to make than steps: each step has both."""
    reports = run(config(train__steps=steps, eval__times=10, eval__clips=1), synthetic_source)
    assert [progress.fraction for progress in reports] == [(step + 1) / steps for step in range(steps)]
    assert all(progress.evaluation for progress in reports)


def test_a_checkpoint_between_reports_loses_no_loss(synthetic_source: DataSource, tmp_path: Path) -> None:
    longer = config(train__steps=60)
    whole = run(longer, synthetic_source)[-1].state.history
    for progress in train(longer, data=synthetic_source, heartbeat=0.0):
        if progress.state.losses and progress.state.step > 3:
            progress.state.save(tmp_path)
            break
    resumed = run(longer, synthetic_source, tmp_path)[-1].state.history
    assert [entry["metrics"]["train/loss"] for entry in resumed] == pytest.approx(
        [entry["metrics"]["train/loss"] for entry in whole]
    )


def test_heartbeats_let_a_caller_look_between_reports(synthetic_source: DataSource) -> None:
    beats = [p for p in train(config(train__steps=60), data=synthetic_source, heartbeat=0.0) if not p.metrics]
    assert beats and all(p.evaluation is None for p in beats)
