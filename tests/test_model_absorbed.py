"""Absorbed attention is the plain one by exact algebra: every option, forward and gradients, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_maker import clips, distance, float64, gradients, greatest_distance, stir, tiny

from perceiver.model.absorbed import absorbed_attention, fold
from perceiver.model.attention import CrossAttend
from perceiver.model.perceiver import Perceiver, build_model
from perceiver.model.tokens import Tokens, join

ROUNDING = 1e-12


def both_forms(**changes) -> tuple[Perceiver, Perceiver]:
    folded = stir(build_model(tiny(**changes)))
    plain = build_model(tiny(**changes, absorbed_attention=False))
    plain.load_state_dict(folded.state_dict())
    return folded, plain


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"inputs__audio__kind": "raw"},
        {"inputs__audio": None},
        {"inputs__video": None},
        {"fusion": "linear"},
        {"unroll_time": True},
        {"unroll_time": True, "inputs__audio__unrolled": True},
        {"unroll_time": True, "inputs__video": None},
        {"inputs__audio__mel_positions": "2d"},
        {"inputs__audio__positions": "learned", "inputs__audio__position_channels": 9},
        {"inputs__video__positions": "learned"},
        {"share_weights": True, "iterations": 3},
        {"placement": "at_start", "iterations": 3},
        {"layers_per_block": 0},
        {"readout": "query", "widening": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("blank", [None, "values", "tokens"])
def test_absorbed_attention_equals_the_plain_form(changes, blank) -> None:
    with float64():
        folded, plain = both_forms(**changes)
        assert folded.encoder.absorbed
        assert not plain.encoder.absorbed
        inputs = clips(folded.config)
        absent = {name: torch.arange(3) != i for i, name in enumerate(inputs)}
        arguments = {"present": absent, "blank": blank} if blank else {}
        ours, expected = folded(inputs, **arguments), plain(inputs, **arguments)
        assert distance(ours, expected) < ROUNDING
        assert greatest_distance(gradients(folded, ours), gradients(plain, expected)) < ROUNDING


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    tokens=st.lists(st.integers(1, 20), min_size=1, max_size=2),
    embeddings=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    latents=st.integers(1, 12),
    at_a_time=st.integers(1, 12),
    learned=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_number_of_latents_at_a_time_gives_the_plain_gradients(
    batch, tokens, embeddings, latents, at_a_time, learned, seed
) -> None:
    torch.manual_seed(seed)
    with float64():
        width = 9
        module = stir(CrossAttend(width, width, heads=1, widening=1, gelu="erf"), seed)
        leaves = [torch.randn(batch, latents, width, requires_grad=True)]
        groups = []
        for count, size in zip(tokens, embeddings, strict=False):
            features = torch.randn(batch, count, width - size, requires_grad=learned)
            embedding = torch.randn(size, requires_grad=True)
            leaves += [features, embedding] if learned else [embedding]
            groups.append(Tokens(features, embedding))
        folded = [fold(group) for group in groups]
        ours = absorbed_attention(leaves[0], folded, module.input_norm, module.key, module.value, at_a_time)
        normed = module.input_norm(join(groups))
        scores = leaves[0] @ module.key(normed).mT / width**0.5
        expected = scores.softmax(-1) @ module.value(normed)
        assert distance(ours, expected) < ROUNDING
        weights = torch.randn_like(ours)
        grads, wanted = (torch.autograd.grad((out * weights).sum(), leaves) for out in (ours, expected))
        assert max(distance(grad, want) for grad, want in zip(grads, wanted, strict=True)) < ROUNDING


def test_a_second_backward_pass_gives_the_same_gradients() -> None:
    model = stir(build_model(tiny()))
    output = model(clips(model.config)).square().sum()
    params = list(model.parameters())
    first, second = (torch.autograd.grad(output, params, retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_inputs_that_learn_nothing_get_no_gradient_of_their_size() -> None:
    """The point of keeping the embedding apart: its gradient comes through two numbers a token."""
    made: list[tuple[int, ...]] = []
    tokens = Tokens(torch.randn(1, 50, 20), torch.randn(4, requires_grad=True))
    cross_attend = CrossAttend(8, 24, heads=1, widening=1, gelu="tanh")
    latents = torch.randn(1, 5, 8, requires_grad=True)

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if "mm" in func.__name__:
                made.append(tuple(result.shape))
            return result

    output = cross_attend(latents, [fold(tokens)])
    with Watch():
        output.sum().backward()
    assert (1, 5, 50) in made  # the gradient of the scores
    assert not any(50 in shape and shape[-1] > 1 for shape in made if shape != (1, 5, 50))


def test_several_heads_fall_back_to_the_plain_form() -> None:
    config = tiny(cross_heads=2, inputs__video__embedding=3)
    assert config.absorbed_attention
    model = build_model(config)
    assert not model.encoder.absorbed
    assert model(clips(config)).shape == (3, 5)


def test_the_key_bias_has_a_gradient_of_zero_and_not_none() -> None:
    """Data-parallel training waits for a gradient of every parameter."""
    model = stir(build_model(tiny()))
    grads = gradients(model, model(clips(model.config)))
    assert all(not grad.any() for name, grad in grads.items() if "cross" in name and name.endswith("key.bias"))


def test_bfloat16_stays_near_float32() -> None:
    model = stir(build_model(tiny()))
    inputs = clips(model.config)
    exact = model(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(inputs)
    assert distance(rounded.float(), exact) < 0.05
    exact_grads, rounded_grads = gradients(model, exact), gradients(model, rounded)
    flat, flat_rounded = (torch.cat([g.flatten() for g in grads.values()]) for grads in (exact_grads, rounded_grads))
    assert torch.cosine_similarity(flat, flat_rounded, dim=0) > 0.99
