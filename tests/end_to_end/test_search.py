"""An adaptive search through the command line, with a real Ray: killed in the middle, and run again."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest
import yaml
from workplace import TINY, Workplace

from orchestrator.track.names import Tag
from orchestrator.track.reader import read_history, read_runs

WaitFor = Callable[["subprocess.Popen[str]", str], list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TRIALS = 5


def write_search(workplace: Workplace) -> str:
    document = {
        "sweep": "searched",
        "question": "Which rate is best?",
        "base": "tiny",
        "set": TINY,
        "vary": {
            "by": "tpe",
            "trials": TRIALS,
            "startup": 3,
            "factors": {"train.lr": {"low": 1e-4, "high": 3e-2, "scale": "log"}, "train.video_dropout": [0.0, 0.3]},
        },
        "seeds": 2,
        "replicate_top": 1,
        "stop_early": {"rule": "asha", "grace": 1, "reduction": 2},
    }
    (workplace.folder / "searched.yaml").write_text(yaml.safe_dump(document))
    return "searched.yaml"


def test_a_killed_search_is_finished_by_the_next_with_nothing_lost_or_doubled(
    workplace: Workplace, wait_for: WaitFor
) -> None:
    file = write_search(workplace)
    with workplace.start("run", file) as process:
        wait_for(process, "(4 of")  # the baseline's two and two proposals
        process.send_signal(signal.SIGKILL)
    planned = workplace.json("plan", file)
    begun = [trial["id"] for trial in planned["trials"] if trial["role"] == "trial"]
    assert 2 <= len(begun) <= TRIALS and planned["totals"]["to_propose"] == TRIALS - len(begun)

    done = workplace.sweep("run", file)
    assert done.returncode == 0, done.stderr
    tracking = f"sqlite:///{workplace.folder}/runs/mlflow.db"
    runs = read_runs(tracking, "searched").children
    assert Counter(run.tags[Tag.TRIAL] for run in runs).most_common(1)[0][1] == 1, "no trial has two runs"
    assert set(begun) <= {run.tags[Tag.TRIAL] for run in runs}
    numbers = [
        json.loads(run.tags[Tag.PROPOSAL])["number"] for run in runs if Tag.PROPOSAL in run.tags and not run.seed
    ]
    assert sorted(numbers) == list(range(TRIALS))
    assert len(runs) == 2 + TRIALS + 1, "the baseline's seeds, the proposals, the leader's second seed"
    assert all(run.status == "FINISHED" or run.early_stop for run in runs)
    stopped = {run.run_id: run.early_stop for run in runs if run.early_stop}
    for run_id, history in read_history(tracking, [run.run_id for run in runs], ["eval/mAP"]).items():
        stop = stopped.get(run_id)
        assert len(history) == (stop.evaluation if stop else 4), "every evaluation is recorded once, and none after it"

    board = workplace.json("board", "searched")
    assert {row["configuration"] for row in board["rows"]} >= {"baseline"} and len(board["rows"]) == 2
    assert sum(len(row["stopped"]) for row in board["stopped"]) == len(stopped) == board["trials"]["stopped"]
    again = workplace.sweep("run", file)
    assert again.returncode == 0 and f"{2 + TRIALS + 1} were there already" in again.stdout
