"""Rules between several keys of a config, most of them arithmetic of shapes; each is told in the user's keys.

A message names every key that it depends on in full: where one of them holds a wrong value, it is not told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perceiver.config import AudioInput, ModelConfig, RunConfig, VideoInput

VIDEO, AUDIO = "model.inputs.video", "model.inputs.audio"


def broken_rules(config: RunConfig) -> Iterator[str]:
    """Each rule that the config breaks, with the numbers that break it."""
    yield from _model_mistakes(config.model)
    yield from _training_mistakes(config)


def _training_mistakes(config: RunConfig) -> Iterator[str]:
    train = config.train
    if len(config.model.inputs.modalities) == 2 and train.video_dropout + train.audio_dropout > 1:
        yield (
            f"train.video_dropout {train.video_dropout:g} + train.audio_dropout {train.audio_dropout:g} is above 1: "
            "a clip never loses both"
        )
    if train.micro_batch is not None and train.micro_batch > train.batch_size:
        yield f"train.micro_batch {train.micro_batch} is above train.batch_size {train.batch_size}"
    if train.steps is not None and train.warmup_steps > train.steps:
        yield f"train.warmup_steps {train.warmup_steps} is above train.steps {train.steps}"


def _model_mistakes(model: ModelConfig) -> Iterator[str]:
    video, audio = model.inputs.video, model.inputs.audio
    if model.latent_channels % model.self_heads:
        yield f"model.self_heads {model.self_heads} does not divide model.latent_channels {model.latent_channels}"
    if video is not None:
        yield from _video_mistakes(model, video)
    if audio is not None:
        yield from _audio_mistakes(audio)
        yield from _unrolled_audio_mistakes(model, audio)
    if video is not None and audio is not None:
        yield from _fusion_mistakes(model, video, audio)
    if video is None and audio is None:
        yield f"{VIDEO} and {AUDIO} are null, so that the model has neither video nor audio: give at least one"
    elif model.input_channels % model.cross_heads:
        yield f"model.cross_heads {model.cross_heads} does not divide the input array's width, {_fused_width(model)}"


def _video_mistakes(model: ModelConfig, video: VideoInput) -> Iterator[str]:
    pairs = [("frames", video.frames, video.patch[0])]
    pairs += [("size", video.size, side) for side in dict.fromkeys(video.patch[1:])]
    for key, size, side in pairs:
        if size % side:
            yield f"{VIDEO}.{key} {size} is not divisible by {side} of {VIDEO}.patch {list(video.patch)}"
    if model.unroll_time and video.grid[0] % model.iterations:
        yield (
            f"model.unroll_time needs model.iterations {model.iterations} to divide the {video.grid[0]} time steps "
            f"of the patches ({VIDEO}.frames {video.frames} / {video.patch[0]} of {VIDEO}.patch)"
        )


def _audio_mistakes(audio: AudioInput) -> Iterator[str]:
    if audio.kind == "raw":
        if audio.samples % audio.segment:
            yield f"{AUDIO}.samples {audio.samples} is not divisible by {AUDIO}.segment {audio.segment}"
        return
    if audio.max_resolution != "grid":
        yield f"{AUDIO}.max_resolution {audio.max_resolution} is for raw audio: with {AUDIO}.kind mel give grid"
    if not audio.mel_low < audio.mel_high <= audio.sample_rate / 2:
        yield (
            f"{AUDIO}.mel_low {audio.mel_low:g} < {AUDIO}.mel_high {audio.mel_high:g} <= half of "
            f"{AUDIO}.sample_rate {audio.sample_rate} does not hold"
        )
    elif empty := empty_mel_bins(audio):
        yield (
            f"{empty} of {AUDIO}.mel_bins {audio.mel_bins} lie between the FFT's frequencies and hear nothing, the "
            f"first from {AUDIO}.mel_low {audio.mel_low:g} on: these are {audio.sample_rate / audio.mel_window:g} Hz "
            f"apart ({AUDIO}.sample_rate {audio.sample_rate} / {AUDIO}.mel_window {audio.mel_window}): give fewer "
            f"bins, a longer window, or a higher {AUDIO}.mel_low (below {AUDIO}.mel_high {audio.mel_high:g})"
        )


def empty_mel_bins(audio: AudioInput) -> int:
    """Triangles of the mel filters (HTK's scale) that hold no frequency of the FFT: their tokens would be constant."""
    spacing = (audio.sample_rate // 2) / (audio.mel_window // 2)
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (audio.mel_low, audio.mel_high))
    corners = [low + (high - low) * place / (audio.mel_bins + 1) for place in range(audio.mel_bins + 2)]
    edges = [700 * (10 ** (mel / 2595) - 1) for mel in corners]
    above = ((math.floor(edge / spacing) + 1) * spacing for edge in edges)
    return sum(frequency >= end for frequency, end in zip(above, edges[2:], strict=False))


def _unrolled_audio_mistakes(model: ModelConfig, audio: AudioInput) -> Iterator[str]:
    unrolls = model.unroll_time and (audio.unrolled or model.inputs.video is None)
    if unrolls and audio.grid[0] % model.iterations:
        why = f"{AUDIO}.unrolled true" if audio.unrolled else f"{VIDEO} null"
        step = f"segment {audio.segment}" if audio.kind == "raw" else f"mel_hop {audio.mel_hop}"
        yield (
            f"model.unroll_time with {why} needs model.iterations {model.iterations} to divide the {audio.grid[0]} "
            f"time steps of the audio ({AUDIO}.samples {audio.samples} / {AUDIO}.{step}, {AUDIO}.kind {audio.kind})"
        )


def _fusion_mistakes(model: ModelConfig, video: VideoInput, audio: AudioInput) -> Iterator[str]:
    if abs(video.seconds - audio.seconds) > 1e-3:
        yield (
            f"a clip is {video.seconds:g} s of video ({VIDEO}.frames {video.frames} / {VIDEO}.fps {video.fps:g}) "
            f"but {audio.seconds:g} s of audio ({AUDIO}.samples {audio.samples} / "
            f"{AUDIO}.sample_rate {audio.sample_rate})"
        )
    if model.fusion == "embedding" and video.embedding == 0:
        yield f"{VIDEO}.embedding 0 leaves two modalities that can't be told apart: give 1 or more, or {LINEAR}"
    if model.fusion == "embedding" and audio.channels >= model.input_channels:
        yield (
            f"audio tokens are {_width(audio)} channels wide and leave no room for an embedding in the fused width "
            f"{_fused_width(model)}: lower {' or '.join(_narrowing(model, audio))}, or give {LINEAR}"
        )


LINEAR = "model.fusion: linear"


def _narrowing(model: ModelConfig, audio: AudioInput) -> list[str]:
    """The keys that can make audio narrower; for positions only where that alone can be enough."""
    segment = audio.segment if audio.kind == "raw" else 1
    least = 1 if audio.positions == "learned" else 3 * audio.position_axes
    keys = [f"{AUDIO}.segment"] if audio.kind == "raw" else []
    if segment + least < model.input_channels:
        keys.append(f"{AUDIO}.position_channels" if audio.positions == "learned" else f"{AUDIO}.bands")
    return keys or [f"{AUDIO}.position_channels"]


def _fused_width(model: ModelConfig) -> str:
    video, audio = model.inputs.video, model.inputs.audio
    if video is None or audio is None:
        return _width(video or audio)
    embedding = model.fusion == "embedding"
    return _width(video, f" + {VIDEO}.embedding {video.embedding}" if embedding else "", model.input_channels)


def _width(part: VideoInput | AudioInput, more: str = "", total: int | None = None) -> str:
    """The sum that makes a token's width, `487 = 384 of model.inputs.video.patch [2, 8, 8] + ...`."""
    key, axes = (AUDIO, part.position_axes) if hasattr(part, "kind") else (VIDEO, 3)
    if key == VIDEO:
        values = f"{3 * math.prod(part.patch)} of {key}.patch {list(part.patch)}"
    else:
        values = f"{key}.segment {part.segment}" if part.kind == "raw" else f"1 of {key}.kind mel"
    fourier = f"{axes} x (2 x {key}.bands {part.bands} + 1)".removeprefix("1 x ")
    positions = fourier if part.positions == "fourier" else f"{key}.position_channels {part.position_channels}"
    return f"{total or part.channels} = {values} + {positions}{more}"
