"""An ingest is safe to run again, names what it leaves out, never counts half a shard, and a trial learns from it."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest
from media_maker import cut, grey, make_media, small_config
from workplace import Workplace

from orchestrator.plan.site import load_site
from orchestrator.run.ingest import _on_site, ingest_on_ray, print_ingested
from perceiver.data.audioset import DataSource
from perceiver.data.check import check
from perceiver.data.clips import Wants, read_clip
from perceiver.data.dataset import open_data
from perceiver.data.digest import describe
from perceiver.data.ingest import ingest
from perceiver.data.loading import eval_batches, train_batches
from perceiver.data.packing import ShardRecord, ShardTask, write_shard
from perceiver.data.shards import Form
from perceiver.errors import DataError, StorageError

CONFIG = small_config(train__batch_size=6, eval__clips=3)
FORM = Form(pixels=32)


@pytest.fixture(scope="module")
def ingested(synthetic_source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """The synthetic set, ingested once."""
    folder = tmp_path_factory.mktemp("ingested") / "set"
    result = ingest(synthetic_source, str(folder), FORM)
    assert (result.written, result.kept) == (3, 0)
    return DataSource(str(folder))


@pytest.fixture
def copied(synthetic_source: DataSource, tmp_path: Path) -> DataSource:
    """A copy of the synthetic set that a test may spoil."""
    shutil.copytree(synthetic_source.url, tmp_path / "source")
    return DataSource(str(tmp_path / "source"))


def test_a_second_run_finds_the_set_complete(
    synthetic_source: DataSource, ingested: DataSource, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(ingested.url).iterdir()}
    again = ingest(synthetic_source, ingested.url, FORM)
    assert (again.written, again.kept) == (0, 3)
    assert before == {path: path.stat().st_mtime_ns for path in Path(ingested.url).iterdir()}
    elsewhere = ingest(synthetic_source, str(tmp_path / "other"), FORM)
    assert elsewhere.shards.digest == again.shards.digest == describe(ingested).digest
    assert describe(ingested).digest != describe(DataSource(synthetic_source.url)).digest


def test_rows_labels_and_draws_are_those_of_the_source(synthetic_source: DataSource, ingested: DataSource) -> None:
    source, shards = (open_data(where, CONFIG, "train") for where in (synthetic_source, ingested))
    assert source.classes == shards.classes and list(source.clips.ids) == shards.clips.ids
    assert np.array_equal(source.labels(), shards.labels())
    for one, other in zip(*(islice(train_batches(data, CONFIG), 3) for data in (source, shards)), strict=True):
        assert one.ids == other.ids and one.padded == other.padded
        assert (one.inputs["video"].float() - other.inputs["video"].float()).abs().mean() < 4
        # AAC fills some bands with noise that depends on where decoding began.
        assert ((one.inputs["audio"] - other.inputs["audio"]).abs() <= 1 / 32768).float().mean() > 0.99
    rows = [batch.rows.tolist() for batch in eval_batches(open_data(ingested, CONFIG, "eval"), CONFIG, workers=1)]
    assert sorted(row for batch in rows for row in batch) == [row for row in range(9) for _ in range(3)]


def test_a_check_reads_every_clip_of_the_shards(ingested: DataSource) -> None:
    report = check(ingested)
    assert report.rows == {"train": 18, "eval": 9} and not report.unreadable
    assert report.summary()["video codecs"] == {"h264": 27} and report.summary()["sample rates"] == {"48000": 27}


class Killed(BaseException):
    """What ends a process in the middle."""


def stopping_after(count: int) -> Callable[[Callable[[ShardTask], ShardRecord], Iterable[ShardTask]], Iterable]:
    def run(call: Callable[[ShardTask], ShardRecord], tasks: Iterable[ShardTask]) -> Iterable[ShardRecord]:
        for task in islice(tasks, count):
            yield call(task)
        raise Killed

    return run


def test_a_killed_ingest_keeps_finished_shards_and_no_half_one(
    synthetic_source: DataSource, ingested: DataSource, tmp_path: Path
) -> None:
    dest = tmp_path / "set"
    with pytest.raises(Killed):
        ingest(synthetic_source, str(dest), FORM, run=stopping_after(2))
    with pytest.raises(DataError, match="not ingested to its end"):
        open_data(DataSource(str(dest)), CONFIG, "train")
    with pytest.raises(DataError, match="not ingested to its end"):
        describe(DataSource(str(dest)))
    cut(dest / "train-000001.tar", 0.5)
    (dest / ".xyz.part").touch()
    told: list[tuple[int, int]] = []
    result = ingest(synthetic_source, str(dest), FORM, lambda *counts: told.append(counts))
    assert (result.written, result.kept) == (2, 1) and told[0] == (16, 27) and told[-1] == (27, 27)
    assert result.shards.digest == describe(ingested).digest
    assert not list(dest.glob(".*"))
    (dest / "eval-000000.tar").unlink()
    assert ingest(synthetic_source, str(dest), FORM).written == 1, "a complete set that lost a shard is mended"


def test_what_is_left_out_is_listed_with_its_reason(copied: DataSource, tmp_path: Path) -> None:
    clips = Path(copied.url) / "clips"
    cut(clips / "train000003.mp4", 0.5)
    (clips / "train000004.mp4").write_bytes(b"")
    (clips / "eval000001.mp4").unlink()
    result = ingest(copied, str(tmp_path / "set"), FORM)
    assert result.shards.clips == {"train": 16, "eval": 8}
    with (tmp_path / "set" / "left_out.csv").open() as file:
        left_out = {(row["split"], row["reason"]): row["row"] for row in csv.DictReader(file)}
    assert left_out[("train", "truncated")] == "train000003 at 0 s"
    assert left_out[("train", "empty")] == "train000004 at 0 s"
    assert left_out[("eval", "no file")] == "eval_segments.csv line 5"
    assert "train000003" not in open_data(DataSource(str(tmp_path / "set")), CONFIG, "train").clips.ids


def test_a_source_that_can_hardly_be_read_is_an_error(copied: DataSource, tmp_path: Path) -> None:
    for path in sorted((Path(copied.url) / "clips").iterdir())[:15]:
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"15 of the first 27 clips .* can't be read \(15 empty\)"):
        ingest(copied, str(tmp_path / "set"), FORM)


def test_a_changed_source_does_not_change_a_complete_set(copied: DataSource, tmp_path: Path) -> None:
    dest = str(tmp_path / "set")
    ingest(copied, dest, FORM)
    clips, table = Path(copied.url) / "clips", Path(copied.url) / "train_segments.csv"
    shutil.copy(clips / "train000002.mp4", clips / "new.mp4")
    shutil.copy(clips / "train000002.mp4", clips / "train000005.mp4")
    (clips / "train000007.mp4").unlink()
    table.write_text(table.read_text() + 'new, 0.000, 2.000, "/synthetic/hum"\n')
    with pytest.raises(
        DataError, match=r"1 new \(new at 0 s\), 1 gone \(train000007.*1 with another file \(train000005"
    ):
        ingest(copied, dest, FORM)
    with pytest.raises(DataError, match="for 32 pixels, not 64"):
        ingest(copied, dest, Form(pixels=64))


def other_sound(path: Path) -> None:
    """Puts something else into a file that keeps its size."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_a_source_whose_files_hold_something_else_is_noticed(copied: DataSource, tmp_path: Path) -> None:
    dest, clips = str(tmp_path / "set"), Path(copied.url) / "clips"
    ingest(copied, dest, FORM)
    other_sound(clips / "train000003.mp4")
    with pytest.raises(DataError, match=r"rows 1 with another content \(train000003 at 0 s\)\. A complete set never"):
        ingest(copied, dest, FORM)
    other_sound(clips / "train000003.mp4")
    assert ingest(copied, dest, FORM).compared == "contents"


