"""AudioSet's files as published, and as people have them: every wrong row is named, none is a crash."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from media_maker import small_config

from perceiver.config import RunConfig, with_changes
from perceiver.data.audioset import DataSource, Layout, Problem, Segment, read_classes
from perceiver.data.dataset import open_data, open_splits
from perceiver.data.digest import data_digest, describe
from perceiver.data.recipe import DEMO, Recipe
from perceiver.errors import DataError

HEADER = "# Segments csv\n# num_ytids=1, num_segs=1\n# YTID, start_seconds, end_seconds, positive_labels\n"
LABELS = 'index,mid,display_name\n0,/m/a,"Speech"\n1,/m/b,"Male speech, man speaking"\n2,/m/c,"Music"\n'
CONFIG = small_config(model__classes=3)


def make_set(folder: Path, train: str, files: list[str], evaluation: str = 'e, 0.000, 10.000, "/m/a"\n') -> DataSource:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "class_labels_indices.csv").write_text(LABELS)
    (folder / "train_segments.csv").write_text(HEADER + train)
    (folder / "eval_segments.csv").write_text(HEADER + evaluation)
    for name in [*files, "clips/e.mp4"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return DataSource(str(folder))


def rows(source: DataSource, split: str = "train") -> list[Segment | Problem]:
    return list(Layout(source).segments(split))


def test_the_true_evaluation_list_is_read_to_its_last_label(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "eval_segments.csv").write_bytes((shared_data / "audioset" / "eval_segments.csv").read_bytes())
    source = DataSource(str(tmp_path), labels=str(shared_data / "audioset"))
    classes = read_classes(source)
    assert len(classes) == 527
    assert classes[0] == ("/m/09x0r", "Speech") and classes[1].name == "Male speech, man speaking"
    assert classes[137].name == "Music" and classes[526].mid == "/m/07hvw1"
    for line in (tmp_path / "eval_segments.csv").read_text().splitlines()[3:]:
        name = line.split(",")[0]
        (tmp_path / f"{name}.mp4").touch()
    found = [row for row in rows(source, "eval") if isinstance(row, Segment)]
    assert len(found) == 20_371
    assert sum(len(row.labels) for row in found) == 51_804


def test_the_stamps_set_is_found_with_labels_that_lie_apart(shared_data: Path) -> None:
    source = DataSource(str(shared_data / "stamps"), labels=str(shared_data / "audioset"))
    train, evaluation = (open_data(source, RunConfig(), split) for split in ("train", "eval"))
    assert (len(train), len(evaluation)) == (132, 36)
    assert not train.problems.counts and not evaluation.problems.counts
    assert train.labels().sum() > 132 and train.labels().shape == (132, 527)


@pytest.mark.parametrize(
    "name",
    ["-a_b.mp4", "-a_b_30.mp4", "-a_b_30.000.mp4", "-a_b_30000.mkv", "-a_b_000030.mp4", "Y-a_b.wav", "-a_b_30_40.mp4",
     "-a_b_30000_40000.webm", "-a_b_30.0_40.0.mp4", "deep/er/-a_b.MP4"],
)  # fmt: skip
def test_clips_are_found_under_the_names_that_mirrors_use(tmp_path: Path, name: str) -> None:
    source = make_set(tmp_path, '-a_b, 30.000, 40.000, "/m/a,/m/c"\n', [f"clips/{name}"])
    (row,) = rows(source)
    assert isinstance(row, Segment) and row.path.endswith(name) and row.labels == (0, 2)
    assert row.trimmed == any(character.isdigit() for character in name.rsplit(".", 1)[0])


def test_two_segments_of_one_video_get_their_own_files(tmp_path: Path) -> None:
    source = make_set(tmp_path, 'a, 0, 10, "/m/a"\na, 30, 40, "/m/b"\n', ["clips/a_0.mp4", "clips/a_30.mp4"])
    assert [row.path[-8:] for row in rows(source)] == ["/a_0.mp4", "a_30.mp4"]


def test_every_wrong_row_is_skipped_and_named(tmp_path: Path) -> None:
    table = (
        'good, 0.000, 10.000, "/m/a"\n'
        'good, 0.000, 10.000, "/m/a"\n'
        'strange, 0.000, 10.000, "/m/a,/m/nope"\n'
        'back, 10.000, 0.000, "/m/a"\n'
        'nan, nan, 10.000, "/m/a"\n'
        "short, 3\n"
        "words, zero, ten, /m/a\n"
        'bare, 0.000, 10.000, ""\n'
        'absent, 0.000, 10.000, "/m/b"\n'
        "unquoted, 0.000, 10.000, /m/a,/m/b\n"
    )
    names = ["good", "strange", "back", "nan", "short", "words", "bare", "unquoted"]
    source = make_set(tmp_path, table, [f"clips/{name}.mp4" for name in names])
    found = rows(source)
    assert [row.id for row in found if isinstance(row, Segment)] == ["good", "unquoted"]
    problems = {row.where: row for row in found if isinstance(row, Problem)}
    assert {where: problem.reason for where, problem in problems.items()} == {
        "train_segments.csv line 5": "duplicate row",
        "train_segments.csv line 6": "unknown label",
        "train_segments.csv line 7": "bad times",
        "train_segments.csv line 8": "bad times",
        "train_segments.csv line 9": "malformed row",
        "train_segments.csv line 10": "malformed row",
        "train_segments.csv line 11": "no label",
        "train_segments.csv line 12": "no file",
    }
    assert "/m/nope" in problems["train_segments.csv line 6"].message
    with pytest.raises(DataError, match="more wrong rows than right ones"):
        open_data(source, CONFIG, "train")


def test_a_few_wrong_rows_are_counted_and_the_rest_is_used(tmp_path: Path) -> None:
    table = "".join(f'c{n}, 0, 10, "/m/b"\n' for n in range(5)) + 'c9, 0, 10, "/m/nope"\nc8, 0, 10, "/m/a"\n'
    data = open_data(make_set(tmp_path, table, [f"clips/c{n}.mp4" for n in range(5)]), CONFIG, "train")
    assert len(data) == 5 and data.problems.counts == {"unknown label": 1, "no file": 1}
    assert data.clips[-1].id == "c4" and data.clips[1].labels == (1,)


def test_what_is_evaluated_is_never_trained_on(tmp_path: Path) -> None:
    train = 'e, 0.000, 10.000, "/m/a"\ne, 9.500, 19.500, "/m/a"\ne, 10.000, 20.000, "/m/a"\nt, 0.000, 10.000, "/m/a"\n'
    source = make_set(tmp_path, train, ["clips/t.mp4"])
    data, held_out = open_splits(source, CONFIG)
    assert [(clip.id, clip.start) for clip in data.clips] == [("e", 10.0), ("t", 0.0)]
    assert data.problems.counts == {"in eval too": 2} and len(held_out) == 1
    assert "train_segments.csv line 4: e at 0 s overlaps the evaluation's at 0 s" in data.problems.named[0].message
    assert describe(source).train_clips == 2
    (tmp_path / "eval_segments.csv").write_text((tmp_path / "train_segments.csv").read_text())
    with pytest.raises(DataError, match=r"no usable row in its train split \(4 in eval too\)"):
        open_splits(source, CONFIG)


def test_a_trial_lists_the_folder_once(tmp_path: Path) -> None:
    class Counting(MemoryFileSystem):
        protocol, listings, store, pseudo_dirs = "counting", 0, {}, [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.replace("counting://", "memory://"))

        def find(self, *args: Any, **kwargs: Any) -> Any:
            Counting.listings += 1
            return super().find(*args, **kwargs)

    fsspec.register_implementation("counting", Counting, clobber=True)
    source = make_set(tmp_path, 't, 0.000, 10.000, "/m/a"\n', ["clips/t.mp4"])
    Counting().put(source.url, "/set", recursive=True)
    train, evaluation = open_splits(DataSource("counting://set"), CONFIG)
    assert (len(train), len(evaluation), Counting.listings) == (1, 1, 1)


def test_published_names_and_oddities_of_text_files_do(tmp_path: Path) -> None:
    source = make_set(tmp_path, "", ["clips/a.mp4", "clips/b.mp4"])
    (tmp_path / "train_segments.csv").unlink()
    (tmp_path / "balanced_train_segments.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + 'a, 0, 10, "/m/a"\n').encode())
    (tmp_path / "unbalanced_train_segments.csv").write_text((HEADER + 'b, 0, 10, "/m/b"').replace("\n", "\r\n"))
    assert [row.id for row in rows(source)] == ["a", "b"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "class_labels_indices.csv").unlink(), "no label list at .*class_labels_indices.csv"),
        (lambda f: (f / "class_labels_indices.csv").write_text("a,b\n1,2\n"), "is no label list"),
        (lambda f: (f / "class_labels_indices.csv").write_text(LABELS.replace("2,/m/c", "5,/m/c")), "without gaps"),
        (lambda f: (f / "class_labels_indices.csv").write_text(LABELS.replace("/m/c", "/m/a")), "more than once"),
        (lambda f: (f / "train_segments.csv").unlink(), "has no train_segments.csv; CSV files there: .*eval_segments"),
        (
            lambda f: (f / "train_segments.csv").write_bytes(b"\xff\xfe\x00binary"),
            "1 malformed row.: train_segments.csv line 1",
        ),
        (lambda f: (f / "clips" / "a.mp4").unlink(), "has no usable row in its train split .1 no file."),
    ],
)
def test_a_set_that_cannot_be_used_says_what_is_missing(tmp_path: Path, spoil, message: str) -> None:
    source = make_set(tmp_path / "set", 'a, 0, 10, "/m/a"\n', ["clips/a.mp4"])
    spoil(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        open_data(source, CONFIG, "train")


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    for url in (str(tmp_path / "nowhere"), "memory://nowhere", "nonsense://bucket/x"):
        with pytest.raises(DataError, match=url):
            open_data(DataSource(url), CONFIG, "train")


def test_the_models_classes_must_be_the_sets(tmp_path: Path) -> None:
    source = make_set(tmp_path, 'a, 0, 10, "/m/a"\n', ["clips/a.mp4"])
    with pytest.raises(DataError, match=r"has 3 classes, but model\.classes is 527"):
        open_data(source, RunConfig(), "train")


def test_shuffled_labels_are_dealt_out_anew_for_training_only(synthetic_source: DataSource) -> None:
    plain, shuffled = (small_config(data__shuffle_labels=value) for value in (False, True))
    true, dealt = (open_data(synthetic_source, config, "train") for config in (plain, shuffled))
    assert [clip.path for clip in true.clips] == [clip.path for clip in dealt.clips]
    assert sorted(clip.labels for clip in true.clips) == sorted(clip.labels for clip in dealt.clips)
    assert [clip.labels for clip in true.clips] != [clip.labels for clip in dealt.clips]
    again = open_data(synthetic_source, with_changes(shuffled, {"train.seed": 7}), "train")
    assert [clip.labels for clip in again.clips] == [clip.labels for clip in dealt.clips]
    evals = [open_data(synthetic_source, config, "eval") for config in (plain, shuffled)]
    assert [clip.labels for clip in evals[0].clips] == [clip.labels for clip in evals[1].clips]


def test_a_set_in_memory_is_the_same_set(tmp_path: Path) -> None:
    source = make_set(tmp_path, 'a, 30, 40, "/m/a"\n', ["clips/a_30.mp4"])
    memory = fsspec.filesystem("memory")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/bucket/set/{path.relative_to(tmp_path)}", path.read_bytes())
    remote = DataSource("memory://bucket/set")
    assert describe(remote) == describe(source)
    assert open_data(remote, CONFIG, "train").clips[0].path == "memory:///bucket/set/clips/a_30.mp4"


def test_the_digest_covers_what_a_trial_sees_and_nothing_else(tmp_path: Path) -> None:
    def made(name: str, **changes: str) -> str:
        source = make_set(tmp_path / name, changes.get("train", 'a, 0, 10, "/m/a"\n'), ["clips/a.mp4"])
        if "content" in changes:
            (tmp_path / name / "clips" / "a.mp4").write_text(changes["content"])
        if "extra" in changes:
            (tmp_path / name / "clips" / "unused.mp4").touch()
        return data_digest(source)

    plain = made("plain")
    assert len(plain) == 64 and plain == made("elsewhere") == made("more", extra="yes")
    assert plain == made("comments", train='# a comment\na, 0.000, 10.000, "/m/a"\n')
    changed = [made("label", train='a, 0, 10, "/m/b"\n'), made("time", train='a, 0, 9, "/m/a"\n'),
               made("size", content="of another length")]  # fmt: skip
    assert len({plain, *changed}) == 4


def test_a_synthetic_set_is_described_before_it_is_made(tmp_path: Path) -> None:
    source = DataSource(str(tmp_path / "later"), recipe=DEMO)
    description = describe(source)
    assert (description.train_clips, description.eval_clips, description.classes) == (108, 36, 9)
    assert data_digest(DataSource("elsewhere", recipe=DEMO)) == description.digest
    assert data_digest(DataSource("elsewhere", recipe=Recipe(seed=1))) != description.digest
    assert not (tmp_path / "later").exists()


def test_a_source_travels_as_plain_data() -> None:
    source = DataSource("somewhere", recipe=DEMO)
    assert DataSource(**asdict(source)) == source


def test_a_plan_reads_a_set_without_anything_heavy(shared_data: Path) -> None:
    program = (
        "import sys; from perceiver.data.audioset import DataSource; from perceiver.data.digest import describe\n"
        "describe(DataSource(sys.argv[1], labels=sys.argv[2]))\n"
        "print([name for name in ('torch', 'numpy', 'av', 'fsspec', 'ray', 'mlflow') if name in sys.modules])"
    )
    folders = [str(shared_data / "stamps"), str(shared_data / "audioset")]
    ran = subprocess.run([sys.executable, "-c", program, *folders], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
