"""Reading clips beside the ways one would otherwise take: CPU seconds, from one run over the same files and moments.

    python tests/benchmarks/data.py [FOLDER] [--clips 200] [--size 224] [--memory 10000]

FOLDER holds video files with sound, by default the stamps clips beside the checkout. Every contender gives 32 frames
at 25 per second, cut to the middle `size` pixels, and 61,440 samples at 48 kHz, as numpy arrays or tensors; its frames
are compared with ours. Contenders take turns file by file, one thread each. Columns:

    clips/s      per core: clips over CPU seconds
    speed        this row's clips/s over that of `plain PyAV`
    same         share of frames that are ours but for rounding (mean difference below 3 of 255)
    sound        correlation with our samples

Then the evaluation's sixteen clips of a file, from one decode and from sixteen reads, alternating; "ready for the
device" counts what a loader adds: sixteen clips are stacked, one decode hands over each picture once and is cut on the
device. `--memory` watches the process with its reader thread, then a DataLoader's worker, over that many clips.

torchcodec takes part where it imports (0.11.1 goes with torch 2.11; it needs FFmpeg's libraries).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from av.video.reformatter import VideoReformatter

from perceiver.config import RunConfig, with_changes
from perceiver.data.audioset import ClassLabel, DataSource, Segment
from perceiver.data.clips import Excerpt, Wants, read_clip, read_clips
from perceiver.data.dataset import Clip, DataSet
from perceiver.data.loading import train_batches
from perceiver.data.reading import Plan, Reader, Task, shapes_of, stack

FPS, FRAMES, RATE, SAMPLES = 25, 32, 48_000, 61_440
Pair = tuple[np.ndarray, np.ndarray]


@dataclass
class Contender:
    """A way to read a clip, and what it took."""

    name: str
    read: Callable[[Clip, float], Pair]
    seconds: float = 0.0
    clips: int = 0
    same: list[float] = field(default_factory=list)
    sound: list[float] = field(default_factory=list)


def main() -> None:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "stamps" / "clips"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=beside)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--memory", type=int, default=0, help="clips to read while watching the memory")
    options = parser.parse_args()
    wants = Wants.evaluation(with_changes(RunConfig(), {"model.inputs.video.size": options.size}))
    clips = [Clip(path.stem, str(path), 0.0, 10.0, True, ()) for path in sorted(options.folder.glob("*.*"))]
    if not clips:
        raise SystemExit(f"no files in {options.folder}: name a folder of video files with sound")
    compare(clips, wants, options.clips)
    compare_evaluation(clips, wants, min(40, len(clips)))
    if options.memory:
        watch_memory(clips, wants, options.memory)


def compare(clips: list[Clip], wants: Wants, count: int) -> None:
    """Training clips: each contender reads the same random places."""
    size = wants.fit.size

    def ours(clip: Clip, start: float) -> Pair:
        return _pair(read_clip(clip, wants, (start * FPS + 0.5) / (250 - FRAMES + 1)))

    contenders = [Contender("ours", ours), Contender("plain PyAV", lambda clip, start: plain_pyav(clip, start, size))]
    try:
        contenders += [Contender(f"torchcodec, {mode}", torchcodec(size, mode)) for mode in ("exact", "approximate")]
    except (ImportError, OSError, RuntimeError) as error:
        print(f"torchcodec is left out: {str(error).splitlines()[0]}")
    draw = np.random.default_rng(0)
    for number in range(count):
        clip, start = clips[number % len(clips)], int(draw.integers(0, 250 - FRAMES + 1)) / FPS
        reference = ours(clip, start)
        for contender in contenders:
            began = time.process_time()
            frames, samples = contender.read(clip, start)
            contender.seconds += time.process_time() - began
            contender.clips += 1
            difference = np.abs(frames.astype(np.int16) - reference[0]).mean(axis=(1, 2, 3))
            contender.same.append(float((difference < 3).mean()))
            if samples.std() and reference[1].std():
                contender.sound.append(float(np.corrcoef(samples, reference[1])[0, 1]))
    plain = contenders[1].clips / contenders[1].seconds
    print(f"{count} clips of {FRAMES} frames of {size} pixels and {SAMPLES} samples, from {len(clips)} files")
    print(f"  {'':24}{'clips/s':>9}{'speed':>8}{'same':>8}{'sound':>8}")
    for one in contenders:
        rate = one.clips / one.seconds
        print(f"  {one.name:24}{rate:9.1f}{rate / plain:8.2f}{np.mean(one.same):8.3f}{np.mean(one.sound):8.3f}")


def plain_pyav(clip: Clip, start: float, size: int) -> Pair:
    """Decodes from the first frame on, as most scripts do; with one scaler for all frames, as few do."""
    frames: list[np.ndarray] = []
    scaler, shown = VideoReformatter(), None
    with av.open(clip.path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            while len(frames) < FRAMES and frame.time >= start + (len(frames) + 0.5) / FPS:
                frames.append(_scaled(scaler, shown or frame, size))
            shown = frame
            if len(frames) == FRAMES:
                break
        while len(frames) < FRAMES:
            frames.append(_scaled(scaler, shown, size))
    with av.open(clip.path) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        pieces = []
        for sound in container.decode(audio=0):
            pieces += [out.to_ndarray()[0] for out in resampler.resample(sound)]
            if sound.time > start + SAMPLES / RATE + 0.05:
                break
    samples = np.concatenate([*pieces, np.zeros(SAMPLES, np.float32)])
    first = round(start * RATE)
    return np.stack(frames), samples[first : first + SAMPLES]


def _scaled(scaler: VideoReformatter, frame: Any, size: int) -> np.ndarray:
    width, height = _scaled_size(frame.width, frame.height, size)
    picture = scaler.reformat(frame, width, height, "rgb24", interpolation="BILINEAR", threads=1).to_ndarray()
    return _middle(picture, size)


def torchcodec(size: int, mode: str) -> Callable[[Clip, float], Pair]:
    """The same through torchcodec's decoders; `mode` is its seek mode."""
    import torch
    from torchcodec.decoders import AudioDecoder, VideoDecoder
    from torchcodec.transforms import Resize

    torch.set_num_threads(1)

    def read(clip: Clip, start: float) -> Pair:
        header = VideoDecoder(clip.path, seek_mode="approximate").metadata
        width, height = _scaled_size(header.width, header.height, size)
        scale = [Resize((height, width))]
        video = VideoDecoder(clip.path, seek_mode=mode, dimension_order="NHWC", transforms=scale)
        last = video.metadata.end_stream_seconds - 1e-4
        times = [min(start + (n + 0.5) / FPS - 1e-4, last) for n in range(FRAMES)]
        frames = video.get_frames_played_at(times).data.numpy()
        audio = AudioDecoder(clip.path, sample_rate=RATE, num_channels=1)
        sound = audio.get_samples_played_in_range(start, start + SAMPLES / RATE).data[0].numpy()[:SAMPLES]
        return _middle(frames, size), np.pad(sound, (0, SAMPLES - len(sound)))

    return read


