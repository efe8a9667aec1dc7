"""Reading shards from object storage beside reading them from disk: training clips a second, by reading processes.

    python tests/benchmarks/remote.py [FOLDER] [--clips 48] [--delay 0.05] [--rounds 3] [--workers 0 1 4] [--thin]

FOLDER holds video files with sound, by default the stamps clips beside the checkout. The first of them are ingested and
put on moto's S3 server, which answers behind a proxy that holds back each request. With --thin a server of files
stands in for moto, which takes several times as much of the cores that the readers share with it. Contenders in turn:

    disk     the product on the same shards in a folder
    remote   the product on S3
    loop     on S3, the next clip asked for when the one before is read: a Dataset that a DataLoader's workers index

Each clip lies in the bucket several times, so that none is asked for again while its bytes are there. The first
batches, in which processes and connections begin, are not counted.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import fsspec
import numpy as np
from torch.utils.data import DataLoader, Dataset

from perceiver.config import RunConfig, with_changes
from perceiver.data.audioset import DataSource, Segment
from perceiver.data.clips import Wants, read_clip
from perceiver.data.dataset import Clip, Clips, DataSet, open_data
from perceiver.data.ingest import ingest
from perceiver.data.loading import train_batches

BATCH, BEGINNING, COUNTED = 24, 4, 8
CHUNK = 2**20
SHARD, COPIES = "train-000000.tar", 8
Read = Callable[[int], Iterator[Any]]


def main() -> None:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "stamps" / "clips"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=beside)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 4])
    parser.add_argument("--thin", action="store_true")
    parser.add_argument("--proxy", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.proxy:
        asyncio.run(hold_back(options.proxy, options.delay))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bucket" / "set"
        files = sorted(options.folder.glob("*.*"))[: options.clips]
        ingest(DataSource(str(as_set(files, Path(scratch) / "source"))), str(folder))
        for number in range(COPIES):
            (folder / copy_name(number)).symlink_to(folder / SHARD)
        with storage(Path(scratch), options):
            compare(str(folder), "s3://bucket/set", options)


def as_set(files: list[Path], folder: Path) -> Path:
    """A data set of files, each of which is a training clip, the first one an evaluation clip."""
    (folder / "clips").mkdir(parents=True)
    for file in files:
        (folder / "clips" / file.name).symlink_to(file)
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/a,Anything\n")
    for split, chosen in (("train", files[1:]), ("eval", files[:1])):
        rows = "".join(f'{file.stem}, 0.000, 10.000, "/m/a"\n' for file in chosen)
        (folder / f"{split}_segments.csv").write_text("# YTID, start_seconds, end_seconds, positive_labels\n" + rows)
    return folder


@contextmanager
def storage(folder: Path, options: argparse.Namespace) -> Iterator[None]:
    """S3, as the environment says, whose bucket holds what the folder has."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    here, started = Path(__file__).resolve(), []
    try:
        if options.thin:
            server = here.parents[1] / "slow_server.py"
            started.append(begin(str(server), str(folder), "--delay", str(options.delay)))
        else:
            started.append(begin("-c", MOTO))
            os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{started[0].port}"
            s3 = fsspec.filesystem("s3", skip_instance_cache=True)
            s3.mkdir("bucket")
            s3.put(f"{folder}/bucket/set", "bucket/set", recursive=True)
            started.append(begin(str(here), "--proxy", str(started[0].port), "--delay", str(options.delay)))
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{started[-1].port}"
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


MOTO = """
import time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
time.sleep(36_000)
"""


class Started(subprocess.Popen[str]):
    """A process that prints its port first."""

    port: int


def begin(*arguments: str) -> Started:
    process = Started([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.port = int(process.stdout.readline())
    return process


async def hold_back(port: str, delay: float) -> None:
    """Passes requests on after a while, those of different connections side by side."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", int(port))

        async def answer() -> None:
            while data := await there.read(CHUNK):
                writer.write(data)
                await writer.drain()

        answering = asyncio.create_task(answer())
        while data := await reader.read(CHUNK):
            await asyncio.sleep(delay)
            back.write(data)
        answering.cancel()
        back.close()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


def compare(disk: str, remote: str, options: argparse.Namespace) -> None:
    config = with_changes(RunConfig(), {"train.batch_size": BATCH, "model.classes": 1})
    local, away = (several(open_data(DataSource(url), config, "train")) for url in (disk, remote))
    contenders: dict[str, Read] = {
        "disk": lambda workers: train_batches(local, config, workers=workers),
        "remote": lambda workers: train_batches(away, config, workers=workers),
        "loop": lambda workers: loop(away, config, workers),
    }
    print(f"{len(local)} clips, {options.delay * 1e3:.0f} ms a request, clips a second (median of {options.rounds})")
    print(f"  {'processes':>9}" + "".join(f"{name:>9}" for name in contenders) + f"{'remote / disk':>16}")
    for workers in options.workers:
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, read in contenders.items():
                rates[name].append(clips_per_second(read(workers)))
        shares = [remote / disk for remote, disk in zip(rates["remote"], rates["disk"], strict=True)]
        shown = "".join(f"{median(found):9.1f}" for found in rates.values())
        print(f"  {workers or 'a thread':>9}{shown}{median(shares):10.2f} ({min(shares):.2f} to {max(shares):.2f})")


def copy_name(number: int) -> str:
    return f"copy-{number}.tar"


def several(data: DataSet) -> DataSet:
    """The set with each clip once in every copy of its shard."""
    once, data.clips = data.clips, Clips()
    for number in range(COPIES):
        for clip in once:
            path = clip.path.replace(SHARD, copy_name(number))
            data.clips.append(Segment(clip.id, clip.start, clip.end, clip.labels, path, 0, clip.trimmed))
    return data


def clips_per_second(batches: Iterator[Any]) -> float:
    """Of the counted batches; the consumer does nothing, so that readers are what is measured."""
    for _ in islice(batches, BEGINNING):
        pass
    began = time.perf_counter()
    for _ in islice(batches, COUNTED):
        pass
    took = time.perf_counter() - began
    batches.close()  # type: ignore[attr-defined]
    return BATCH * COUNTED / took


class Plain(Dataset[list[np.ndarray | None]]):
    """Clips read one after the other."""

    def __init__(self, wants: Wants) -> None:
        self._wants = wants

    def __getitem__(self, clips: list[Clip]) -> list[np.ndarray | None]:
        return [read_clip(clip, self._wants, 0.5).video for clip in clips]


def loop(data: DataSet, config: RunConfig, workers: int) -> Iterator[Any]:
    order = ([data.clips[(step * BATCH + place) % len(data)] for place in range(BATCH)] for step in count())
    context = "forkserver" if workers else None
    plain = Plain(Wants.training(config))
    yield from DataLoader(
        plain, batch_size=None, sampler=order, num_workers=workers, collate_fn=list, multiprocessing_context=context
    )


if __name__ == "__main__":
    main()
