"""Our model gives what transformers' Perceiver gives, to rounding in float64, forward and gradients.

transformers has one cross-attend a model; several iterations are a chain of its encoders, in which shared weights are
one module at several places. Grids are 2, 3, 5, 9 ... long, where its float32 positions are exact.
"""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_maker import Pairs, clips, copy_to, distance, float64, gradients, gradients_apart, stir, tiny
from torch import Tensor, nn
from transformers import PerceiverConfig, PerceiverModel
from transformers.models.perceiver import modeling_perceiver as peer

from perceiver.config import ModelConfig
from perceiver.model.attention import CrossAttend, SelfAttend
from perceiver.model.encoder import Encoder
from perceiver.model.perceiver import build_model
from perceiver.model.readout import QueryReadout
from perceiver.model.tokens import Tokens, join

ROUNDING = 1e-12
ALL = (slice(None),)


def peer_config(config: ModelConfig, channels: int) -> PerceiverConfig:
    return PerceiverConfig(
        num_latents=config.latents,
        d_latents=config.latent_channels,
        d_model=channels,
        num_blocks=1,
        num_self_attends_per_block=config.layers_per_block,
        num_self_attention_heads=config.self_heads,
        num_cross_attention_heads=config.cross_heads,
        self_attention_widening_factor=config.widening,
        cross_attention_widening_factor=config.widening,
        attention_probs_dropout_prob=0.0,
        hidden_act="gelu_new" if config.gelu == "tanh" else "gelu",
        num_labels=config.classes,
    )


def peer_chain(config: ModelConfig, channels: int) -> list[peer.PerceiverEncoder]:
    """One encoder an iteration, tied as the paper says where weights are shared."""
    chain = [peer.PerceiverEncoder(peer_config(config, channels), kv_dim=channels) for _ in range(config.iterations)]
    if config.share_weights:
        for encoder in chain[1:]:
            encoder.cross_attention, encoder.self_attends = chain[1].cross_attention, chain[0].self_attends
    return chain


def layer_pairs(ours: CrossAttend | SelfAttend, theirs: peer.PerceiverLayer) -> Iterator[tuple[Tensor, Tensor]]:
    attention, dense = theirs.attention.self, ours.dense
    modules = [(ours.norm, attention.layernorm1), (ours.query, attention.query), (ours.key, attention.key)]
    modules += [(ours.value, attention.value), (ours.out, theirs.attention.output.dense)]
    modules += [(dense.norm, theirs.layernorm), (dense.widen, theirs.mlp.dense1), (dense.narrow, theirs.mlp.dense2)]
    if isinstance(ours, CrossAttend):
        modules.append((ours.input_norm, attention.layernorm2))
    for our_module, their_module in modules:
        yield our_module.weight, their_module.weight
        yield our_module.bias, their_module.bias


def encoder_pairs(ours: Encoder, chain: list[peer.PerceiverEncoder], latents: Tensor) -> Pairs:
    yield ours.latents, latents, ALL
    for module, theirs in zip(ours.cross_attends, chain, strict=False):
        yield from ((*pair, ALL) for pair in layer_pairs(module, theirs.cross_attention))
    for block, theirs in zip(ours.blocks, chain, strict=False):
        for module, layer in zip(block, theirs.self_attends, strict=True):
            yield from ((*pair, ALL) for pair in layer_pairs(module, layer))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    iterations=st.integers(1, 4),
    layers=st.integers(0, 2),
    latents=st.integers(1, 9),
    width=st.sampled_from([(1, 4), (2, 8), (4, 24)]),
    channels=st.integers(1, 9).map(lambda n: 2 * n),
    cross_heads=st.sampled_from([1, 2]),
    tokens=st.integers(1, 40),
    widening=st.integers(1, 3),
    share=st.booleans(),
    absorbed=st.booleans(),
    gelu=st.sampled_from(["tanh", "erf"]),
)
def test_the_encoder_equals_a_chain_of_theirs(
    iterations, layers, latents, width, channels, cross_heads, tokens, widening, share, absorbed, gelu
) -> None:
    heads, latent_channels = width
    config = tiny(
        iterations=iterations, layers_per_block=layers, latents=latents, latent_channels=latent_channels,
        self_heads=heads, widening=widening, share_weights=share, gelu=gelu, absorbed_attention=absorbed,
    ).model_copy(update={"cross_heads": cross_heads})  # fmt: skip
    with float64():
        ours = stir(Encoder(config, channels), seed=tokens)
        chain = peer_chain(config, channels)
        start = nn.Parameter(torch.zeros(latents, latent_channels))
        pairs = list(encoder_pairs(ours, chain, start))
        copy_to(pairs)
        array = torch.randn(2, tokens, channels)

        output = ours([Tokens(array)])
        expected = start.expand(2, -1, -1)
        for encoder in chain:
            expected = encoder(expected, inputs=array).last_hidden_state
        gradients(ours, output)
        gradients(nn.ModuleList(chain), expected)
    assert distance(output, expected) < ROUNDING
    assert gradients_apart(pairs) < ROUNDING


