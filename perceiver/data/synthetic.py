"""Makes the synthetic set that a recipe describes: real mp4 files (h264, AAC) in AudioSet's layout.

    python -m perceiver.data.synthetic FOLDER

The sounds and sights are strong and plain, so that a tiny model on a CPU learns them in a minute; loudness, pitch,
place, colours and start vary, so that it has to learn something. Frame and sample rates vary as in real sets.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from perceiver.data.audioset import LABELS_FILE, Split
from perceiver.data.draws import generator
from perceiver.data.files import local_path
from perceiver.data.recipe import CLASSES, DEMO, PAIRS, SIGHTS, SOUNDS, Recipe
from perceiver.errors import DataError

RECIPE_FILE = "recipe.json"
"""Written last: a folder with the right one is complete."""

_FRAME_RATES = (25, 30, 24)
_SAMPLE_RATES = (48_000, 44_100)

Progress = Callable[[int, int], None]


def ensure_synthetic(folder: str, recipe: Recipe = DEMO, progress: Progress | None = None) -> None:
    """Makes the set in `folder` unless it is there. `progress(done, total)` counts clips.

    It is made beside the folder and moved there at once, so nobody sees half a set; where two processes make it at
    the same time the first one's stays. A set of another recipe is replaced.

    Raises:
        DataError: the folder holds something else, or can't be written.
    """
    target = Path(local_path(folder))
    if _is_made(target, recipe):
        return
    if target.exists() and any(target.iterdir()) and not (target / RECIPE_FILE).exists():
        raise DataError(f"{target} holds something that is no synthetic set: give an empty folder or one not yet there")
    scratch = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.parent / f".{target.name}.{secrets.token_hex(8)}"
        scratch.mkdir()
        _make(scratch, recipe, progress)
        _move(scratch, target, recipe)
    except OSError as error:
        raise DataError(f"the synthetic set can't be written to {target}: {error}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _is_made(target: Path, recipe: Recipe) -> bool:
    try:
        return bool(json.loads((target / RECIPE_FILE).read_text())["digest"] == recipe.digest())
    except (OSError, ValueError, KeyError):
        return False


def _move(scratch: Path, target: Path, recipe: Recipe) -> None:
    """Renames the finished set into place; loses quietly against another process that was first."""
    if target.exists() and not _is_made(target, recipe):
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)) / "old"
        target.rename(old)
        shutil.rmtree(old.parent, ignore_errors=True)
    try:
        os.rename(scratch, target)
    except OSError:
        if not _is_made(target, recipe):
            raise


def _make(folder: Path, recipe: Recipe, progress: Progress | None) -> None:
    (folder / "clips").mkdir()
    lines = [f'{number},{_mid(name)},"{name}"' for number, name in enumerate(CLASSES)]
    (folder / LABELS_FILE).write_text("\n".join(["index,mid,display_name", *lines]) + "\n")
    total, done = recipe.train_clips + recipe.eval_clips, 0
    for split, clips in (("train", recipe.train_clips), ("eval", recipe.eval_clips)):
        rows = []
        for number in range(clips):
            rows.append(_make_clip(folder, recipe, split, number))
            done += 1
            if progress is not None:
                progress(done, total)
        header = f"# Segments csv, synthetic {split} set\n# num_ytids={clips}, num_segs={clips}\n"
        columns = "# YTID, start_seconds, end_seconds, positive_labels\n"
        (folder / f"{split}_segments.csv").write_text(header + columns + "".join(rows))
    (folder / RECIPE_FILE).write_text(json.dumps({"digest": recipe.digest(), **asdict(recipe)}, indent=2) + "\n")


def _make_clip(folder: Path, recipe: Recipe, split: Split, number: int) -> str:
    """Writes one clip and returns its CSV row. Sound and sight run through all nine pairs in turn."""
    draw = generator("synthetic", recipe.seed, split, number)
    sound, sight = list(product(range(3), range(3)))[number % 9]
    clip = f"{split}{number:06d}"
    fps, rate = int(draw.choice(_FRAME_RATES)), int(draw.choice(_SAMPLE_RATES))
    samples = _sound(draw, sound, round(recipe.seconds * rate), rate)
    frames = _sight(draw, sight, round(recipe.seconds * fps), recipe.pixels)
    write_mp4(folder / "clips" / f"{clip}.mp4", frames, fps, samples, rate)
    labels = [SOUNDS[sound], SIGHTS[sight]] + ([PAIRS[sound]] if sound == sight else [])
    return f'{clip}, 0.000, {recipe.seconds:.3f}, "{",".join(_mid(label) for label in labels)}"\n'


def _mid(name: str) -> str:
    return "/synthetic/" + name.lower().replace(" ", "_")


def _sound(draw: np.random.Generator, kind: int, samples: int, rate: int) -> np.ndarray:
    """Hum: a low tone with overtones. Whistle: a high tone that wavers. Hiss: noise in bursts. float32 (S,)."""
    t = np.arange(samples) / rate + draw.uniform(0, 10)
    if kind == 0:
        pitch = draw.uniform(110, 220)
        wave = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 6)) / 2
    elif kind == 1:
        pitch, waver = draw.uniform(1500, 2500), draw.uniform(3, 7)
        wave = np.sin(2 * np.pi * pitch * t + 8 * np.sin(2 * np.pi * waver * t))
    else:
        wave = draw.normal(0, 0.7, samples) * (0.6 + 0.4 * np.sign(np.sin(2 * np.pi * draw.uniform(3, 6) * t)))
    quiet_noise = draw.normal(0, 0.01, samples)
    return (wave * draw.uniform(0.15, 0.4) + quiet_noise).clip(-1, 1).astype(np.float32)


def _sight(draw: np.random.Generator, kind: int, frames: int, pixels: int) -> np.ndarray:
    """A warm disc that swings, cool bars that wander, or four bright corners that pulse; uint8 (T, H, W, 3)."""
    y, x = np.mgrid[-1 : 1 : pixels * 1j, -1 : 1 : pixels * 1j]
    t = np.linspace(0, 1, frames)[:, None, None] * draw.uniform(2, 4) + draw.uniform(0, 10)
    if kind == 0:
        centre = 0.35 * np.sin(2 * np.pi * t)
        shape = (x - centre) ** 2 + (y - draw.uniform(-0.2, 0.2)) ** 2 < draw.uniform(0.35, 0.5) ** 2
        colour = (230, 90, 40)
    elif kind == 1:
        shape = np.sin(2 * np.pi * (draw.uniform(1.2, 1.8) * x + t)) > 0
        colour = (40, 110, 230)
    else:
        reach = draw.uniform(0.45, 0.55) + 0.08 * np.sin(2 * np.pi * t)
        shape = (np.abs(x) > reach) & (np.abs(y) > reach)
        colour = (110, 220, 60)
    foreground = np.array(colour) + draw.uniform(-25, 25, 3)
    background = np.full(3, draw.uniform(20, 60)) + draw.uniform(-10, 10, 3)
    pictures = np.where(shape[..., None], foreground, background) + draw.normal(0, 4, (1, pixels, pixels, 1))
    return np.broadcast_to(pictures, (frames, pixels, pixels, 3)).clip(0, 255).astype(np.uint8)


def write_mp4(path: Path, frames: np.ndarray, fps: int, samples: np.ndarray, rate: int) -> None:
    """Writes frames uint8 (T, H, W, 3) and mono samples float32 (S,) as h264 and AAC, a keyframe every second."""
    with av.open(str(path), "w") as container:
        # ultrafast: the slower presets of x264 give other bytes from run to run, even with one thread
        video: Any = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "23"})
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt, video.gop_size = "yuv420p", fps
        video.codec_context.thread_count = 1
        audio: Any = container.add_stream("aac", rate=rate, layout="mono", options={"aac_coder": "fast"})
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts = rate, 0
        scaler = VideoReformatter()  # set up once: the frame's own method would do it for each frame
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(video.encode(scaler.reformat(frame, format="yuv420p", threads=1)))
        container.mux(video.encode(None))
        fifo = av.AudioFifo()
        fifo.write(sound)
        while (piece := fifo.read(1024, partial=True)) is not None:
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))


def _main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m perceiver.data.synthetic FOLDER")
    ensure_synthetic(sys.argv[1], DEMO, lambda done, total: print(f"\r{done}/{total} clips", end="", flush=True))
    print(
        f"\n{sys.argv[1]}: {DEMO.train_clips} training and {DEMO.eval_clips} evaluation clips, {len(CLASSES)} classes"
    )


if __name__ == "__main__":
    _main()
