"""Estimates: sizes and FLOPs against the paper, the real module and torch's counter; memory against torch's own."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.plan.bases import SHIPPED, read_base
from orchestrator.plan.calibration import Calibration, throughput
from orchestrator.plan.counts import computed_flops, evaluation_flops, flops, parameters, training_flops
from orchestrator.plan.data import DataSeen
from orchestrator.plan.estimate import Cost, Estimator, checkpoint_bytes, training_clips
from orchestrator.plan.memory import kept_bytes, peak_memory
from orchestrator.plan.site import Resources, Site
from perceiver.config import ModelConfig, RunConfig, with_changes
from perceiver.data.digest import DataDescription
from perceiver.model.perceiver import build_model

VIDEO, AUDIO = "model.inputs.video", "model.inputs.audio"
VARIANTS: dict[str, dict[str, Any]] = {
    "mel + video": {},
    "raw + video": {f"{AUDIO}.kind": "raw"},
    "mel": {VIDEO: None},
    "raw": {VIDEO: None, f"{AUDIO}.kind": "raw"},
    "video": {AUDIO: None},
    "one iteration": {"model.iterations": 1},
    "no blocks": {"model.layers_per_block": 0},
    "shared": {"model.iterations": 8, "model.layers_per_block": 6, "model.share_weights": True},
    "shared, one iteration": {"model.iterations": 1, "model.share_weights": True},
    "at start": {"model.iterations": 4, "model.placement": "at_start"},
    "linear fusion": {"model.fusion": "linear"},
    "query": {"model.readout": "query"},
    "unrolled video": {"model.iterations": 4, "model.unroll_time": True},
    "unrolled both": {"model.iterations": 4, "model.unroll_time": True, f"{AUDIO}.unrolled": True},
    "unrolled audio alone": {VIDEO: None, "model.iterations": 4, "model.unroll_time": True},
    "learned positions": {f"{AUDIO}.positions": "learned", f"{VIDEO}.positions": "learned"},
    "2d mel": {f"{AUDIO}.mel_positions": "2d"},
    "wide": {"model.widening": 4, "model.latent_channels": 512, "model.self_heads": 4},
    "many classes": {"model.classes": 1000, f"{VIDEO}.embedding": 16},
}


def model_of(changes: dict[str, Any], **more: Any) -> ModelConfig:
    return with_changes(RunConfig(), changes | more).model


def inputs_of(model: ModelConfig, clips: int = 1) -> dict[str, torch.Tensor]:
    video, audio = model.inputs.video, model.inputs.audio
    inputs = {}
    if video is not None:
        inputs["video"] = torch.empty(clips, video.frames, video.size, video.size, 3, dtype=torch.uint8)
    if audio is not None:
        inputs["audio"] = torch.empty(clips, audio.samples)
    return inputs


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_parameters_and_flops_are_those_of_the_real_module(changes: dict[str, Any]) -> None:
    model = model_of(changes)
    module, counted = counted_by_torch(model)
    assert parameters(model) == sum(parameter.numel() for parameter in module.parameters())
    assert computed_flops(model) == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("name", ["mel + video", "raw", "linear fusion", "query", "unrolled both", "wide"])
def test_flops_are_those_of_the_plain_form(name: str) -> None:
    model = model_of(VARIANTS[name], **{"model.absorbed_attention": False})
    assert flops(model) == computed_flops(model) == pytest.approx(counted_by_torch(model)[1], rel=0.01)


def counted_by_torch(model: ModelConfig) -> tuple[torch.nn.Module, int]:
    with torch.device("meta"):
        module = build_model(model)
        with FlopCounterMode(display=False) as counter:
            module(inputs_of(model))
    return module, counter.get_total_flops()


def imagenet(iterations: int, **more: Any) -> ModelConfig:
    """224 x 224 pixels of 3 + 258 channels. The paper's 2D Fourier features are stood in for by learned ones."""
    pixels = {"frames": 1, "size": 224, "patch": [1, 1, 1], "positions": "learned", "position_channels": 258}
    sizes = {"model.iterations": iterations, "model.layers_per_block": 48 // iterations, "model.classes": 1000}
    return model_of({AUDIO: None, VIDEO: pixels}, **sizes, **more)


@pytest.mark.parametrize(("iterations", "gigaflops"), [(1, 404.3), (2, 447.6), (4, 534.1), (8, 707.2)])
def test_flops_are_the_papers_on_imagenet(iterations: int, gigaflops: float) -> None:
    """Table 6; layer norms, softmax and the head, 0.1 %, are not counted here."""
    assert flops(imagenet(iterations)) / 1e9 == pytest.approx(gigaflops, rel=0.0015)


@pytest.mark.parametrize(("shared", "count"), [(True, 44_912_254), (False, 326_241_856)])
def test_parameters_are_the_papers_on_imagenet(shared: bool, count: int) -> None:
    """Table 7: 44.9M with shared weights, 326.2M without."""
    model = imagenet(8, **{"model.share_weights": shared})
    assert parameters(model) - 224 * 224 * 258 == count


@pytest.mark.parametrize(
    ("base", "millions", "gigaflops"),
    [
        ("audioset_raw_video", 109.05, 177.3),
        ("audioset_mel_video", 109.05, 194.1),
        ("audioset_video", 109.02, 174.8),
        ("audioset_raw", 107.42, 126.4),
    ],
)
def test_the_audioset_models_have_the_sizes_derived_from_the_paper(
    base: str, millions: float, gigaflops: float
) -> None:
    model = read_base(SHIPPED / f"{base}.yaml").model
    assert parameters(model) / 1e6 == pytest.approx(millions, abs=0.005)
    assert flops(model) / 1e9 == pytest.approx(gigaflops, abs=0.06)


@pytest.mark.parametrize(
    "name", ["mel + video", "raw + video", "mel", "one iteration", "at start", "unrolled video", "wide", "shared"]
)
@pytest.mark.parametrize("absorbed", [True, False])
def test_kept_memory_is_what_torch_keeps_for_the_backward_pass(name: str, absorbed: bool) -> None:
    model = model_of(VARIANTS[name], **{"model.absorbed_attention": absorbed})
    with torch.device("meta"):
        module = build_model(model)
        kept = [_kept_by_torch(module, model, clips) for clips in (1, 2)]
    assert kept_bytes(model, number=4) == pytest.approx(kept[1] - kept[0], rel=0.08)


def _kept_by_torch(module: torch.nn.Module, model: ModelConfig, clips: int) -> int:
    parameters = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(inputs_of(model, clips))
    return sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in parameters)


