"""What stands between a plan and its run: what no machine of the site could do is refused before anything starts."""

import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from media_maker import grey, make_media
from workplace import Workplace

from orchestrator.cli import main
from perceiver.data.audioset import DataSource


@pytest.fixture(scope="module")
def recorded(synthetic_source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips with lists and nine classes, as somebody recorded it."""
    folder = tmp_path_factory.mktemp("recorded") / "mine"
    shutil.copytree(synthetic_source.url, folder)
    return folder


@pytest.fixture
def place(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A user's folder, whose site knows the set `mine`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_site(tmp_path, data={"mine": str(recorded)})
    return Workplace(tmp_path)


def write_site(folder: Path, **keys: Any) -> None:
    (folder / "site.yaml").write_text(yaml.safe_dump(keys))


def copy_of(recorded: Path, folder: Path) -> Path:
    """A set that a test may spoil."""
    return Path(shutil.copytree(recorded, folder / "spoiled"))


def sweep_of(place: Workplace, name: str = "x", factors: dict[str, list[Any]] | None = None, **changes: Any) -> str:
    changes = {"data.set": "mine"} | {key.replace("__", "."): value for key, value in changes.items()}
    return place.write_sweep(name, factors or {"train.video_dropout": [0.0, 0.3]}, **changes)


def test_classes_that_are_left_out_are_the_label_lists(place: Workplace) -> None:
    left_out = place.json("plan", sweep_of(place))["trials"]
    given = place.json("plan", sweep_of(place, model__classes=9))["trials"]
    assert {trial["config"]["model"]["classes"] for trial in left_out} == {9}
    assert [(trial["id"], trial["identity"]) for trial in left_out] == [
        (trial["id"], trial["identity"]) for trial in given
    ]


def test_each_data_set_of_a_sweep_has_its_own_classes(place: Workplace, recorded: Path) -> None:
    other = copy_of(recorded, place.folder)
    labels = other / "class_labels_indices.csv"
    labels.write_text(labels.read_text().rstrip("\n") + "\n9,/m/new,New\n")
    write_site(place.folder, data={"mine": str(recorded), "other": str(other)})
    trials = place.json("plan", sweep_of(place, factors={"data.set": ["mine", "other"]}))["trials"]
    assert [(trial["configuration"], trial["config"]["model"]["classes"]) for trial in trials] == [
        ("baseline", 9),
        ("data.set=other", 10),
    ]


def refused(place: Workplace, file: str, code: int = 2, verb: str = "plan") -> str:
    """What a verb says that ends with this code, and proposes nothing that is known to fail."""
    with chdir(place.folder):
        done = CliRunner().invoke(main, [verb, file, "--site", "site.yaml"])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.stderr and "Next:" not in done.stdout
    assert not (place.folder / "runs").exists(), "nothing was started, and nothing left behind"
    return done.stderr


def refused_apart(place: Workplace, file: str, code: int) -> str:
    """The same in a process of its own, which reads the environment anew."""
    done = place.sweep("plan", file)
    assert done.returncode == code and "Next:" not in done.stdout, done.stdout + done.stderr
    return done.stderr


def test_a_plan_that_can_run_is_not_refused_and_leaves_nothing(place: Workplace) -> None:
    done = place.sweep("plan", sweep_of(place))
    assert done.returncode == 0 and "Next:  sweep run x.yaml" in done.stdout, done.stderr
    assert not (place.folder / "runs").exists()


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_classes_that_are_not_the_sets_are_told_at_their_line(verb: str, place: Workplace) -> None:
    said = refused(place, sweep_of(place, model__classes=11), verb=verb)
    line = 1 + (place.folder / "x.yaml").read_text().splitlines().index("  model.classes: 11")
    assert f"line {line}:3" in said and "x.yaml has 1 mistake; nothing was started" in said
    assert "model.classes: 11, but the label list of data set mine has 9: leave it out" in said


def test_classes_of_a_base_are_told_where_it_is_named(place: Workplace) -> None:
    file = place.folder / sweep_of(place)
    file.write_text(file.read_text().replace("base: tiny", "base: audioset_mel_video"))
    said = refused(place, "x.yaml")
    assert "line 1:1" in said and "model.classes: 527, but the label list of data set mine has 9" in said


def test_all_mistakes_of_data_are_told_at_once(place: Workplace, recorded: Path) -> None:
    empty, unlisted, unlabelled = (copy_of(recorded, place.folder / name) for name in ("a", "b", "c"))
    shutil.rmtree(empty / "clips")
    (empty / "clips").mkdir()
    (unlisted / "eval_segments.csv").unlink()
    (unlabelled / "class_labels_indices.csv").unlink()
    sets = {"mine": recorded, "empty": empty, "unlisted": unlisted, "unlabelled": unlabelled, "away": "/nowhere"}
    write_site(place.folder, data={name: str(path) for name, path in sets.items()})
    said = refused(place, sweep_of(place, factors={"data.set": [*sets, "unknown"]}))
    for text in (
        "data.empty: ",
        "has no clip in its train split (rows: 18 no file)",
        "has no clip in its eval split",
        "why:  sweep data check empty",
        "has no eval_segments.csv",
        "no label list at",
        "data.away: /nowhere is not there",
        "does not say where data set unknown lies",
    ):
        assert text in said
    assert "site.yaml has 5 mistakes" in said and "x.yaml has 1 mistake" in said


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_storage_that_refuses_is_told_with_its_line(verb: str, place: Workplace, recorded: Path) -> None:
    (place.folder / "file").touch()
    write_site(place.folder, data={"mine": str(recorded)}, storage="file/below", tracking="sqlite:///file/mlflow.db")
    said = refused(place, sweep_of(place), verb=verb)
    assert "site.yaml has 2 mistakes" in said and "line 3:1" in said and "line 4:1" in said
    assert "storage: " in said and "/file/below/x can't be written: Not a directory" in said


def test_object_storage_is_written_to_and_left_as_it_was(place: Workplace, recorded: Path, s3_bucket: str) -> None:
    import boto3

    write_site(place.folder, data={"mine": str(recorded)}, storage=f"{s3_bucket}/sweeps")
    assert place.sweep("plan", sweep_of(place)).returncode == 0
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=s3_bucket.removeprefix("s3://"))
    write_site(place.folder, data={"mine": str(recorded)}, storage=f"{s3_bucket}-misspelt/sweeps")
    assert "bucket does not exist" in refused_apart(place, sweep_of(place), 2)


def test_credentials_that_are_missing_are_told_where_this_machine_trains(
    place: Workplace, recorded: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    write_site(place.folder, data={"mine": str(recorded)}, storage=f"{s3_bucket}/sweeps")
    assert "there are no credentials for it; set them in the environment" in refused_apart(place, sweep_of(place), 2)


def test_what_does_not_answer_is_no_mistake(place: Workplace, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    write_site(place.folder, data={"mine": str(recorded)}, storage="s3://bucket/sweeps")
    refused_apart(place, sweep_of(place), 75)
    write_site(place.folder, data={"mine": str(recorded)}, tracking="http://127.0.0.1:1")
    refused(place, sweep_of(place), code=75)
    write_site(place.folder, data={"mine": str(recorded)}, ray_address="127.0.0.1:1")
    assert "no Ray cluster at 127.0.0.1:1" in refused(place, sweep_of(place), code=75)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"resources": {"cpus": 2}, "local_cpus": 1}, "a trial wants 2 CPU, but this machine has 1 CPU"),
        ({"resources": {"cpus": 1, "gpus": 8}}, "a trial wants 1 CPU, 8 GPU, but this machine has"),
        ({"resources": {"cpus": 1, "custom": {"H200": 1}}}, "a trial wants 1 CPU, 1 H200, but this machine has"),
        ({"workers": 3, "local_cpus": 2}, "3 workers of 1 CPU each, but the nodes have room for 2"),
    ],
)
def test_a_trial_that_this_machine_cant_hold_is_infeasible(
    keys: dict[str, Any], said: str, place: Workplace, recorded: Path
) -> None:
    write_site(place.folder, data={"mine": str(recorded)}, **keys)
    assert said in refused(place, sweep_of(place), code=5)


def test_more_workers_than_a_batch_has_clips_are_told_at_their_line(place: Workplace, recorded: Path) -> None:
    write_site(place.folder, data={"mine": str(recorded)}, workers=2)
    assert "line 3:1" in refused(place, sweep_of(place, train__batch_size=1))


def test_what_only_this_machine_lacks_is_a_line(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(place.folder, data={"mine": "/nowhere"}, storage="/proc/nowhere", ray_address="10.0.0.1:6379")
    monkeypatch.setattr("orchestrator.run.gate.nodes_of", lambda site: [{"CPU": 8.0}])  # there is no cluster here
    with chdir(place.folder):
        done = CliRunner().invoke(main, ["plan", sweep_of(place), "--site", "site.yaml"])
    assert done.exit_code == 0, done.output
    assert "! data set mine can't be seen from here: /nowhere is not there" in done.stdout
    assert "on this machine, storage: /proc/nowhere/x can't be written" in done.stdout
    assert "model.classes is left out: sizes are for 527 until the labels of mine can be seen" in done.stdout
    assert "Next:  sweep run x.yaml --site site.yaml    # on a machine that sees the data" in done.stdout
    assert "data.mine: /nowhere is not there" in refused(place, "x.yaml", verb="run")


def test_a_modality_that_no_clip_has_is_told(place: Workplace, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    (silent / "clips").mkdir(parents=True)
    (silent / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/a,A\n1,/m/b,B\n")
    for split in ("train", "eval"):
        rows = [f'{split}{number}, 0, 1, "/m/{label}"' for number, label in enumerate("ab")]
        (silent / f"{split}_segments.csv").write_text("\n".join(["# a", "# b", "# c", *rows]) + "\n")
        for number in range(2):
            make_media(silent / "clips" / f"{split}{number}.mp4", [(i / 25, grey(90)) for i in range(25)])
    write_site(place.folder, data={"mine": str(silent)})
    for _ in range(2):  # found out, and remembered
        said = refused(place, sweep_of(place))
        assert "model.inputs.audio: of 2 train clips of data set mine that were looked into none has audio" in said
        assert "model.inputs.video" not in said
    with chdir(place.folder):
        for change in ({"model__missing_modality": "mask"}, {"model__inputs__audio": None}):
            file = sweep_of(place, factors={"train.lr": [0.005, 0.01]}, **change)
            assert CliRunner().invoke(main, ["plan", file, "--site", "site.yaml"]).exit_code == 0
