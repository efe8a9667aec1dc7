"""Our encoder gives what perceiver-pytorch gives, to rounding in float64, forward and gradients.

Its dense layers are gated and four times wider, and its queries, keys and values have no biases. Ours are embedded in
it: the value half of its first layer is the constant 1, the gate half holds our first layer, and the rest is zero; our
biases that it lacks are set to zero. Its tied layers leave the whole first block untied, which the paper's rule does
not: there it holds our one block twice, and our gradients are the sum of its two.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_maker import Pairs, copy_to, distance, float64, gradients, gradients_apart, stir, tiny
from perceiver_pytorch import Perceiver as Theirs
from torch import nn

from perceiver.model.attention import CrossAttend, Dense, SelfAttend
from perceiver.model.encoder import Encoder
from perceiver.model.tokens import Tokens

ROUNDING = 1e-12
ALL = (slice(None),)
EVERY = slice(None)


def attention_pairs(ours: CrossAttend | SelfAttend, theirs: nn.Module) -> Pairs:
    inner = theirs.fn.to_q.weight.shape[0]
    yield ours.norm.weight, theirs.norm.weight, ALL
    yield ours.norm.bias, theirs.norm.bias, ALL
    yield ours.query.weight, theirs.fn.to_q.weight, ALL
    yield ours.key.weight, theirs.fn.to_kv.weight, (slice(0, inner),)
    yield ours.value.weight, theirs.fn.to_kv.weight, (slice(inner, 2 * inner),)
    yield ours.out.weight, theirs.fn.to_out.weight, ALL
    yield ours.out.bias, theirs.fn.to_out.bias, ALL
    if isinstance(ours, CrossAttend):
        yield ours.input_norm.weight, theirs.norm_context.weight, ALL
        yield ours.input_norm.bias, theirs.norm_context.bias, ALL


def dense_pairs(ours: Dense, theirs: nn.Module) -> Pairs:
    first, second = theirs.fn.net[0], theirs.fn.net[2]
    half, width = first.out_features // 2, ours.widen.out_features
    with torch.no_grad():
        first.weight.zero_()
        first.bias.zero_()
        first.bias[:half] = 1.0
        second.weight.zero_()
    gate = (slice(half, half + width),)
    yield ours.norm.weight, theirs.norm.weight, ALL
    yield ours.norm.bias, theirs.norm.bias, ALL
    yield ours.widen.weight, first.weight, gate
    yield ours.widen.bias, first.bias, gate
    yield ours.narrow.weight, second.weight, (EVERY, slice(0, width))
    yield ours.narrow.bias, second.bias, ALL


def encoder_pairs(ours: Encoder, theirs: Theirs) -> Pairs:
    yield ours.latents, theirs.latents, ALL
    distinct = list(dict.fromkeys(theirs.layers))
    blocks = list(ours.blocks) if len(ours.blocks) == len(distinct) else [ours.blocks[0]] * len(distinct)
    for cross_attend, block, layer in zip(ours.cross_attends, blocks, distinct, strict=True):
        yield from attention_pairs(cross_attend, layer.cross_attn)
        yield from dense_pairs(cross_attend.dense, layer.cross_ff)
        for self_attend, (attention, dense) in zip(block, layer.self_attns, strict=True):
            yield from attention_pairs(self_attend, attention)
            yield from dense_pairs(self_attend.dense, dense)


def without_projection_biases(encoder: Encoder) -> Encoder:
    with torch.no_grad():
        for name, param in encoder.named_parameters():
            if name.endswith(("query.bias", "key.bias", "value.bias")):
                param.zero_()
    return encoder


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    iterations=st.integers(1, 4),
    share=st.booleans(),
    layers=st.integers(0, 2),
    latents=st.integers(1, 9),
    width=st.sampled_from([(1, 4), (2, 8), (4, 24)]),
    channels=st.integers(1, 17),
    tokens=st.integers(1, 40),
    widening=st.integers(1, 4),
    absorbed=st.booleans(),
)
def test_the_encoder_equals_theirs(
    iterations, share, layers, latents, width, channels, tokens, widening, absorbed
) -> None:
    heads, latent_channels = width
    config = tiny(
        iterations=iterations, share_weights=share, layers_per_block=layers, latents=latents,
        latent_channels=latent_channels, self_heads=heads, widening=widening, gelu="erf", absorbed_attention=absorbed,
    )  # fmt: skip
    with float64():
        ours = without_projection_biases(stir(Encoder(config, channels), seed=tokens))
        theirs = Theirs(
            num_freq_bands=1, max_freq=1.0, fourier_encode_data=False, input_axis=1, final_classifier_head=False,
            depth=iterations, weight_tie_layers=share, self_per_cross_attn=layers,
            num_latents=latents, latent_dim=latent_channels,
            input_channels=channels, cross_heads=1, cross_dim_head=channels,
            latent_heads=heads, latent_dim_head=latent_channels // heads,
        )  # fmt: skip
        pairs = list(encoder_pairs(ours, theirs))
        copy_to(pairs)
        array = torch.randn(2, tokens, channels)

        output, expected = ours([Tokens(array)]), theirs(array, return_embeddings=True)
        gradients(ours, output)
        gradients(theirs, expected)
    assert distance(output, expected) < ROUNDING
    assert gradients_apart(pairs) < ROUNDING