@pytest.mark.parametrize(
    ("base", "changes", "mebibytes"),
    [
        ("tiny", {}, 840),
        ("audioset_raw", {"train.batch_size": 4, "model.latent_channels": 512}, 2200),
        ("audioset_video", {"train.batch_size": 1, "model.latent_channels": 256}, 1158),
        ("audioset_mel_video", {"train.batch_size": 1}, 3754),
        ("audioset_mel_video", {"train.batch_size": 4, "model.latent_channels": 512}, 2432),
    ],
)
def test_memory_of_a_cpu_worker_is_near_what_was_measured(base: str, changes: dict[str, Any], mebibytes: int) -> None:
    """Peak resident memory of a process that made two training steps in float32, torch 2.13."""
    config = with_changes(read_base(SHIPPED / f"{base}.yaml"), {"train.precision": "float32"} | changes)
    assert peak_memory(config, gpu=False) / 2**20 == pytest.approx(mebibytes, rel=0.15)


def test_a_step_of_lamb_needs_more_than_one_of_adamw_where_activations_are_small() -> None:
    one = with_changes(RunConfig(), {"train.batch_size": 1})
    adamw = with_changes(one, {"train.optimizer": "adamw"})
    assert peak_memory(one) - peak_memory(adamw) > 4 * parameters(one.model)


def test_memory_falls_with_workers_micro_batches_and_activation_checkpointing() -> None:
    config = RunConfig()
    whole = peak_memory(config)
    assert peak_memory(config, workers=8) < whole
    assert peak_memory(with_changes(config, {"train.micro_batch": 8})) < peak_memory(config, workers=8)
    assert peak_memory(with_changes(config, {"train.activation_checkpointing": True})) < whole
    assert peak_memory(with_changes(config, {"train.precision": "bfloat16"})) < whole


def seen(train: int = 1_738_788, evaluation: int = 17_142) -> DataSeen:
    return DataSeen({"audioset": DataDescription("9f2c41aa", train, evaluation, 527)})


def cost_at(site: Site, **changes: Any) -> Cost:
    return Estimator(site, seen()).cost(with_changes(RunConfig(), {"train.precision": "bfloat16"} | changes))


def test_gpu_hours_are_flops_over_the_assumed_rate() -> None:
    site = Site(resources=Resources(gpus=1), workers=8, flops_per_second=100e12, dollars_per_gpu_hour=2.0)
    cost = cost_at(site)
    forward = computed_flops(RunConfig().model)
    clips = 3 * training_clips(RunConfig(), 1_738_788) + 10 * 16 * 3 * 17_142  # with both modalities, and each alone
    assert cost.gpu_hours == pytest.approx(clips * forward / 100e12 / 3600)
    assert cost.seconds == pytest.approx(cost.gpu_hours * 3600 / 8)
    assert cost.dollars == pytest.approx(2 * cost.gpu_hours)


PAPER = with_changes(RunConfig(), {"train.precision": "bfloat16"})


def measured(config: RunConfig = PAPER, clips_per_second: float = 1000.0, **more: Any) -> Calibration:
    """A calibration with this config, as eight workers of one GPU."""
    flops, precision = float(training_flops(config)), config.train.precision
    return Calibration(
        **{"clips_per_second": clips_per_second, "training_flops": flops, "precision": precision, "workers": 8} | more
    )


