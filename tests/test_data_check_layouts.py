"""`sweep data check` says of each kind of folder what it looks like, what is wrong with it, and what to do."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from own_clips_maker import make_wavs, sweep, write_lists

from orchestrator.run.file_pool import KILLS, spread
from perceiver.data.audioset import DataSource
from perceiver.data.check import check
from perceiver.data.files import File
from perceiver.data.verdicts import FileReport, known_of

NAMES = [f"clip{number}" for number in range(6)]


def rows(names: Iterable[str], labels: str = "/m/a", times: str = "0.000, 0.200") -> list[str]:
    return [f'{name}, {times}, "{labels}"' for name in names]


def listed(folder: Path) -> None:
    make_wavs(folder / "clips", [f"{name}.wav" for name in NAMES])
    write_lists(folder, rows(NAMES[:4], "/m/a,/m/b"), rows(NAMES[4:]))


def folder_per_class(folder: Path) -> None:
    make_wavs(folder, [f"{name}/{number}.wav" for name in ("dog", "Vögel, wild") for number in range(2)])


def train_csv(folder: Path) -> None:
    listed(folder)
    for split in ("train", "eval"):
        (folder / f"{split}_segments.csv").rename(folder / f"{split}.csv")


def table(folder: Path) -> None:
    make_wavs(folder / "audio", ["x.wav", "y.wav"])
    (folder / "meta.csv").write_text("filename;category\nx.wav;dog\ny.wav;cat\n")


def only_files(folder: Path) -> None:
    make_wavs(folder, ["x.wav", "y.wav"])


def no_evaluation(folder: Path) -> None:
    listed(folder)
    (folder / "eval_segments.csv").unlink()


def no_labels(folder: Path) -> None:
    listed(folder)
    (folder / "class_labels_indices.csv").unlink()


def empty_lists(folder: Path) -> None:
    listed(folder)
    write_lists(folder, [], [])


def capitals(folder: Path) -> None:
    listed(folder)
    write_lists(folder, rows(name.upper() for name in NAMES[:4]), rows(NAMES[4:]))


def milliseconds(folder: Path) -> None:
    listed(folder)
    write_lists(folder, rows(NAMES[:4], times="30000, 40000"), rows(NAMES[4:], times="30000, 40000"))


def few_files(folder: Path) -> None:
    listed(folder)
    write_lists(folder, rows([*NAMES[:4], *(f"gone{number}" for number in range(9))]), rows(NAMES[4:]))


def unknown_label(folder: Path) -> None:
    listed(folder)
    write_lists(folder, rows(NAMES[:4]), [*rows(NAMES[4:]), 'clip4, 0.000, 0.100, "/m/zebra"'])


def class_of_the_evaluation(folder: Path) -> None:
    listed(folder)
    write_lists(folder, rows(NAMES[:4]), rows(NAMES[4:], "/m/b"))


def damaged_file(folder: Path) -> None:
    listed(folder)
    (folder / "clips" / "clip1.wav").write_bytes(b"no sound at all")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (folder_per_class, ["a folder per class (2, such as 'Vögel, wild', 'dog')", "sweep data init"]),
        (train_csv, ["a table of clips: eval.csv, train.csv", "sweep data init"]),
        (table, ["a table of clips: meta.csv", "sweep data init"]),
        (
            only_files,
            ["2 media files, and neither a folder per class nor a table", "folder that is called as its class"],
        ),
        (no_evaluation, ["no evaluation list", "no eval_segments.csv", "clips.csv; sweep data init"]),
        (no_labels, ["no label list at", "sweep data init"]),
        (empty_lists, ["empty list", "the training list has no row", "the evaluation list has no row"]),
        (capitals, ["train keeps 0 of 4 rows", "line 4: CLIP0, but the file is called clip0"]),
        (milliseconds, ["times look like milliseconds", "train_segments.csv line 4", "30 and 40"]),
        (few_files, ["train keeps 4 of 13 rows", "gone0 at 0 s has no file", "name each file <YTID>.mp4"]),
        (unknown_label, ["eval_segments.csv line 6", "/m/zebra", "add the label to class_labels_indices.csv"]),
        (class_of_the_evaluation, ["class that only the evaluation has", "Class b: 2 evaluation clips"]),
        (damaged_file, ["file not media", "clip1.wav", "delete it"]),
    ],
)
def test_each_kind_of_flaw_is_told_with_its_cure(
    make: Callable[[Path], None], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, elsewhere = tmp_path / "my set", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    make(place)
    monkeypatch.chdir(elsewhere)
    done = sweep("data", "check", str(place))
    assert done.exit_code == 3, done.output
    assert [text for text in said if text not in done.stdout] == [], done.stdout
    assert not list(elsewhere.iterdir()), "a check writes nothing where it is called"


def test_a_good_set_is_good_and_every_file_has_its_verdict(tmp_path: Path) -> None:
    listed(tmp_path)
    make_wavs(tmp_path, ["spare.wav"])
    (tmp_path / "notes.txt").write_text("mine")
    write_lists(tmp_path, rows([*NAMES[:4], "taken_offline"]), rows(NAMES[4:]))
    done = sweep("data", "check", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    verdicts = {Path(file["path"]).name: file["verdict"] for file in report["files"]}
    assert verdicts == {
        **{f"{name}.wav": "good" for name in NAMES},
        "spare.wav": "not named by a row",
        "notes.txt": "no media",
        "train_segments.csv": "segment list",
        "eval_segments.csv": "segment list",
        "class_labels_indices.csv": "label list",
    }
    assert report["problems"]["train"]["counts"] == {"no file": 1} and not report["flaws"]


def test_ids_with_suffixes_and_labels_by_name_are_read_right(tmp_path: Path) -> None:
    listed(tmp_path)
    write_lists(tmp_path, rows([f"{name}.wav" for name in NAMES[:4]], "Class a"), rows(NAMES[4:], "class a"))
    assert sweep("data", "check", str(tmp_path)).exit_code == 0


def test_sound_beside_pictures_is_one_clip_that_is_known_the_next_time(tmp_path: Path) -> None:
    from media_maker import flashes_and_clicks, make_media

    listed(tmp_path)
    pictures, _ = flashes_and_clicks([0.04], 0.2, 25.0, 8_000)
    make_media(tmp_path / "clips" / "clip0.mp4", pictures)
    probed: list[str] = []

    def counting(call: Callable[[File], FileReport], files: Iterable[File]) -> Iterable[FileReport]:
        probed.extend(file.path for file in files)
        return map(call, list(files))

    report = check(DataSource(str(tmp_path)), journal=tmp_path / "journal", run=counting)
    (pair,) = (file for file in report.files if file.video)
    assert pair.audio and len(report.files) == len(probed) == 6 and not report.flaws
    check(DataSource(str(tmp_path)), journal=tmp_path / "journal", run=counting)
    assert len(probed) == 6


def test_what_a_check_found_is_known_until_a_file_changes(tmp_path: Path) -> None:
    damaged_file(tmp_path)
    report = check(DataSource(str(tmp_path)), journal=tmp_path / "journal")
    files = [file for file in listing(tmp_path) if file.name.endswith(".wav")]
    known = known_of(files, tmp_path / "journal")
    assert (known.files, known.known, known.audio) == (6, 6, 5)
    assert known.lacks("video") and not known.lacks("audio") and known.reasons == {"not media": 1}
    assert [file.path for file in known.unreadable] == [file.path for file in report.unreadable]
    make_wavs(tmp_path / "clips", ["clip1.wav"])
    files = [file for file in listing(tmp_path) if file.name.endswith(".wav")]
    known = known_of(files, tmp_path / "journal")
    assert known.known == 5 and not known.unreadable and not known.lacks("video")


def listing(folder: Path) -> list[File]:
    from perceiver.data.files import list_files

    return list_files(str(folder))


def _ends_on_clip2(file: File) -> FileReport:
    import os

    if file.name == "clip2.wav":
        os._exit(11)
    return FileReport(file.path, file.size, 1.0)


def test_a_file_that_kills_its_reader_costs_only_itself(tmp_path: Path) -> None:
    listed(tmp_path)
    files = [file for file in listing(tmp_path) if file.name.endswith(".wav")]
    reasons = {Path(found.path).stem: found.reason for found in spread(_ends_on_clip2, files, 2)}
    assert reasons == {**dict.fromkeys(NAMES), "clip2": KILLS}


def test_a_plan_knows_what_a_check_found(tmp_path: Path) -> None:
    from perceiver.data.digest import describe

    place = tmp_path / "set"
    place.mkdir()
    damaged_file(place)
    source, changes = DataSource(str(place)), "model.inputs.video=null"
    before = describe(source)
    assert not before.known.known and not before.told
    assert sweep("data", "check", str(place)).exit_code == 3
    after = describe(source)
    assert after == before and after.known.lacks("video") and "1 not media" in after.told[0]
    (tmp_path / "site.yaml").write_text(f"data: {{own: '{place}'}}\n")
    (tmp_path / "own.yaml").write_text(
        "sweep: own\nquestion: Does it work?\nbase: tiny\nset: {data.set: own, model.classes: 2}\n"
        "vary: {by: one-factor, factors: {train.lr: [0.001, 0.002]}}\nseeds: 1\n"
    )
    planned = sweep("plan", str(tmp_path / "own.yaml"), "--site", str(tmp_path / "site.yaml"))
    assert planned.exit_code == 2 and "model.inputs.video: none of the 6 files of data set own" in planned.output
    sound = sweep("plan", str(tmp_path / "own.yaml"), "--site", str(tmp_path / "site.yaml"), "--set", changes)
    assert sound.exit_code == 0, sound.output
    assert "1 not media" in sound.stdout and "clip1.wav" in sound.stdout


def test_rows_behind_their_files_end_and_rows_in_doubt_are_told_with_their_line(tmp_path: Path) -> None:
    make_wavs(tmp_path / "clips", [f"video{n}.wav" for n in range(5)], 4.0, 1_000)
    make_wavs(tmp_path / "clips", ["short.wav"], 2.5, 1_000)
    whole = [f'video{n}, {start}.0, {start + 1}.0, "/m/a"' for n in range(5) for start in (0, 2)]
    write_lists(tmp_path, [*whole, 'short, 5.0, 6.0, "/m/a"', 'short, 1.0, 2.0, "/m/a"'], [])
    (tmp_path / "eval_segments.csv").write_text('video0, 3.0, 4.0, "/m/a"\n')
    report = check(DataSource(str(tmp_path)), journal=tmp_path / "journal")
    told = {flaw.kind: flaw for flaw in report.flaws}
    behind = told["row begins behind its file's end"]
    assert behind.count == 1 and behind.examples[0].startswith("train_segments.csv line 14: row 5-6, but short.wav")
