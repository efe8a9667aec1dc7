"""From clips to tokens: patches, spectrogram, positions, dropped and missing modalities, bad input."""

import math

import numpy as np
import pytest
import torch
from model_maker import clips, stir, tiny

from perceiver.config import AudioInput, ConfigError
from perceiver.errors import DataError, NumericError
from perceiver.model.inputs import InputTokens, VideoValues, refuse_non_finite
from perceiver.model.mel import LogMel
from perceiver.model.perceiver import build_model
from perceiver.model.positions import fourier_features
from perceiver.model.tokens import join
from perceiver.rules import empty_mel_bins


def test_a_patch_holds_its_pixels_in_the_order_time_row_column_colour() -> None:
    config = tiny(inputs__video__frames=4, inputs__video__size=16, inputs__video__patch=[2, 8, 8]).inputs.video
    video = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    patches = VideoValues(config)(video)
    assert patches.shape == (2, 2 * 2 * 2, 2 * 8 * 8 * 3)
    t, h, w = 1, 0, 1  # token (t, h, w) is the (t * 2 + h) * 2 + w -th
    expected = video[:, 2 * t : 2 * t + 2, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8].reshape(2, -1) / 127.5 - 1
    assert torch.allclose(patches[:, (t * 2 + h) * 2 + w], expected, atol=1e-6)


