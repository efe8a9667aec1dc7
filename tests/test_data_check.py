"""A check names every file that can't be read to its end and every row that can't be used, and can be interrupted."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_maker import cut, damage_packet, flashes_and_clicks, make_media

from perceiver.data.audioset import DataSource
from perceiver.data.check import check
from perceiver.data.files import File
from perceiver.data.verdicts import FileReport
from perceiver.errors import DataError


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """Two good clips, a silent one, and five that can't be read, in AudioSet's layout."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "clips").mkdir()
    pictures, samples = flashes_and_clicks([0.5], 3.0, 25.0, 44_100)

    def clip(name: str, **options: dict[str, str]) -> Path:
        return make_media(folder / "clips" / f"{name}.mp4", pictures, samples, rate=44_100, **options)

    clip("good")
    clip("fine")
    make_media(folder / "clips" / "silent.mp4", pictures)
    (folder / "clips" / "empty.mp4").touch()
    (folder / "clips" / "text.mp4").write_text("no video\n" * 99)
    cut(clip("cut"), 0.7)
    cut(clip("half", container_options={"movflags": "faststart"}), 0.5)
    damage_packet(clip("damaged"), "video", 1.5)
    clip("unused")
    names = ["good", "fine", "silent", "empty", "text", "cut", "half", "damaged", "absent"]
    (folder / "class_labels_indices.csv").write_text('index,mid,display_name\n0,/m/a,"A"\n1,/m/b,"B"\n')
    rows = [f'{name}, 0.000, 3.000, "/m/a"\n' for name in names] + ['good, 0.000, 3.000, "/m/b"\n']
    (folder / "train_segments.csv").write_text("# three\n# comment\n# lines\n" + "".join(rows))
    return DataSource(str(folder))


def test_everything_wrong_is_named_with_its_reason(spoiled: DataSource) -> None:
    report = check(spoiled)
    reasons = {Path(file.path).stem: file.reason for file in report.unreadable}
    assert reasons == {
        "empty": "empty",
        "text": "not media",
        "cut": "truncated",
        "half": "truncated",
        "damaged": "damaged",
    }
    assert report.rows == {"train": 8} and report.unused == 1
    assert report.problems["train"].counts == {"no file": 1} and report.problems["train"].notes == {"joined row": 1}
    assert report.label_counts == {"train": {"A": 8, "B": 1}}
    summary = report.summary()
    assert summary["no sound"] == 1 and summary["frame rates"] == {"25": 3} and summary["sample rates"] == {"44100": 2}
    assert summary["sizes"] == {"64x48": 3} and summary["seconds"]["most"] == pytest.approx(3.0, abs=0.05)
    assert report.flawed
    assert json.loads(json.dumps(report.to_json()))["unreadable"][0]["path"].endswith("cut.mp4")


def test_a_plain_folder_is_checked_file_by_file(spoiled: DataSource) -> None:
    report = check(DataSource(f"{spoiled.url}/clips"))
    assert "sweep data init" in report.flaws[0].cure
    assert len(report.files) == 9 and len(report.unreadable) == 5
    assert not report.rows and not report.label_counts


def test_an_interrupted_check_goes_on_where_it_stopped(spoiled: DataSource, tmp_path: Path) -> None:
    journal, probed = tmp_path / "journal", list[str]()

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    def counting(call: Callable[[File], FileReport], files: Iterable[File]) -> Iterable[FileReport]:
        for file in files:
            probed.append(file.path)
            yield call(file)

    with pytest.raises(KeyboardInterrupt):
        check(spoiled, stop, journal=journal)
    told: list[tuple[int, int]] = []
    report = check(spoiled, lambda *done: told.append(done), journal=journal, run=counting)
    assert len(probed) == 5 and told[0] == (3, 8) and told[-1] == (8, 8)
    assert report.to_json() == check(spoiled, journal=tmp_path / "other").to_json()
    probed.clear()
    check(spoiled, journal=journal, run=counting)
    assert not probed
    check(spoiled, journal=journal, run=counting, again=True)
    assert len(probed) == 8


def test_only_what_has_changed_or_may_pass_is_read_again(tmp_path: Path) -> None:
    _, samples = flashes_and_clicks([0.5], 1.0, 25.0, 8_000)
    (tmp_path / "set").mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        make_media(tmp_path / "set" / name, samples=samples, rate=8_000, sound_codec="pcm_s16le")
    probed: list[str] = []

    def counting(call: Callable[[File], FileReport], files: Iterable[File]) -> Iterable[FileReport]:
        for file in files:
            probed.append(file.name)
            found = call(file)
            yield replace(found, reason="forbidden", message="told") if file.name == "b.wav" else found

    source = DataSource(str(tmp_path / "set"))
    check(source, journal=tmp_path / "journal", run=counting)
    probed.clear()
    (tmp_path / "set" / "c.wav").write_bytes((tmp_path / "set" / "a.wav").read_bytes())
    check(source, journal=tmp_path / "journal", run=counting)
    assert probed == ["b.wav", "c.wav"]


def test_a_container_without_lengths_of_its_streams_is_truncated_too(tmp_path: Path) -> None:
    pictures, samples = flashes_and_clicks([0.5], 4.0, 25.0, 48_000)
    make_media(tmp_path / "whole.mkv", pictures, samples)
    cut(make_media(tmp_path / "half.mkv", pictures, samples), 0.5)
    report = check(DataSource(str(tmp_path)))
    assert [(Path(file.path).name, file.reason) for file in report.unreadable] == [("half.mkv", "truncated")]
    assert report.flawed


def test_real_files_are_described(shared_data: Path) -> None:
    files = {Path(file.path).name: file for file in check(DataSource(str(shared_data / "media"))).files}
    bunny = files["bigbuckbunny.mp4"]
    assert (bunny.video, bunny.width, bunny.height, bunny.fps) == ("h264", 1280, 720, 25.0)
    assert (bunny.audio, bunny.rate, bunny.channels) == ("aac", 48_000, 6)
    assert files["carphone_pristine.mp4"].audio is None
    assert files["tc_sine_mono_s32_8000.wav"].video is None
    assert np.isclose(files["tc_nasa_13013.mp4"].fps, 29.97, atol=0.01)
    assert not any(file.reason for file in files.values())


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there or holds no file"):
        check(DataSource(str(tmp_path / "nowhere")))