def compare_evaluation(clips: list[Clip], wants: Wants, count: int) -> None:
    """The sixteen clips of a file from one decode, and one by one: read, and made ready for the device."""
    import torch

    torch.set_num_threads(1)
    reader, shapes = Reader(wants, 16), shapes_of(wants)
    took: dict[str, list[float]] = {"once": [], "once, ready": [], "apart": [], "apart, ready": []}
    for number in range(count):
        clip = clips[number * len(clips) // count]
        moments = [time.process_time()]
        read_clips(clip, wants, 16)
        moments.append(time.process_time())
        excerpts = [read_clip(clip, wants, number / 16) for number in range(16)]
        moments.append(time.process_time())
        for name, (shape, kind) in shapes.items():
            stack([getattr(excerpt, name) for excerpt in excerpts], shape, kind)
        moments.append(time.process_time())
        del excerpts
        moments.append(time.process_time())
        reader[Plan([Task(0, [(0, clip)])], [])]
        moments.append(time.process_time())
        once, apart, stacked, _, ready = np.diff(moments)
        for name, seconds in zip(took, (once, ready, apart, apart + stacked), strict=True):
            took[name].append(seconds)
    print(f"evaluation of a ten-second file, 16 clips: CPU milliseconds, median of {count} files")
    print(f"  {'':24}{'one decode':>12}{'16 reads':>12}{'cheaper':>10}   (quartiles)")
    for what in ("", ", ready"):
        once, apart = np.array(took[f"once{what}"]), np.array(took[f"apart{what}"])
        low, middle, high = np.quantile(apart / once, (0.25, 0.5, 0.75))
        shown = "ready for the device" if what else "read"
        times = f"{np.median(once) * 1000:12.1f}{np.median(apart) * 1000:12.1f}"
        print(f"  {shown:24}{times}{middle:10.2f}   {low:.2f} to {high:.2f}")


def watch_memory(clips: list[Clip], wants: Wants, count: int) -> None:
    """Memory of this process as its reader thread, or a DataLoader's worker, reads clips."""
    data = DataSet(DataSource("benchmark"), "train", [ClassLabel("/m/a", "A")])
    for clip in clips:
        data.clips.append(Segment(clip.id, clip.start, clip.end, (0,), clip.path, 0, clip.trimmed))
    size, video = 8, {"model.inputs.video.size": wants.fit.size}
    config = with_changes(RunConfig(), {"train.batch_size": size, "train.augment": False} | video)
    for workers in (0, 1):
        print(f"resident memory over {count} clips, " + ("one DataLoader worker" if workers else "reader thread"))
        batches = train_batches(data, config, workers=workers)
        for number in range(count // size):
            next(batches)
            if (number + 1) % (count // size // 10) == 0:
                readers = [p for p in psutil.Process().children(recursive=True) if p.memory_info().rss > 100 * 2**20]
                process = max(readers, key=lambda p: p.pid) if workers else psutil.Process()
                print(f"  {(number + 1) * size:8} clips {process.memory_info().rss / 2**20:8.1f} MiB", flush=True)
        batches.close()


def _pair(excerpt: Excerpt) -> Pair:
    assert excerpt.video is not None and excerpt.audio is not None
    return excerpt.video, excerpt.audio


def _scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    return round(size * max(width / height, 1)), round(size * max(height / width, 1))


def _middle(pictures: np.ndarray, size: int) -> np.ndarray:
    top, left = (pictures.shape[-3] - size) // 2, (pictures.shape[-2] - size) // 2
    return pictures[..., top : top + size, left : left + size, :]


if __name__ == "__main__":
    main()
