"""Ways to store clips for reading at random, and reading from shards beside reading from the source.

    python tests/benchmarks/shards.py [FOLDER] [--files 24] [--clips 240]

FOLDER holds video files with sound, by default the stamps clips beside the checkout. They are read as they are, and as
web video that is made of them: 640 x 360 h264, a keyframe in 250, B frames, 44.1 kHz stereo AAC. CPU time of one
process, contenders in turn, 32 frames of 256 pixels (whole, squashed) at random places.

The first table stores pictures in several forms: milliseconds to decode and convert 32 of them from the keyframe
before, bytes of ten seconds, PSNR against the pictures that training reads from the source. The second reads whole
training clips and evaluation files, pictures and 1.28 s of sound, through the product's own path.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from perceiver.config import RunConfig
from perceiver.data.audioset import Segment, Split
from perceiver.data.clips import Wants, read_clip, read_clips
from perceiver.data.dataset import Clip
from perceiver.data.encode import GROUP, X264
from perceiver.data.files import FileRange
from perceiver.data.media import Media
from perceiver.data.packing import ShardTask, write_shard
from perceiver.data.pictures import read_pictures
from perceiver.data.shards import Form

SIZE, FRAMES = 256, 32
FORMS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    "h264, group of 12": ("libx264", "h264", GROUP, X264),
    "h264, group of 4": ("libx264", "h264", 4, X264),
    "h264, with lookahead": ("libx264", "h264", GROUP, X264 | {"x264-params": "", "crf": "20"}),
    "h264, x264's defaults": ("libx264", "h264", GROUP, {"crf": "20", "sc_threshold": "0"}),
    "h264, keyframes only": ("libx264", "h264", 1, X264),
    "MJPEG": ("mjpeg", "mjpeg", 1, {"b": "1000000", "qmin": "4", "qmax": "4"}),
    "MPEG-2, group of 12": ("mpeg2video", "mpeg2video", 12, {"b": "600000"}),
}


def main() -> None:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "stamps" / "clips"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=beside)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--clips", type=int, default=240)
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.*"))
    files = files[:: max(1, len(files) // options.files)][: options.files]
    if not files:
        raise SystemExit(f"no files in {options.folder}: name a folder of video files with sound")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, paths in (("as they are", files), ("as web video", [web_video(file, folder) for file in files])):
            clips = [Clip(path.stem, str(path), 0.0, 10.0, True, ()) for path in paths]
            size = np.mean([path.stat().st_size for path in paths]) / 1e3
            print(f"\n{len(clips)} files {name}, {size:.0f} kB each")
            compare_forms(clips[:8], options.clips)
            for split in ("train", "eval"):
                compare_reading(clips, split, folder / name, options.clips)


def web_video(file: Path, folder: Path) -> Path:
    """The file as a video site would give it."""
    path = folder / f"{file.stem}.mp4"
    options = {"crf": "23", "preset": "medium"}
    with av.open(str(file)) as source, av.open(str(path), "w") as target:
        video: Any = target.add_stream("libx264", rate=source.streams.video[0].average_rate, options=options)
        video.width, video.height, video.pix_fmt, video.gop_size = 640, 360, "yuv420p", 250
        video.codec_context.max_b_frames = 3
        audio: Any = target.add_stream("aac", rate=44_100, layout="stereo")
        for frame in source.decode(video=0):
            target.mux(video.encode(frame.reformat(640, 360, "yuv420p")))
        target.mux(video.encode(None))
        source.seek(0)
        for sound in source.decode(audio=0):
            target.mux(audio.encode(sound))
        target.mux(audio.encode(None))
    return path


def compare_forms(clips: list[Clip], count: int) -> None:
    """Decodes the same places in every form, form by form in turn."""
    wants = Wants.training(RunConfig())
    sources = []
    for clip in clips:
        with Media(clip.path, 60) as media:
            sources.append(read_pictures(media, 0.0, int(media.duration * 25), 25, wants.fit).frames)
    stored = {
        name: [store(pictures, encoder, group, options) for pictures in sources]
        for name, (encoder, _, group, options) in FORMS.items()
    }
    seconds, loss = dict.fromkeys(FORMS, 0.0), {name: list[float]() for name in FORMS}
    draw = np.random.default_rng(0)
    for number in range(count):
        file = number % len(clips)
        first = int(draw.integers(0, len(sources[file]) - FRAMES))
        for name, (_, decoder, group, _) in FORMS.items():
            began = time.process_time()
            pictures = load(stored[name][file], decoder, group, first)
            seconds[name] += time.process_time() - began
            loss[name].append(psnr(pictures, sources[file][first : first + FRAMES]))
    print(f"  {'':28}{'ms/32':>8}{'kB/10 s':>9}{'PSNR':>7}")
    for name in FORMS:
        size = np.mean([sum(map(len, packets)) / len(packets) * 250 for packets in stored[name]]) / 1e3
        print(f"  {name:28}{1e3 * seconds[name] / count:8.2f}{size:9.0f}{np.mean(loss[name]):7.1f}")


def store(pictures: np.ndarray, encoder: str, group: int, options: dict[str, str]) -> list[bytes]:
    """A packet for each picture."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width = context.height = SIZE
    context.time_base, context.framerate, context.options = Fraction(1, 25), 25, options
    context.gop_size, context.max_b_frames, context.thread_count = group, 0, 1
    context.pix_fmt, context.color_range = "yuv420p", 2 if encoder == "mjpeg" else 1
    packets: list[bytes] = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_color_range=context.color_range)
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += map(bytes, context.encode(frame))
    return packets + [bytes(packet) for packet in context.encode(None)]


