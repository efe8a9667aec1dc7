"""Pictures of what latents look at, over the frames and the spectrogram of a clip.

The paper looks at these (appendix E): early cross-attends trace the input, later ones form a lattice over it.

    draw_attention(model, {"video": frames, "audio": samples}, "attention")    # attention/cross_attend_1.png, ...

    python -m perceiver.attention_maps CHECKPOINT CLIP.mp4 FOLDER              # of a trained model and any clip

Needs matplotlib, which nothing else in this package does.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from perceiver.config import AudioInput, RunConfig, VideoInput
from perceiver.data.clips import Wants, read_clip
from perceiver.data.dataset import Clip
from perceiver.errors import DataError, PerceiverError
from perceiver.model.perceiver import Perceiver
from perceiver.state import load_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"audio": "sound", "video": "picture"}
"""What people call the modalities of a file."""
FRAMES = 4
"""Moments of a clip that a picture shows."""


def draw_attention(
    model: Perceiver,
    inputs: Mapping[str, Tensor],
    folder: str | Path,
    *,
    clip: int = 0,
    latents: Sequence[int] | None = None,
) -> list[Path]:
    """One PNG per cross-attend: its average over all latents first, then single latents (four, by default).

    Args:
        inputs: a batch as the model takes it, on its device, of which clip number `clip` is drawn.
        folder: is made where it is missing.

    Returns:
        The files, in the order of the cross-attends.
    """
    one = {name: values[clip : clip + 1] for name, values in inputs.items() if name in model.tokens.names}
    if latents is None:
        latents = torch.linspace(0, model.config.latents - 1, min(4, model.config.latents)).round().int().tolist()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, maps in enumerate(model.attention_maps(one), start=1):
        rows = {"all latents": {name: part[0].mean(0) for name, part in maps.items()}}
        rows |= {f"latent {latent}": {name: part[0, latent] for name, part in maps.items()} for latent in latents}
        figure = _figure(model, one, rows, number)
        paths.append(folder / f"cross_attend_{number}.png")
        figure.savefig(paths[-1])
    return paths


def _figure(model: Perceiver, inputs: dict[str, Tensor], rows: dict[str, dict[str, Tensor]], number: int) -> "Figure":
    from matplotlib.figure import Figure

    video, audio = model.config.inputs.video, model.config.inputs.audio
    moments = min(FRAMES, next(iter(rows.values()))["video"].shape[0]) if video else 0
    widths = [1.0] * moments + ([2.0] if audio else [])
    figure = Figure(figsize=(1.8 * sum(widths) + 0.6, 1.9 * len(rows) + 0.5), layout="constrained", dpi=110)
    figure.suptitle(f"cross-attend {number} of {model.config.iterations}: where latents look", fontsize=11)
    axes = figure.subplots(len(rows), len(widths), width_ratios=widths, squeeze=False)
    for axes_of_row, (label, maps) in zip(axes, rows.items(), strict=True):
        axes_of_row[0].set_ylabel(label, fontsize=9)
        if video:
            frames = inputs["video"][0] if "video" in inputs else torch.zeros(video.frames, video.size, video.size, 3)
            start = _first_step(model, "video", number, maps["video"])
            _draw_video(axes_of_row[:moments], frames, maps["video"], video, start)
        if audio:
            start = _first_step(model, "audio", number, maps["audio"])
            _draw_audio(axes_of_row[-1], _sound(model, inputs), maps["audio"], audio, start)
    return figure


def _first_step(model: Perceiver, name: str, number: int, map_: Tensor) -> int:
    """The step of the modality's time at which the map begins: zero, but where time is unrolled."""
    whole = getattr(model.config.inputs, name).grid[0]
    return 0 if map_.shape[0] == whole else whole * (number - 1) // model.config.iterations


