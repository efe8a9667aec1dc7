"""Arithmetic that no model can satisfy, told in the user's keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perceiver.model_config import AudioInput, ModelConfig, VideoInput


def shape_mistakes(model: ModelConfig) -> Iterator[str]:
    """Each rule between several keys that the model breaks, with the numbers that break it."""
    video, audio = model.inputs.video, model.inputs.audio
    if model.latent_channels % model.self_heads:
        yield f"model.self_heads {model.self_heads} does not divide model.latent_channels {model.latent_channels}"
    if video is not None:
        yield from _video_mistakes(model, video)
    if audio is not None:
        yield from _audio_mistakes(model, audio)
    if video is not None and audio is not None:
        yield from _fusion_mistakes(model, video, audio)
    if video is None and audio is None:
        yield "model.inputs has neither video nor audio: give at least one"
    elif model.input_channels % model.cross_heads:
        yield f"model.cross_heads {model.cross_heads} does not divide the input array's width {model.input_channels}"


def _video_mistakes(model: ModelConfig, video: VideoInput) -> Iterator[str]:
    pairs = [("frames", video.frames, video.patch[0])]
    pairs += [("size", video.size, side) for side in dict.fromkeys(video.patch[1:])]
    for key, size, side in pairs:
        if size % side:
            patch = f"model.inputs.video.patch {list(video.patch)}"
            yield f"model.inputs.video.{key} {size} is not divisible by {side} of {patch}"
    if model.unroll_time and video.grid[0] % model.iterations:
        yield (
            f"model.unroll_time needs model.iterations {model.iterations} to divide the {video.grid[0]} time steps "
            f"of the patches (model.inputs.video.frames {video.frames} / {video.patch[0]})"
        )


def _audio_mistakes(model: ModelConfig, audio: AudioInput) -> Iterator[str]:
    if audio.kind == "raw" and audio.samples % audio.segment:
        segment = f"model.inputs.audio.segment {audio.segment}"
        yield f"model.inputs.audio.samples {audio.samples} is not divisible by {segment}"
    if audio.kind == "mel" and not audio.mel_low < audio.mel_high <= audio.sample_rate / 2:
        yield (
            f"model.inputs.audio.mel_low {audio.mel_low:g} < mel_high {audio.mel_high:g} <= half of sample_rate "
            f"{audio.sample_rate} does not hold"
        )
    unrolls_audio = model.unroll_time and (audio.unrolled or model.inputs.video is None)
    if unrolls_audio and audio.grid[0] % model.iterations:
        yield (
            f"model.unroll_time needs model.iterations {model.iterations} to divide the {audio.grid[0]} time steps "
            "of the audio (model.inputs.audio.unrolled)"
        )


def _fusion_mistakes(model: ModelConfig, video: VideoInput, audio: AudioInput) -> Iterator[str]:
    if abs(video.seconds - audio.seconds) > 1e-3:
        yield (
            f"a clip is {video.seconds:g} s of video (model.inputs.video.frames {video.frames} / fps {video.fps:g}) "
            f"but {audio.seconds:g} s of audio (model.inputs.audio.samples {audio.samples} / "
            f"sample_rate {audio.sample_rate})"
        )
    if model.fusion == "embedding" and video.embedding == 0:
        yield (
            "model.inputs.video.embedding 0 leaves two modalities that can't be told apart: "
            "give 1 or more, or model.fusion: linear"
        )
    if model.fusion == "embedding" and audio.channels >= video.channels + video.embedding:
        yield (
            f"audio tokens are {audio.channels} channels wide and leave no room for an embedding in the fused width "
            f"{model.input_channels} (video {video.channels} + model.inputs.video.embedding {video.embedding}): "
            f"lower model.inputs.audio.bands {audio.bands}"
        )