def calibrated(*calibrations: Calibration) -> Site:
    return Site(resources=Resources(gpus=1), workers=8, calibrations=list(calibrations))


def test_a_calibration_takes_the_place_of_the_assumption() -> None:
    site = calibrated(measured(minutes=4.0, spread=0.12))
    clips = training_clips(PAPER, 1_738_788) + 10 * 16 * 17_142  # a view of a clip costs a third of its training
    assert cost_at(site).seconds == pytest.approx(clips / 1000)
    assert Estimator(site, seen()).basis() == "GPU-hours estimated from 4 min of calibration on local, +-12%"


def test_evaluation_is_estimated_from_its_own_speed_where_it_was_measured() -> None:
    evaluated = {"evaluation_clips_per_second": 500.0, "evaluation_flops": float(evaluation_flops(PAPER))}
    clips = training_clips(PAPER, 1_738_788) / 1000 + 10 * 16 * 17_142 / 500
    assert cost_at(calibrated(measured(**evaluated))).seconds == pytest.approx(clips)


def test_activation_checkpointing_is_not_paid_for_twice() -> None:
    """It is in the measured speed, and in the FLOPs that the speed is measured in."""
    config = with_changes(PAPER, {"train.activation_checkpointing": True})
    with_it = cost_at(calibrated(measured(config)), **{"train.activation_checkpointing": True, "eval.times": 1})
    assert with_it.seconds == pytest.approx(training_clips(PAPER, 1_738_788) / 1000 + 16 * 17_142 * 0.75 / 1000)


def test_the_measured_model_that_is_nearest_in_size_counts_and_of_equals_the_newest() -> None:
    small = with_changes(PAPER, {"model.latent_channels": 256})
    site = calibrated(measured(clips_per_second=1.0), measured(small, clips_per_second=7000.0), measured())
    assert cost_at(site).seconds == cost_at(calibrated(measured())).seconds
    few = {"model.latent_channels": 256, "train.steps": 7000, "train.batch_size": 1, "eval.times": 1, "eval.clips": 1}
    assert cost_at(site, **few).seconds == pytest.approx(1 + 17_142 / 7000)


def test_a_measured_peak_corrects_the_memory_of_every_trial() -> None:
    plain = cost_at(calibrated(measured()))
    corrected = calibrated(measured(memory=1.2e9, expected_memory=1.0e9))
    assert cost_at(corrected).memory == pytest.approx(1.2 * plain.memory)
    assert "memory and GPU-hours estimated from calibration" in Estimator(corrected, seen()).basis()


def test_what_was_measured_with_other_resources_does_not_count() -> None:
    elsewhere = calibrated(measured(gpus=2.0), measured(cpus=99.0))
    assert cost_at(elsewhere) == cost_at(calibrated())
    assert "assume" in Estimator(elsewhere, seen()).basis()


@given(st.floats(0.1, 1e4), st.lists(st.floats(0.01, 10), min_size=1, max_size=80))
def test_a_steady_throughput_has_no_spread(rate: float, lengths: list[float]) -> None:
    times = list(itertools.accumulate([0.0, *lengths]))
    found, spread = throughput([(time, rate * time) for time in times])
    assert found == pytest.approx(rate)
    assert spread == pytest.approx(0, abs=1e-6)


def test_the_spread_is_half_the_range_of_the_tenths() -> None:
    speeds = [10, 10, 10, 10, 8, 12, 10, 10, 10, 10]
    marks = [(4.0 * step, 4.0 * sum(speeds[:step])) for step in range(11)]
    assert throughput(marks) == (10, 0.2)


def test_twice_the_gpus_halve_the_time_and_not_the_hours() -> None:
    one, two = (cost_at(Site(resources=Resources(gpus=1), workers=workers)) for workers in (4, 8))
    assert two.seconds == pytest.approx(one.seconds / 2)
    assert two.gpu_hours == pytest.approx(one.gpu_hours)


def test_costs_that_depend_on_unseen_data_are_open() -> None:
    cost = Estimator(Site(), DataSeen()).cost(RunConfig())
    assert (cost.gpu_hours, cost.seconds, cost.dollars) == (None, None, None)
    assert cost.parameters == 109_048_898


def test_wall_time_is_at_least_the_longest_trial_and_at_most_all_of_them() -> None:
    cost = cost_at(Site(concurrency=4, local_cpus=4))
    totals = Estimator(Site(concurrency=4), seen()).totals([(cost, 2)])
    assert totals.seconds == pytest.approx(cost.seconds)
    totals = Estimator(Site(concurrency=4), seen()).totals([(cost, 8)])
    assert totals.seconds == pytest.approx(2 * cost.seconds)
    assert totals.storage == 8 * cost.storage


def test_a_checkpoint_is_weights_and_two_moments() -> None:
    assert checkpoint_bytes(RunConfig()) == 12 * 109_048_898
    assert checkpoint_bytes(with_changes(RunConfig(), {"train.ema": 0.99})) == 16 * 109_048_898
