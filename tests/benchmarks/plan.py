"""How long `sweep plan` takes on large sweeps, and what the commands take to start.

    python tests/benchmarks/plan.py [TRIALS ...]        # default: 100 1000 10000

Every number is processor time of a process of its own, the least of three, so that a busy machine tells little less.
Trials are a grid of the tiny base, whose synthetic set needs no files to be described; nothing was run before.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SWEEP = "import sys; from orchestrator.cli import main; main(sys.argv[1:])"
EMPTY = "import click, pydantic, rich.console, yaml"
SEEDS = 5


def main() -> None:
    """Prints a line for each command."""
    sizes = [int(size) for size in sys.argv[1:]] or [100, 1000, 10_000]
    print(f"{'command':24} seconds")
    print(f"{'the libraries alone':24} {_seconds(EMPTY):7.2f}")
    print(f"{'sweep --help':24} {_seconds(SWEEP, '--help'):7.2f}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "large.yaml"
            file.write_text(json.dumps(_sweep(size)))
            print(f"{f'sweep plan, {size:,} trials':24} {_seconds(SWEEP, 'plan', str(file), folder=folder):7.2f}")


def _sweep(trials: int) -> dict[str, object]:
    levels = max(2, round((trials / SEEDS) ** 0.5))
    rates, dropouts = ([round(number / (levels + 1), 4) for number in range(1, levels + 1)] for _ in range(2))
    factors = {"train.lr": rates, "train.video_dropout": dropouts}
    return {"sweep": "large", "base": "tiny", "vary": {"by": "grid", "factors": factors}, "seeds": SEEDS}


def _seconds(code: str, *arguments: str, folder: str = ".") -> float:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(found)


if __name__ == "__main__":
    main()
