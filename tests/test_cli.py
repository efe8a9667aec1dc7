"""The command line: exit codes, messages, and what it does not load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_maker import empty_store, record_sweep, replicates

from orchestrator.cli import main
from orchestrator.cli.demo import steps

ROOT = Path(__file__).parent.parent
SMOKE = str(ROOT / "sweeps" / "smoke.yaml")


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from orchestrator.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize(
    ("verb", "consents", "told"),
    [
        ("run", "older_code", "--confirm older_code: there is older-code, name, many. Nearest: older-code"),
        ("run", "name,all", "--confirm all: there is older-code, name, many"),
        ("plan", "name", "--confirm name: there is many"),
    ],
)
def test_an_unknown_consent_is_told_before_anything_starts(
    verb: str, consents: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "missing.yaml", "--confirm", consents])
    assert ended.value.code == 2 and told in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["plan", "board"])
def test_quick_verbs_load_neither_torch_nor_ray_nor_mlflow(verb: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    record_sweep(empty_store(tmp_path / "runs"), "smoke", replicates("baseline", [0.4, 0.5]))
    code = (
        "import sys; from orchestrator.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "print([name for name in ('torch', 'ray', 'mlflow', 'av', 'pandas') if name in sys.modules])"
    )
    argument = SMOKE if verb == "plan" else "smoke"
    command = [sys.executable, "-c", code, verb, argument]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_plan_as_json_is_one_object(tmp_path: Path) -> None:
    done = call(tmp_path, "plan", SMOKE, "--json")
    planned = json.loads(done.stdout)
    assert {"trials", "configurations", "totals"} <= planned.keys()
    assert {"id", "config", "factors", "seed", "state"} <= planned["trials"][0].keys()


def test_values_set_on_the_command_line_are_yaml(tmp_path: Path) -> None:
    done = call(tmp_path, "plan", SMOKE, "--json", "--set", "train.lr=1e-4")
    assert {trial["config"]["train"]["lr"] for trial in json.loads(done.stdout)["trials"]} == {1e-4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "nosuch.yaml"], "nosuch.yaml"),
        (["plan", SMOKE, "--site", "nosuch"], "there is no site nosuch"),
        (["plan", SMOKE, "--set", "train.lr"], "expected KEY=VALUE"),
        (["plan", SMOKE, "--set", "train.learning_rate=1"], "Nearest"),
        (["plan", SMOKE, "--set", "train.batch_size=1_0"], 'expected a whole number, got "1_0"'),
        (["plan", SMOKE, "--set", "train.augment=yes"], 'expected true or false, got "yes"'),
        (["plan", SMOKE, "--set", f"train.steps={'9' * 5000}"], "the value is no YAML"),
        (["plan", SMOKE, "--set", "train.lr=.inf"], "expected a finite number"),
        (["board", "smok"], "Nearest: smoke"),
        (["promote", "smok"], "Nearest: smoke"),
        (["status", "smok"], "Nearest: smoke"),
        (["stop", "smoke"], "is not being run"),
        (["logs", "zzz"], "All: sweep status"),
        (["rollback", "nobody"], "there is no model nobody"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    record_sweep(empty_store(tmp_path / "runs"), "smoke", replicates("baseline", [0.4]))
    done = call(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_storage_that_cant_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "site.yaml").write_text("storage: file/below\n")
    done = call(tmp_path, "run", SMOKE, "--site", "site.yaml")
    assert done.returncode == 2
    assert "can't be written" in done.stderr and "storage:" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_data_that_cant_be_seen_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("data: {synthetic: nowhere}\n")
    done = call(tmp_path, "run", SMOKE, "--site", "site.yaml")
    assert done.returncode == 2
    assert "nowhere" in done.stderr and "Traceback" not in done.stderr


def test_a_tracker_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_text(
        "this is no database, but it is long enough to look like a file of one" * 20
    )
    done = call(tmp_path, "board", "smoke")
    assert done.returncode == 75
    assert "mlflow.db" in done.stderr and "Traceback" not in done.stderr


def test_a_file_name_that_is_no_text_is_told_with_escapes(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.yaml")).write_text("sweep: [")
    code = "import sys; from orchestrator.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", b"a\xff.yaml"],
        cwd=tmp_path,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 2 and b"a\\udcff.yaml" in done.stderr and b"Traceback" not in done.stderr


def test_the_demo_gives_its_verbs_what_they_know() -> None:
    for command, verb, arguments in steps(Path(SMOKE)):
        assert arguments.keys() <= {parameter.name for parameter in verb.params}, command


def test_the_readme_names_every_verb() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [name for name in main.commands if f"`{name}" not in readme]
    assert not missing
