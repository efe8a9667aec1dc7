"""Small models with weights that make every part matter, and what tests of the model compare."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from perceiver.config import ModelConfig, RunConfig, with_changes

TINY = {
    "model.inputs.video.frames": 4,
    "model.inputs.video.size": 16,
    "model.inputs.audio.samples": 7_680,
    "model.inputs.audio.mel_bins": 16,
    "model.inputs.audio.bands": 8,
    "model.latents": 7,
    "model.latent_channels": 16,
    "model.self_heads": 4,
    "model.layers_per_block": 2,
    "model.classes": 5,
}


def tiny(**changes: Any) -> ModelConfig:
    """A model of a few thousand weights; changes are keys below `model` with __ for dots."""
    dotted = {f"model.{key.replace('__', '.')}": value for key, value in changes.items()}
    absent = {key for key, value in dotted.items() if value is None}
    base = {key: value for key, value in TINY.items() if not any(key.startswith(f"{name}.") for name in absent)}
    return with_changes(RunConfig(), base | dotted).model


@contextmanager
def float64() -> Iterator[None]:
    """New tensors are float64 inside."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def stir(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random values for all parameters: initial ones hide mistakes behind zeros (biases, logits) and ones (norms)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, param in model.named_parameters():
            noise = torch.randn(param.shape, generator=generator, dtype=param.dtype)
            if param.ndim == 1:
                param.copy_(0.3 * noise + (1.0 if name.endswith("norm.weight") else 0.0))
            else:
                param.copy_(noise / (param.shape[-1] ** 0.5 if name.endswith("weight") else 1.0))
    return model


def clips(config: ModelConfig, batch: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Random raw inputs of the modalities that the model has."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    if (video := config.inputs.video) is not None:
        shape = (batch, video.frames, video.size, video.size, 3)
        inputs["video"] = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    if (audio := config.inputs.audio) is not None:
        samples = torch.rand(batch, audio.samples, generator=generator, dtype=torch.float64) * 2 - 1
        inputs["audio"] = samples.to(torch.get_default_dtype())
    return inputs


def gradients(model: nn.Module, output: Tensor) -> dict[str, Tensor]:
    """Gradients of a fixed random projection of the output, by parameter name; a missing one is an error."""
    model.zero_grad()
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    (output * weights.to(output.dtype)).sum().backward()
    return {name: param.grad.clone() for name, param in model.named_parameters()}


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Greatest difference, relative to the greatest value where that is above one."""
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1.0)).item()


def greatest_distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The same over named tensors; the names must agree."""
    assert ours.keys() == theirs.keys()
    return max(distance(ours[name], theirs[name]) for name in ours)


Pairs = Iterable[tuple[Tensor, Tensor, tuple[slice, ...]]]
"""Our parameter, the peer's, and the part of the peer's that is ours."""


def copy_to(pairs: Pairs) -> None:
    """Give the peer our weights."""
    with torch.no_grad():
        for ours, theirs, part in pairs:
            theirs[part].copy_(ours.reshape(theirs[part].shape))


def gradients_apart(pairs: Pairs) -> float:
    """Greatest distance between our gradients and the peer's; a weight that the peer has in several places has the sum
    of their gradients.
    """
    sums: dict[Tensor, Tensor] = {}
    for ours, theirs, part in pairs:
        sums[ours] = sums.get(ours, 0) + theirs.grad[part].reshape(ours.shape)
    return max(distance(ours.grad, gradient) for ours, gradient in sums.items())
