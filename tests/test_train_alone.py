"""`python -m perceiver.train`: going on after a kill at any moment, and wrong use in words."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from perceiver.alone import main, newest, save
from perceiver.config import RunConfig, dump, load, with_changes
from perceiver.data.audioset import DataSource
from perceiver.errors import CheckpointError
from perceiver.state import TrainState

BASE = Path(__file__).parent.parent / "sweeps" / "base" / "tiny.yaml"
SMALL = {"model.latents": 8, "model.latent_channels": 16, "train.batch_size": 6, "train.steps": 2, "eval.clips": 1}


@pytest.fixture
def config() -> RunConfig:
    return with_changes(load(BASE), SMALL)


@pytest.fixture
def state(config: RunConfig) -> TrainState:
    return TrainState.start(config, torch.device("cpu"))


def command(folder: Path, config: RunConfig, *more: str) -> list[str]:
    (folder / "config.yaml").write_text(yaml.safe_dump(dump(config)))
    return ["perceiver.train", str(folder / "config.yaml"), "--output", str(folder / "out"), *more]


def words(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it refuses to work."""
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code if isinstance(left.value.code, str) else capsys.readouterr().err


@pytest.mark.parametrize("unwritable", ["model.safetensors", "state.pt", "progress.json", ".MANIFEST.json"])
def test_a_save_that_dies_between_its_files_leaves_the_checkpoint_before_it(
    unwritable: str, state: TrainState, tmp_path: Path
) -> None:
    state.step = 1
    save(state, tmp_path)
    state.step = 2
    (tmp_path / "000000002" / unwritable).mkdir(parents=True)
    with pytest.raises(Exception, match="directory"):
        save(state, tmp_path)
    found = newest(tmp_path)
    assert found is not None and found.name == "000000001"
    assert TrainState.load(found, state.config, torch.device("cpu")).step == 1


def test_a_checkpoint_that_is_written_over_is_none_until_its_end(state: TrainState, tmp_path: Path) -> None:
    save(state, tmp_path)
    (tmp_path / "000000000" / "state.pt").unlink()
    (tmp_path / "000000000" / "state.pt").mkdir()
    with pytest.raises(Exception, match="directory"):
        save(state, tmp_path)
    assert newest(tmp_path) is None


def test_the_newest_two_are_kept_and_a_damaged_one_gives_way(state: TrainState, tmp_path: Path) -> None:
    for state.step in (8, 9, 10):
        save(state, tmp_path)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["000000009", "000000010"]
    (tmp_path / "000000010" / "state.pt").write_bytes(b"")
    found = newest(tmp_path)
    assert found is not None and found.name == "000000009"
    (tmp_path / "000000009" / "state.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="000000010 is damaged"):
        newest(tmp_path)


def test_ctrl_c_says_how_to_go_on(config: RunConfig, synthetic_source: DataSource, tmp_path: Path) -> None:
    endless = with_changes(config, {"train.steps": 100_000, "eval.times": 10_000})
    module, *arguments = command(tmp_path, endless, "--data", synthetic_source.url)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(2):  # the first line's checkpoint is saved when the second comes
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert told.endswith("Interrupted: run the same command again to go on from the newest checkpoint\n")
    assert "Traceback" not in told and newest(tmp_path / "out" / "checkpoints") is not None


def test_a_finished_trial_is_refused_with_other_data(
    config: RunConfig, synthetic_source: DataSource, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sys, "argv", command(tmp_path, config, "--data", synthetic_source.url))
    main()
    assert "the checkpoint is" in capsys.readouterr().out
    other = shutil.copytree(synthetic_source.url, tmp_path / "set")
    table = other / "eval_segments.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    told = words(command(tmp_path, config, "--data", str(other)), monkeypatch, capsys)
    assert (
        "other data: " in told
        and ', eval was "9 clips' in told
        and told.endswith("give another --output to begin anew")
    )


def test_a_trial_does_not_go_on_with_other_sound_in_its_files(
    config: RunConfig, synthetic_source: DataSource, tmp_path: Path, monkeypatch, capsys
) -> None:
    folder = shutil.copytree(synthetic_source.url, tmp_path / "set")
    monkeypatch.setattr(sys, "argv", command(tmp_path, config, "--data", str(folder)))
    main()
    clip = folder / "clips" / "train000003.mp4"
    clip.write_bytes(clip.read_bytes()[:-1] + b"?")
    told = words(command(tmp_path, config, "--data", str(folder)), monkeypatch, capsys)
    assert "other data: train was" in told


def test_only_the_synthetic_set_is_made_here(config: RunConfig, tmp_path: Path, monkeypatch, capsys) -> None:
    told = words(command(tmp_path, with_changes(config, {"data.set": "audioset"})), monkeypatch, capsys)
    assert told.startswith("DataError: data.set is audioset: give --data FOLDER")


def test_wrong_arguments_are_told_in_words(config: RunConfig, tmp_path: Path, monkeypatch, capsys) -> None:
    assert "--workers -1: expected 0 or more" in words(
        command(tmp_path, config, "--workers", "-1"), monkeypatch, capsys
    )
    (tmp_path / "out").write_text("")
    assert "can't be a folder: File exists" in words(command(tmp_path, config), monkeypatch, capsys)