def test_an_interrupted_ingest_keeps_no_shard_of_another_content(copied: DataSource, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        ingest(copied, str(tmp_path / "set"), FORM, run=stopping_after(2))
    other_sound(Path(copied.url) / "clips" / "train000003.mp4")
    result = ingest(copied, str(tmp_path / "set"), FORM)
    assert (result.written, result.kept) == (2, 1)


def test_a_copy_from_before_contents_were_kept_says_what_was_compared(
    copied: DataSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = tmp_path / "set"
    ingest(copied, str(dest), FORM)
    for path in dest.glob("*-*.json"):
        about = json.loads(path.read_text())
        del about["content"]
        path.write_text(json.dumps(about | {"files": [file[:4] for file in about["files"]]}))
    about = json.loads((dest / "shards.json").read_text())
    del about["content"]
    (dest / "shards.json").write_text(json.dumps(about))
    result = ingest(copied, str(dest), FORM)
    assert (result.written, result.compared) == (0, "names and sizes")
    print_ingested(result)
    assert "whether the files hold the same is not known" in capsys.readouterr().out
    shutil.copy(Path(copied.url) / "clips" / "train000002.mp4", Path(copied.url) / "clips" / "train000005.mp4")
    with pytest.raises(DataError, match=r"rows 1 with another file \(train000005 at 0 s\)\. A complete"):
        ingest(copied, str(dest), FORM)


def test_shards_hold_the_part_that_the_habit_of_the_source_says(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "clips").mkdir(parents=True)
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/0,A\n")
    lasting = {f"c{n}": (2.0, 30 + n) for n in range(3)} | {"run_out": (3.8, 1.5)}  # cut, one with 1.8 s to spare
    for split, part in (("train", [*lasting][:3]), ("eval", [*lasting][3:])):
        rows = "".join(f'{name}, {lasting[name][1]}, {lasting[name][1] + 2}, "/m/0"\n' for name in part)
        (folder / f"{split}_segments.csv").write_text(rows)
    for name, (seconds, _) in lasting.items():
        pictures = [(n / 5, grey(int(16 + 40 * n / 5), 32, 32)) for n in range(round(seconds * 5))]
        make_media(folder / "clips" / f"{name}.mp4", pictures)
    source, dest = DataSource(str(folder)), DataSource(str(tmp_path / "set"))
    ingest(source, dest.url, FORM)
    config = small_config(model__classes=1, model__inputs__audio=None)
    (clip,) = open_data(dest, config, "eval").clips
    video = read_clip(clip, Wants.evaluation(config), 0.0).video
    assert video is not None and video[0].mean() < 26, "it begins where the file does"


def test_places_that_cannot_be_used_are_refused(
    synthetic_source: DataSource, ingested: DataSource, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"holds something that is no ingested set, such as thesis\.txt"):
        ingest(synthetic_source, str(tmp_path / "full"), FORM)
    for place in (synthetic_source.url, f"{synthetic_source.url}/shards", str(Path(synthetic_source.url).parent)):
        with pytest.raises(DataError, match="place of their own"):
            ingest(synthetic_source, place, FORM)
    with pytest.raises(DataError, match="is an ingested set already"):
        ingest(ingested, str(tmp_path / "again"), FORM)


def test_larger_pictures_than_stored_are_refused(ingested: DataSource) -> None:
    with pytest.raises(DataError, match=r"up to 32 pixels, but model\.inputs\.video\.size is 64"):
        open_data(ingested, small_config(model__inputs__video__size=64), "train")
    open_data(ingested, small_config(model__inputs__video=None), "train")


def test_storage_that_fails_leaves_no_clip_out(copied: DataSource, tmp_path: Path) -> None:
    dest = tmp_path / "set"
    task_names = ["train-000001.tar"]

    def run(call: Callable[[ShardTask], ShardRecord], tasks: Iterable[ShardTask]) -> Iterable[ShardRecord]:
        for task in tasks:
            away = task.name in task_names
            yield call(replace(task, dest=f"{copied.url}/train_segments.csv") if away else task)

    with pytest.raises(StorageError, match=r"1 of 3 shards are not written.*the same command makes just these"):
        ingest(copied, str(dest), FORM, run=run)
    task_names.clear()
    result = ingest(copied, str(dest), FORM, run=run)
    assert (result.written, result.kept) == (1, 2) and not result.shards.left_out


def test_from_s3_to_s3_gives_the_same_set(synthetic_source: DataSource, ingested: DataSource, s3_bucket: str) -> None:
    fsspec.filesystem("s3").put(f"{synthetic_source.url}/", f"{s3_bucket}/source/", recursive=True)
    dest = f"{s3_bucket}/set"
    result = ingest(DataSource(f"{s3_bucket}/source"), dest, FORM)
    assert result.shards.digest == describe(ingested).digest == describe(DataSource(dest)).digest
    assert ingest(DataSource(f"{s3_bucket}/source"), dest, FORM).written == 0
    local, remote = (
        next(train_batches(open_data(where, CONFIG, "train"), CONFIG)) for where in (ingested, DataSource(dest))
    )
    assert np.array_equal(local.inputs["video"].numpy(), remote.inputs["video"].numpy())


def dies_once_and_then_where_it_is_not_careful(marks: str) -> Callable[[ShardTask], ShardRecord]:
    def call(task: ShardTask) -> ShardRecord:
        tried = Path(marks) / f"{task.name}.{task.careful}"
        if (task.number == 0 and not tried.exists()) or (task.number == 1 and not task.careful):
            tried.touch()
            os._exit(9)
        return write_shard(task)

    return call


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")  # Ray Data's own, of its own settings
def test_on_ray_a_worker_that_dies_is_no_end(
    synthetic_source: DataSource, ingested: DataSource, tmp_path: Path
) -> None:
    site, call = load_site(None), dies_once_and_then_where_it_is_not_careful(str(tmp_path))
    dest = str(tmp_path / "set")
    result = ingest(synthetic_source, dest, FORM, run=lambda _, tasks: _on_site(site, call, tasks))
    assert result.shards.digest == describe(ingested).digest
    assert ingest_on_ray(synthetic_source, dest, 32, site).written == 0


def test_a_clip_that_kills_its_reader_is_left_out(synthetic_source: DataSource, tmp_path: Path) -> None:
    class Killer(str):
        def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
            return os._exit, (9,)

    tasks: list[ShardTask] = []

    def collect(call: Callable[[ShardTask], ShardRecord], found: Iterable[ShardTask]) -> Iterable[ShardRecord]:
        tasks.extend(found)
        raise Killed

    with pytest.raises(Killed):
        ingest(synthetic_source, str(tmp_path / "set"), FORM, run=collect)
    rows = [tasks[2].rows[0], tasks[2].rows[1]._replace(labels=(9,))]
    record = write_shard(
        replace(tasks[2], rows=rows, contents=[], mids=[*tasks[2].mids, Killer("/m/bad")], careful=True)
    )
    assert len(record.clips) == 1 and record.left_out[0].reason == "kills its reader"


def test_records_are_json_that_says_what_is_where(ingested: DataSource) -> None:
    record = json.loads((Path(ingested.url) / "train-000000.json").read_text())
    assert record["split"] == "train" and len(record["clips"]) == 16 and record["files"][0][2] == "train000000.mp4"
    assert ShardRecord.parse(b'{"key": "half') is None


def made_before(folder: str | Path) -> None:
    """Makes an ingested set look like one of the first reader, which left no number, nor contents of files."""
    for path in Path(folder).glob("*.json"):
        about = json.loads(path.read_text())
        assert about.pop("reader") == 2
        about |= {"content": ""} if "content" in about else {}
        path.write_text(json.dumps(about))


def sounding(folder: Path, channels: int) -> DataSource:
    """A set of six clips of sound; the last has so many channels."""
    (folder / "clips").mkdir(parents=True)
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/a,A\n")
    sine = 0.5 * np.sin(np.arange(24_000) / 20)
    for split, ids in (("train", "abcd"), ("eval", "ef")):
        rows = [f'{id}, 0.000, 0.500, "/m/a"\n' for id in ids]
        (folder / f"{split}_segments.csv").write_text("#\n#\n#\n" + "".join(rows))
        for id in ids:
            many = channels if id == "f" else 1
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[many]
            samples = np.repeat(sine[None], many, axis=0)
            make_media(folder / "clips" / f"{id}_0.wav", samples=samples, layout=layout, sound_codec="pcm_s16le")
    return DataSource(str(folder))


def test_an_older_copy_is_refused_until_its_source_was_read_again(tmp_path: Path) -> None:
    source, copy = sounding(tmp_path / "mono", 1), DataSource(str(tmp_path / "copy"))
    digest = ingest(source, copy.url, FORM).shards.digest
    made_before(copy.url)
    bytes_before = {path.name: path.read_bytes() for path in Path(copy.url).glob("*.tar")}
    config = small_config(model__classes=1, model__inputs__video=None)
    for look in (lambda: describe(copy), lambda: open_data(copy, config, "train")):
        with pytest.raises(DataError, match=r"made by an older reader: stereo .* 3 dB loud .*ingest again"):
            look()
    report = check(copy)
    (flaw,) = report.flaws
    assert report.flawed and len(report.files) == 6 and "made by an older reader" in flaw.examples[0]
    assert flaw.cure.endswith(f"sweep data ingest SOURCE {copy.url}")
    again = ingest(source, copy.url, FORM)
    assert not check(copy).flawed and (again.written, again.kept, again.renewed) == (0, 2, 2)
    assert describe(copy).digest == again.shards.digest == digest and len(open_data(copy, config, "train")) == 4
    assert bytes_before == {path.name: path.read_bytes() for path in Path(copy.url).glob("*.tar")}
    assert ingest(source, copy.url, FORM).renewed == 0


@pytest.mark.parametrize(("level", "told"), [(0.7, "is read differently"), (None, "was left out .* can be read")])
def test_an_older_copy_is_kept_only_where_each_clip_is_read_alike(
    tmp_path: Path, level: float | None, told: str
) -> None:
    source, copy = sounding(tmp_path / "set", 1), str(tmp_path / "copy")
    clip = tmp_path / "set" / "clips" / "f_0.wav"
    now = clip.read_bytes()
    if level is None:
        clip.write_bytes(bytes(len(now)))
    else:  # as the first reader heard it
        make_media(clip, samples=level * np.sin(np.arange(24_000) / 20), sound_codec="pcm_s16le")
    ingest(source, copy, FORM)
    made_before(copy)
    clip.write_bytes(now)
    with pytest.raises(DataError, match=rf"made by an older reader: .*row f at 0 s of .*f_0.wav {told}.*another place"):
        ingest(source, copy, FORM)
    with pytest.raises(DataError, match="made by an older reader"):
        describe(DataSource(copy))


def test_plan_and_check_tell_of_an_older_copy(tmp_path: Path) -> None:
    ingest(sounding(tmp_path / "many", 2), str(tmp_path / "copy"), FORM)
    made_before(tmp_path / "copy")
    workplace = Workplace(tmp_path)
    (tmp_path / "site.yaml").write_text("site: here\ndata: {mine: copy}\n")
    changes = {"data.set": "mine", "model.classes": 1, "model.inputs.video": None}
    file = workplace.write_sweep("loud", {"train.lr": [0.001, 0.002]}, **changes)
    for verb, code in ((("plan", file), 2), (("data", "check", "mine"), 3)):
        done = workplace.sweep(*verb)
        assert done.returncode == code
        told = done.stdout + done.stderr
        assert "made by an older reader: stereo sound in it is 3 dB loud" in told and "ingest again" in told, told


def test_an_ingest_that_an_older_reader_began_keeps_the_shards_that_it_read_alike(tmp_path: Path) -> None:
    source, dest = sounding(tmp_path / "set", 1), tmp_path / "copy"
    with pytest.raises(Killed):
        ingest(source, str(dest), FORM, run=stopping_after(2))
    made_before(dest)
    louder = 0.7 * np.sin(np.arange(24_000) / 20)
    make_media(tmp_path / "set" / "clips" / "f_0.wav", samples=louder, sound_codec="pcm_s16le")
    result = ingest(source, str(dest), FORM)
    assert (result.written, result.kept, result.renewed) == (1, 1, 1)
    assert describe(DataSource(str(dest))).digest == ingest(source, str(tmp_path / "other"), FORM).shards.digest


def test_a_copy_of_a_newer_reader_is_refused(tmp_path: Path) -> None:
    source, dest = sounding(tmp_path / "mono", 1), tmp_path / "copy"
    ingest(source, str(dest), FORM)
    about = json.loads((dest / "shards.json").read_text())
    (dest / "shards.json").write_text(json.dumps(about | {"reader": 99}))
    with pytest.raises(DataError, match="newer reader"):
        describe(DataSource(str(dest)))