@pytest.mark.parametrize(("scaling", "low"), [("symmetric", -1.0), ("unit", 0.0)])
def test_bytes_and_floats_of_the_same_pixels_give_the_same_values(scaling, low) -> None:
    config = tiny(inputs__video__scaling=scaling).inputs.video
    video = torch.tensor([0, 255], dtype=torch.uint8).repeat(config.frames * config.size**2 * 3 // 2)
    video = video.reshape(1, config.frames, config.size, config.size, 3)
    patches = VideoValues(config)(video)
    assert [patches.min().item(), patches.max().item()] == pytest.approx([low, 1.0])
    assert torch.equal(patches, VideoValues(config)(video.float()))


def test_the_spectrogram_equals_its_definition() -> None:
    """Written out with numpy: zeros at the right, periodic Hann, magnitudes, HTK triangles, logarithm, scaling."""
    config = tiny(inputs__audio__mel_mean=-3.0, inputs__audio__mel_std=2.0).inputs.audio
    samples = np.random.default_rng(0).uniform(-1, 1, config.samples)
    frames, bins = config.grid
    window, hop = config.mel_window, config.mel_hop
    padded = np.pad(samples, (0, (frames - 1) * hop + window - config.samples))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectrum = np.abs(np.stack([np.fft.rfft(hann * padded[i * hop : i * hop + window]) for i in range(frames)]))

    def mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    edges = 700 * (10 ** (np.linspace(mel(config.mel_low), mel(config.mel_high), bins + 2) / 2595) - 1)
    hertz = np.linspace(0, config.sample_rate / 2, window // 2 + 1)
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    expected = (np.log(spectrum @ filters + 1e-6) + 3.0) / 2.0
    ours = LogMel(config)(torch.from_numpy(samples)[None].float())
    assert np.allclose(ours[0].numpy(), expected, atol=1e-4)


def test_the_spectrogram_is_the_same_under_autocast() -> None:
    model = LogMel(tiny().inputs.audio)
    audio = torch.rand(2, 7_680)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(audio), model(audio))
        rounded = model(audio)
    assert torch.equal(rounded, model(audio))


def test_fourier_features_equal_their_definition() -> None:
    grid, bands, tops = (3, 4), 5, (3, 8)
    features = fourier_features(grid, bands, tops)
    assert features.shape == (12, 2 * (2 * bands + 1))
    for token, (row, column) in enumerate(np.ndindex(*grid)):
        places = [-1 + 2 * row / 2, -1 + 2 * column / 3]
        angles = [math.pi * f * x for x, top in zip(places, tops, strict=True) for f in np.linspace(1, top / 2, bands)]
        expected = [*places, *np.sin(angles), *np.cos(angles)]
        assert np.allclose(features[token].numpy(), expected, atol=1e-6)


def test_audio_comes_first_and_every_token_ends_with_its_modality_embedding() -> None:
    model = build_model(tiny())
    array = join(model.tokens(clips(model.config)))
    audio, video = model.tokens.embeddings["audio"], model.tokens.embeddings["video"]
    assert array.shape[-1] == model.config.input_channels
    assert (array[:, : model.config.inputs.audio.tokens, -len(audio) :] == audio).all()
    assert (array[:, model.config.inputs.audio.tokens :, -len(video) :] == video).all()


@pytest.mark.parametrize("absorbed", [True, False])
def test_dropped_values_leave_positions_and_embedding(absorbed) -> None:
    model = stir(build_model(tiny(absorbed_attention=absorbed)))
    inputs, present = clips(model.config), {"video": torch.tensor([True, False, True])}
    array = join(model.tokens(inputs, present=present))
    video = array[:, model.config.inputs.audio.tokens :]
    assert (video[1, :, :384] == 0).all()
    assert (video[0, :, :384] != 0).any()
    assert torch.equal(video[1, :, 384:], video[0, :, 384:])


@pytest.mark.parametrize("absorbed", [True, False])
@pytest.mark.parametrize("blank", ["values", "tokens"])
def test_a_dropped_modality_no_longer_reaches_the_logits_and_other_clips_keep_theirs(absorbed, blank) -> None:
    model = stir(build_model(tiny(absorbed_attention=absorbed)))
    inputs = clips(model.config)
    other = {**inputs, "video": 255 - inputs["video"]}
    present = {"video": torch.tensor([True, False, True]), "audio": torch.tensor([True, True, True])}
    logits, others = (model(x, present=present, blank=blank) for x in (inputs, other))
    assert torch.equal(logits[1], others[1])
    assert not torch.equal(logits[0], others[0])
    assert torch.allclose(logits[0], model(inputs)[0], atol=1e-5)


def test_dropped_tokens_are_all_zero() -> None:
    model = stir(build_model(tiny()))
    present = {"audio": torch.tensor([False, True, True])}
    array = join(model.tokens(clips(model.config), present=present, blank="tokens"))
    assert (array[0, : model.config.inputs.audio.tokens] == 0).all()
    assert (array[0, model.config.inputs.audio.tokens :] != 0).any()


def test_spec_augments_mask_sets_the_spectrogram_to_its_mean() -> None:
    model = build_model(tiny())
    inputs = clips(model.config)
    mask = torch.zeros(3, 8, 16, dtype=torch.bool)
    mask[0, 2:4] = True
    values, masked = (model.tokens(inputs, mel_mask=m)[0].features[..., 0].unflatten(1, (8, 16)) for m in (None, mask))
    assert (masked[mask] == 0).all()
    assert torch.equal(masked[~mask], values[~mask])


@pytest.mark.parametrize("missing", ["video", "audio"])
def test_a_missing_modality_is_an_error_that_names_the_key(missing) -> None:
    model = build_model(tiny())
    inputs = clips(model.config)
    del inputs[missing]
    with pytest.raises(DataError, match=rf"no {missing}.*model\.missing_modality is 'error'.*'mask'"):
        model(inputs)


@pytest.mark.parametrize("blank", ["values", "tokens"])
@pytest.mark.parametrize("missing", ["video", "audio"])
def test_a_missing_modality_counts_as_dropped_where_the_config_allows_it(missing, blank) -> None:
    model = stir(build_model(tiny(missing_modality="mask")))
    inputs = clips(model.config)
    dropped = model(inputs, present={missing: torch.zeros(3, dtype=torch.bool)}, blank=blank)
    del inputs[missing]
    assert torch.allclose(model(inputs, blank=blank), dropped, atol=1e-6)


def test_no_modality_at_all_is_an_error_even_where_one_may_be_missing() -> None:
    with pytest.raises(DataError, match="no audio and no video"):
        build_model(tiny(missing_modality="mask"))({})


def test_a_wrong_shape_is_an_error_that_says_what_would_be_right() -> None:
    model = build_model(tiny())
    inputs = clips(model.config)
    with pytest.raises(DataError, match=r"audio of shape \(100,\).*\(7680,\)"):
        model({**inputs, "audio": inputs["audio"][:, :100]})
    with pytest.raises(DataError, match=r"video of shape \(3, 4, 16, 16\).*\(4, 16, 16, 3\)"):
        model({**inputs, "video": inputs["video"].permute(0, 4, 1, 2, 3)})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: ({**x, "video": x["video"][:2]}, {}), "batches of 3 and 2 clips of audio and video"),
        (lambda x: ({**x, "audio": x["audio"][:1]}, {}), "batches of 1 and 3 clips"),
        (lambda x: ({**x, "audio": (x["audio"] * 32_767).short()}, {}), r"torch.int16: .* in \[-1, 1\]"),
        (lambda x: (x, {"present": {"vidoe": torch.ones(3)}}), "'vidoe', which is no modality: audio and video are"),
        (lambda x: (x, {"present": {"video": torch.tensor([False])}}), r"shape \(1,\): give .* \(3,\)"),
        (lambda x: (x, {"blank": "token"}), "'token': give 'values' or 'tokens'"),
    ],
)
def test_a_wrong_batch_is_an_error_that_says_what_would_be_right(wrong, words) -> None:
    model = build_model(tiny())
    inputs, arguments = wrong(clips(model.config))
    with pytest.raises(DataError, match=words):
        model(inputs, **arguments)


