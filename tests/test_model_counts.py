"""Sizes that the papers print, or that follow from them."""

import pytest
import torch
from model_maker import tiny
from torch import nn

from perceiver.config import ModelConfig, RunConfig, with_changes
from perceiver.model.encoder import Encoder
from perceiver.model.inputs import InputTokens
from perceiver.model.perceiver import build_model
from perceiver.model.readout import MeanReadout
from perceiver.model.tokens import join


def parameters(*modules: nn.Module) -> int:
    return sum(param.numel() for module in modules for param in module.parameters())


def changed(**changes) -> ModelConfig:
    return with_changes(RunConfig(), {f"model.{key.replace('__', '.')}": value for key, value in changes.items()}).model


def test_the_papers_audio_and_video_model_has_109_million_parameters() -> None:
    with torch.device("meta"):
        model = build_model(ModelConfig())
    embeddings = parameters(model.tokens)
    assert embeddings == 4 + (487 - 130)
    assert parameters(model) - embeddings == 109_048_537


@pytest.mark.parametrize(
    ("iterations", "share", "count"),
    [(8, True, 44_912_254), (8, False, 326_241_856), (1, False, 42_135_859)],
)
def test_the_imagenet_arrangement_has_the_papers_parameters(iterations, share, count) -> None:
    """Tables 6 and 7: 44.9M, 326.2M, 42.1M. 261 channels are 3 colours and 2 * (2 * 64 + 1) of positions."""
    config = changed(iterations=iterations, share_weights=share, layers_per_block=6)
    with torch.device("meta"):
        model = Encoder(config, channels=261), MeanReadout(1024, 1000)
    assert parameters(*model) == count


@pytest.mark.parametrize(
    ("changes", "tokens", "channels"),
    [
        ({"inputs__audio__kind": "raw"}, 13_024, 487),
        ({}, 17_344, 487),
        ({"inputs__audio": None}, 12_544, 483),
        ({"inputs__video": None, "inputs__audio__kind": "raw"}, 480, 257),
        ({"inputs__video": None, "inputs__audio__bands": 192}, 4_800, 386),
        ({"fusion": "linear"}, 17_344, 483),
    ],
)
def test_input_arrays_have_the_sizes_of_perceiver_ios_tables(changes, tokens, channels) -> None:
    config = changed(**changes)
    assert (config.input_tokens, config.input_channels) == (tokens, channels)
    with torch.device("meta"):
        inputs = {"video": torch.empty(2, 32, 224, 224, 3, dtype=torch.uint8), "audio": torch.empty(2, 61_440)}
        array = join(InputTokens(config)({name: inputs[name] for name in config.inputs.modalities}))
    assert array.shape == (2, tokens, channels)


def test_a_clips_spectrogram_is_80_bins_by_60_frames() -> None:
    model = build_model(tiny(inputs__audio__samples=61_440, inputs__video__fps=4 / 1.28, inputs__audio__mel_bins=80))
    assert model.tokens.values["audio"].mel(torch.zeros(1, 61_440)).shape == (1, 60, 80)
    assert (model.tokens.values["audio"].mel.filters > 0).any(0).all()


def test_the_model_runs_on_the_meta_device() -> None:
    config = ModelConfig()
    with torch.device("meta"):
        inputs = {"video": torch.empty(3, 32, 224, 224, 3, dtype=torch.uint8), "audio": torch.empty(3, 61_440)}
        assert build_model(config)(inputs).shape == (3, 527)