def load(packets: list[bytes], decoder: str, group: int, first: int) -> np.ndarray:
    """uint8 (32, 256, 256, 3) from `first` on."""
    context: Any = av.CodecContext.create(decoder, "r")
    context.thread_count = 1
    scaler, begin = VideoReformatter(), first - first % group
    frames = _decoded(context, packets[begin : first + FRAMES])
    pictures = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    for number, frame in enumerate(frames, begin - first):
        if number >= 0:
            pictures[number] = scaler.reformat(frame, format="rgb24", threads=1).to_ndarray()
    return pictures


def _decoded(context: Any, packets: list[bytes]) -> Iterator[Any]:
    for packet in packets:
        yield from context.decode(av.Packet(packet))
    yield from context.decode(None)


def compare_reading(clips: list[Clip], split: Split, folder: Path, count: int) -> None:
    """Clips (of evaluation: files) per second and core, from the source and from a shard, and how alike they are."""
    rows = [Segment(clip.id, clip.start, clip.end, (), clip.path, 0, True) for clip in clips]
    record = write_shard(ShardTask(str(folder), split, 0, 0, Form(), rows, []))
    shard = str(folder / f"{split}-000000.tar")
    pairs = [
        (clips[packed.row], clips[packed.row]._replace(path=str(FileRange(shard, packed.offset, packed.length))))
        for packed in record.clips
    ]
    wants = Wants.training(RunConfig()) if split == "train" else Wants.evaluation(RunConfig())
    seconds, loss, sound = [0.0, 0.0], list[float](), list[float]()
    draw = np.random.default_rng(0)
    count = count if split == "train" else len(pairs)
    for number in range(count):
        moment, read = draw.random(), []
        for place, clip in enumerate(pairs[number % len(pairs)]):
            began = time.process_time()
            read += [read_clip(clip, wants, moment)] if split == "train" else read_clips(clip, wants, 16)[:1]
            seconds[place] += time.process_time() - began
        source, copy = read
        loss.append(psnr(source.video, copy.video))
        if source.audio.std() > 0.001:
            sound.append(float(np.corrcoef(source.audio, copy.audio)[0, 1]))
    source_rate, shard_rate = (count / each for each in seconds)
    size = record.size / len(pairs) / 1e3
    what = "training clips" if split == "train" else "evaluation files, 16 clips"
    print(
        f"  {what}: {source_rate:.1f} a second from the source, {shard_rate:.1f} from shards: "
        f"{shard_rate / source_rate:.2f} times; {size:.0f} kB a clip, PSNR {np.mean(loss):.1f} (least {min(loss):.1f})"
        f", sound {np.mean(sound):.4f} (least {min(sound):.4f})"
    )


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Decibels."""
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(np.float32) - other) ** 2)), 1e-9)))


if __name__ == "__main__":
    main()
