"""How long `sweep board` takes on large sweeps, beside what MLflow's own client needs to fetch the same runs.

    python tests/benchmarks/board.py [TRIALS ...]        # default: 100 1000 10000

Each sweep has 5 seeds a configuration and lies in one sqlite file with all the others. Runs have what the recorder
writes: about 90 params, 14 tags, 12 metrics with their history of 10 points left out (a board never reads it).
"""

import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sweep_maker import COMPARABLE, empty_store

from orchestrator.track.names import Tag
from perceiver.config import RunConfig, flatten

SEEDS = 5
METRICS = [
    "train/loss", "train/clips_per_second", "eval/mAP", "eval/AUC", "eval/d_prime", "eval/loss", "eval/mAP_audio_only",
    "eval/mAP_video_only", "cost/hours", "cost/gpu_hours", "cost/peak_memory_bytes", "cost/flops",
]  # fmt: skip
BOARD = """
import sys
from orchestrator.plan.site import Site
from orchestrator.rank.board import board
from orchestrator.rank.report import print_board
print_board(board(sys.argv[2], Site(tracking=sys.argv[1])))
heavy = {"torch", "ray", "mlflow", "numpy", "scipy", "pandas", "sqlalchemy"} & set(sys.modules)
print(*sorted(heavy) or ["none"], file=sys.stderr)
"""
CLIENT = """
import sys
from mlflow import MlflowClient
client, token = MlflowClient(sys.argv[1]), None
experiment = client.get_experiment_by_name(sys.argv[2]).experiment_id
while True:
    page = client.search_runs([experiment], "tags.`sweep.role` != 'sweep'", max_results=1000, page_token=token)
    token = page.token
    if not token:
        break
"""
EMPTY = "import click, rich.console"


def main() -> None:
    """Fills a database, prints one line per sweep."""
    sizes = [int(size) for size in sys.argv[1:]] or [100, 1000, 10_000]
    folder = Path(tempfile.mkdtemp())
    try:
        tracking = empty_store(folder)
        for size in sizes:
            fill(folder / "mlflow.db", f"sweep-{size}", size)
        megabytes = (folder / "mlflow.db").stat().st_size / 1e6
        print(f"one sqlite file of {megabytes:,.0f} MB; a fresh process, fastest of 3: seconds of wall / of CPU time")
        print(f"python with click and rich alone: {fastest(EMPTY)}")
        print(f"{'trials':>8}  {'board':>13}  {'MlflowClient':>13}  heavy imports of board")
        for size in sizes:
            arguments = (tracking, f"sweep-{size}")
            board, client = fastest(BOARD, *arguments), fastest(CLIENT, *arguments, times=1)
            answer = subprocess.run(
                [sys.executable, "-c", BOARD, *arguments], capture_output=True, text=True, check=True
            )
            print(f"{size:8,}  {board:>13}  {client:>13}  {answer.stderr.strip()}")
    finally:
        shutil.rmtree(folder)


def fastest(code: str, *arguments: str, times: int = 3) -> str:
    """Wall and CPU seconds of a process that runs this code."""
    measured = []
    for _ in range(times):
        start, before = time.perf_counter(), cpu_seconds()
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
        measured.append((time.perf_counter() - start, cpu_seconds() - before))
    wall, cpu = min(measured)
    return f"{wall:.2f} / {cpu:.2f}"


def cpu_seconds() -> float:
    """CPU time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fill(path: Path, sweep: str, trials: int) -> None:
    """Writes a sweep as rows of MLflow's tables, since the client would take an hour."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous=OFF")
    cursor = database.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES (?, 'file:///nowhere', 'active')",
        (sweep,),
    )
    experiment = cursor.lastrowid
    runs = [(uuid4().hex, number) for number in range(trials + 1)]
    database.executemany(
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, "
        "artifact_uri, experiment_id) VALUES (?, 'trial', 'UNKNOWN', 'me', 'FINISHED', ?, ?, 'active', 'file:///x', ?)",
        [(run_id, number, number + 1, experiment) for run_id, number in runs],
    )
    parent, trial_runs = runs[0][0], runs[1:]
    tags = [(parent, str(key), value) for key, value in parent_tags(sweep).items()]
    tags += [(run_id, str(key), value) for run_id, number in trial_runs for key, value in trial_tags(sweep, number)]
    database.executemany("INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)", tags)
    config = {key: json.dumps(value) for key, value in flatten(RunConfig()).items()}
    database.executemany(
        "INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)",
        ((run_id, key, value) for run_id, _ in trial_runs for key, value in config.items()),
    )
    rng = random.Random(0)
    database.executemany(
        "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, 1, 1, 0)",
        ((run_id, key, rng.gauss(0.4, 0.01)) for run_id, _ in trial_runs for key in METRICS),
    )
    database.commit()
    database.close()


def parent_tags(sweep: str) -> dict[Tag, str]:
    """Tags of the sweep's parent run."""
    return {
        Tag.NAME: sweep,
        Tag.ROLE: "sweep",
        Tag.QUESTION: "How long does it take?",
        Tag.SCORE: json.dumps({"metric": "eval/mAP", "goal": "maximize"}),
    }


def trial_tags(sweep: str, number: int) -> Iterator[tuple[Tag, str]]:
    """Tags of a trial: replicate number % SEEDS of configuration number // SEEDS, the first being the baseline."""
    place = (number - 1) // SEEDS
    yield Tag.NAME, sweep
    yield Tag.ROLE, "trial" if place else "baseline"
    yield Tag.TRIAL, f"{number:08x}"
    yield Tag.IDENTITY, f"{sweep}-{number}"
    yield Tag.CONFIGURATION, f"train.lr={place / 1e5:g}" if place else "baseline"
    yield Tag.FACTOR, "train.lr" if place else ""
    yield Tag.LEVEL, json.dumps([place / 1e5] if place else [])
    yield Tag.SEED, str((number - 1) % SEEDS)
    yield Tag.COMPARABLE, json.dumps(COMPARABLE)
    yield Tag.ATTEMPTS, "1"
    yield Tag.PROGRESS, "1.0000"
    yield Tag.STOPPED, ""
    yield Tag.CODE_DIGEST, "0" * 64
    yield Tag.PARENT, sweep


if __name__ == "__main__":
    main()