def _draw_video(axes: Sequence["Axes"], frames: Tensor, map_: Tensor, config: VideoInput, start: int) -> None:
    """A frame in grey for each stretch of the time shown, under the mean map of that stretch; one scale for the row."""
    stretches = map_.tensor_split(len(axes))
    heats = [stretch.mean(0).cpu().numpy() for stretch in stretches]
    brightest = max(heat.max() for heat in heats)
    for axis, stretch, heat in zip(axes, stretches, heats, strict=True):
        frame = (start + len(stretch) // 2) * config.patch[0]
        axis.imshow(frames[frame].float().mean(-1).cpu().numpy(), cmap="gray", vmin=0, vmax=255)
        _overlay(axis, heat, brightest, (-0.5, config.size - 0.5, config.size - 0.5, -0.5))
        axis.set_title(f"{frame / config.fps:.2f} s", fontsize=8)
        start += len(stretch)
    axes[0].set_xlabel(f"video: {map_.sum().item():.0%} of attention", fontsize=8)


def _sound(model: Perceiver, inputs: dict[str, Tensor]) -> np.ndarray:
    """The spectrogram (frames, bins) or the samples of the clip."""
    values: Any = model.tokens.values["audio"]
    if "audio" not in inputs:
        return np.zeros(values.config.grid if values.mel is not None else values.shape)
    with torch.no_grad():
        return (inputs["audio"] if values.mel is None else values.mel(inputs["audio"]))[0].float().cpu().numpy()


def _draw_audio(axis: "Axes", sound: np.ndarray, map_: Tensor, config: AudioInput, start: int) -> None:
    """The spectrogram, or the waveform, in grey and the map over it."""
    if config.kind == "mel":
        step = config.mel_hop / config.sample_rate
        axis.imshow(
            sound.T, cmap="gray", origin="lower", aspect="auto", extent=(0, len(sound) * step, 0, sound.shape[1])
        )
        heat, height = map_.T.cpu().numpy(), (0, sound.shape[1])
    else:
        step = config.segment / config.sample_rate
        axis.plot(np.arange(len(sound)) / config.sample_rate, sound, color="black", linewidth=0.3)
        loudest = max(1.0, float(np.abs(sound).max()))
        heat, height = map_[None].cpu().numpy(), (-loudest, loudest)
    _overlay(axis, heat, map_.max().item(), (start * step, (start + map_.shape[0]) * step, *height), origin="lower")
    axis.set_xlim(0, config.seconds)
    axis.set_ylim(*height)
    name = "spectrogram" if config.kind == "mel" else "samples"
    axis.set_xlabel(f"{name}: {map_.sum().item():.0%} of attention", fontsize=8)


def _overlay(
    axis: "Axes", heat: np.ndarray, brightest: float, extent: tuple[float, ...], origin: str = "upper"
) -> None:
    """Attention in colour, see-through where there is little of it."""
    share = heat / brightest if brightest > 0 else heat
    axis.imshow(
        share, cmap="autumn", vmin=0, vmax=1, alpha=0.9 * np.sqrt(share), extent=extent, origin=origin, aspect="auto"
    )
    axis.set_xticks([])
    axis.set_yticks([])


def draw_clip(checkpoint: Path, clip: str, folder: Path, moment: float = 0.5) -> list[Path]:
    """Pictures of what a checkpoint's model looks at in a media file, the clip taken at `moment` in [0, 1) of it.

    Raises:
        CheckpointError: the checkpoint is incomplete or damaged.
        ClipError: the file can't be read.
        DataError: it has no sound or no picture there, and the model does not do without.
    """
    model = load_weights(checkpoint)
    wants = Wants.evaluation(RunConfig(model=model.config))
    excerpt = read_clip(Clip(Path(clip).stem, clip, 0.0, float("inf"), True, ()), wants, moment)
    read = {"video": excerpt.video, "audio": excerpt.audio}
    inputs = {name: torch.from_numpy(values)[None] for name, values in read.items() if values is not None}
    lacking = [NAMES[name] for name in model.tokens.names if name not in inputs]
    if lacking and model.config.missing_modality == "error":
        raise DataError(f"{clip} has no {' and no '.join(lacking)} there, which this model needs")
    return draw_attention(model, inputs, folder)


def main() -> None:
    """Draws where the cross-attends of a trained model look in a clip."""
    parser = argparse.ArgumentParser(prog="python -m perceiver.attention_maps", description=main.__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint, with its MANIFEST.json")
    parser.add_argument("clip", help="path or URL of a media file")
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    parser.add_argument("--moment", type=float, default=0.5, help="where in the file, from 0 up to 1 (default: 0.5)")
    arguments = parser.parse_args()
    if not 0 <= arguments.moment < 1:
        parser.error(f"--moment {arguments.moment:g}: expected 0 or more, and less than 1")
    try:
        paths = draw_clip(arguments.checkpoint, arguments.clip, arguments.folder, arguments.moment)
    except PerceiverError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(*paths, sep="\n")


if __name__ == "__main__":
    main()