@pytest.mark.parametrize(
    ("changes", "name", "top"),
    [
        ({}, "video", (2, 2, 2)),
        ({"inputs__video__max_resolution": "pixels"}, "video", (4, 16, 16)),
        ({"inputs__audio__kind": "raw"}, "audio", (60,)),
        ({"inputs__audio__kind": "raw", "inputs__audio__max_resolution": "samples"}, "audio", (7_680,)),
        ({}, "audio", (128,)),
        ({"inputs__audio__mel_positions": "2d"}, "audio", (8, 16)),
    ],
)
def test_the_highest_frequency_is_what_the_config_says(changes, name, top) -> None:
    config = tiny(**changes)
    part = getattr(config.inputs, name)
    grid = part.grid if len(top) > 1 else (part.tokens,)
    assert torch.equal(InputTokens(config).positions[name](), fourier_features(grid, part.bands, top))


def test_clips_that_are_not_finite_are_named() -> None:
    inputs, ids = clips(tiny(), batch=4), ["a", "b", "c", "d"]
    refuse_non_finite(inputs, ids)
    inputs["audio"][1, 5], inputs["audio"][2, 7] = float("nan"), -float("inf")
    with pytest.raises(NumericError, match=r"in the clips b, c$"):
        refuse_non_finite(inputs, ids)
    refuse_non_finite({"video": inputs["video"]}, ids)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"inputs__video__frames": 3}, ["model.inputs.video.frames 3", "2 of model.inputs.video.patch"]),
        ({"inputs__audio__bands": 400}, ["model.inputs.audio.bands 400", "no room"]),
        ({"self_heads": 3}, ["model.self_heads 3", "model.latent_channels 16"]),
        ({"cross_heads": 2}, ["model.cross_heads 2", "487"]),
        ({"inputs__video__embedding": 0}, ["model.inputs.video.embedding 0", "model.fusion: linear"]),
        ({"unroll_time": True, "iterations": 3}, ["model.unroll_time", "model.iterations 3", "2 time steps"]),
    ],
)
def test_shapes_that_cannot_work_are_errors_with_the_keys_and_the_arithmetic(changes, keys) -> None:
    with pytest.raises(ConfigError) as error:
        tiny(**changes)
    assert all(key in str(error.value) for key in keys)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
@pytest.mark.parametrize(("bins", "window"), [(80, 2048), (80, 512), (80, 1024), (128, 512), (512, 17), (64, 1024)])
@pytest.mark.parametrize("low", [0.0, 80.0])
def test_empty_mel_bins_are_counted_as_the_filters_have_them(bins: int, window: int, low: float) -> None:
    audio = AudioInput(mel_bins=bins, mel_window=window, mel_low=low)
    assert empty_mel_bins(audio) == int((LogMel(audio).filters.sum(0) == 0).sum())


def test_the_tokenisers_hold_no_state_but_learned_weights() -> None:
    names = set(InputTokens(tiny()).state_dict())
    assert names == {"embeddings.audio", "embeddings.video"}