@pytest.mark.parametrize("absorbed", [True, False])
@pytest.mark.parametrize(
    ("audio", "grid"),
    [
        ({"inputs__audio__kind": "raw", "inputs__audio__samples": 1_088, "inputs__audio__segment": 64}, (17,)),
        ({"inputs__audio__mel_bins": 11, "inputs__audio__samples": 3_072}, (33,)),
    ],
    ids=["raw", "mel"],
)
def test_the_whole_model_equals_theirs_with_its_multimodal_preprocessor(audio, grid, absorbed) -> None:
    seconds = audio["inputs__audio__samples"] / 48_000
    video = {"inputs__video__frames": 4, "inputs__video__size": 40, "inputs__video__fps": 4 / seconds}
    config = tiny(iterations=1, inputs__video__bands=5, absorbed_attention=absorbed, **audio, **video)
    with float64():
        ours = stir(build_model(config))
        theirs, pairs = peer_model(config, ours, grid)
        inputs = clips(config)

        output = ours.encoder(ours.tokens(inputs))  # their mean-and-linear decoder can't be instantiated
        expected = theirs(inputs=peer_inputs(config, ours, inputs)).last_hidden_state
        gradients(nn.ModuleList([ours.tokens, ours.encoder]), output)
        gradients(theirs, expected)
    assert distance(output, expected) < ROUNDING
    assert gradients_apart(pairs) < ROUNDING


def peer_preprocessor(config: ModelConfig, grid: tuple[int, ...]) -> peer.PerceiverMultimodalPreprocessor:
    video, audio = config.inputs.video, config.inputs.audio
    settings = peer_config(config, config.input_channels)
    image = peer.PerceiverImagePreprocessor(
        settings,
        prep_type="patches",
        spatial_downsample=video.patch[1],
        temporal_downsample=video.patch[0],
        position_encoding_type="fourier",
        fourier_position_encoding_kwargs={"num_bands": video.bands, "max_resolution": video.grid},
    )
    sound = peer.PerceiverAudioPreprocessor(
        settings,
        samples_per_patch=audio.segment if audio.kind == "raw" else 1,
        position_encoding_type="fourier",
        fourier_position_encoding_kwargs={"num_bands": audio.bands, "max_resolution": grid},
    )
    modalities = {"audio": sound, "image": image}
    return peer.PerceiverMultimodalPreprocessor(modalities, min_padding_size=video.embedding)


def peer_model(config: ModelConfig, ours: nn.Module, grid: tuple[int, ...]) -> tuple[PerceiverModel, list]:
    preprocessor = peer_preprocessor(config, grid)
    theirs = PerceiverModel(peer_config(config, config.input_channels), input_preprocessor=preprocessor).train()
    pairs = list(encoder_pairs(ours.encoder, [theirs.encoder], theirs.embeddings.latents))
    pairs.append((ours.tokens.embeddings["audio"], preprocessor.padding["audio"], ALL))
    pairs.append((ours.tokens.embeddings["video"], preprocessor.padding["image"], ALL))
    copy_to(pairs)
    return theirs, pairs


def peer_inputs(config: ModelConfig, ours: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scaled pixels with colours first; samples, or the spectrogram that our model computes."""
    mel = ours.tokens.values["audio"].mel
    return {
        "image": (inputs["video"].to(torch.get_default_dtype()) / 127.5 - 1).permute(0, 1, 4, 2, 3),
        "audio": inputs["audio"] if mel is None else mel(inputs["audio"]).flatten(1),
    }


@pytest.mark.parametrize(("kind", "tokens"), [("raw", 13_024), ("mel", 17_344)])
def test_the_papers_input_arrays_equal_theirs(kind, tokens) -> None:
    grid = (480,) if kind == "raw" else (4_800,)
    config = tiny(
        inputs__audio__kind=kind, inputs__audio__samples=61_440, inputs__audio__mel_bins=80, inputs__audio__bands=64,
        inputs__video__frames=32, inputs__video__size=224,
    )  # fmt: skip
    ours = build_model(config)
    preprocessor = peer_preprocessor(config, grid)
    with torch.no_grad():
        for our_name, their_name in (("audio", "audio"), ("video", "image")):
            preprocessor.padding[their_name].copy_(ours.tokens.embeddings[our_name][None])
        inputs = clips(config, batch=1)
        array = join(ours.tokens(inputs))
        expected, _, _ = preprocessor(peer_inputs(config, ours, inputs))
    assert array.shape == (1, tokens, 487)
    # Theirs are float32 places times frequencies up to half of the grid: 480 segments, or 4,800 spectrogram values.
    assert distance(array, expected) < grid[0] * 1e-6


@pytest.mark.parametrize("latents", [1, 6])
def test_the_query_readout_equals_their_classification_decoder(latents) -> None:
    config = tiny(latents=latents)
    with float64():
        ours = stir(QueryReadout(config.latent_channels, config.classes, widening=1, gelu="tanh"))
        theirs = peer.PerceiverClassificationDecoder(
            peer_config(config, config.latent_channels),
            num_channels=config.latent_channels,
            trainable_position_encoding_kwargs={"num_channels": config.latent_channels, "index_dims": 1},
            use_query_residual=True,
        )
        basic = theirs.decoder
        pairs = [(*pair, ALL) for pair in layer_pairs(ours.cross_attend, basic.decoding_cross_attention)]
        pairs.append((ours.query, basic.output_position_encodings.position_embeddings, ALL))
        pairs.append((ours.logits.weight, basic.final_layer.weight, ALL))
        pairs.append((ours.logits.bias, basic.final_layer.bias, ALL))
        copy_to(pairs)
        array = torch.randn(3, latents, config.latent_channels)

        output = ours(array)
        expected = theirs(theirs.decoder_query(array), array).logits
        gradients(ours, output)
        gradients(theirs, expected)
    assert distance(output, expected) < ROUNDING
    assert gradients_apart(pairs) < ROUNDING
