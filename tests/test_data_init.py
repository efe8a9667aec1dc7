"""`sweep data init` makes a data set of somebody's own clips: of folders, tables and lists; every name is read back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from own_clips_maker import make_wavs, sweep, write_lists

from perceiver.config import load, with_changes
from perceiver.data.audioset import DataSource, Layout, Segment
from perceiver.data.groups import groups_of, split
from perceiver.data.own_lists import Options, make_lists
from perceiver.data.own_lists import write_lists as write_own_lists
from perceiver.train import train

ROOT = Path(__file__).parent.parent


def read(folder: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Split -> file below the folder (with its start, where there are several rows of it) -> names of its classes."""
    layout, found = Layout(DataSource(str(folder))), dict[str, dict[str, tuple[str, ...]]]()
    for part in ("train", "eval"):
        rows = list(layout.segments(part))
        assert all(isinstance(row, Segment) for row in rows), rows
        found[part] = {
            str(Path(row.path).relative_to(folder)) + (f"@{row.start:g}" if row.start else ""): tuple(
                layout.classes[label].name for label in row.labels
            )
            for row in rows
            if isinstance(row, Segment)
        }
    return found


def together(found: dict[str, dict[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    return found["train"] | found["eval"]


def init(folder: Path, *options: str) -> dict[str, Any]:
    done = sweep("data", "init", str(folder), *options, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_folder_per_class_becomes_a_set_that_can_be_checked_and_planned(tmp_path: Path) -> None:
    folder = tmp_path / "my clips"
    make_wavs(folder, [f"{name}/{number}.wav" for name in ("dog", 'big "cat", wild', "Vögel") for number in range(5)])
    (folder / "readme.txt").write_text("recorded in May")
    done = sweep("data", "init", str(folder))
    assert done.exit_code == 0, done.output
    assert "a folder per class (3" in done.stdout and "--eval-share" in done.stdout
    assert f"sweep data check '{folder}'" in done.stdout and "model.inputs.video: null" in done.stdout
    found = read(folder)
    assert (len(found["train"]), len(found["eval"])) == (12, 3)
    assert together(found) == {
        f"{name}/{n}.wav": (name,) for name in ("dog", 'big "cat", wild', "Vögel") for n in range(5)
    }
    assert {name for (name,) in found["eval"].values()} == {"dog", 'big "cat", wild', "Vögel"}
    checked = sweep("data", "check", str(folder))
    assert checked.exit_code == 0, checked.output
    changes = ["--set", "data.set=my-clips", "--set", "model.classes=3", "--set", "model.inputs.video=null"]
    sweep_file = {
        "sweep": "own",
        "question": "Does it work?",
        "base": "tiny",
        "vary": {"by": "list", "points": [{"train.lr": 0.001}]},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(sweep_file | {"seeds": 1}))
    planned = sweep("plan", str(tmp_path / "own.yaml"), "--site", str(folder / "site.yaml"), *changes)
    assert "12 + 3 clips" in planned.stdout, planned.output


def test_a_trial_learns_from_own_clips(tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"{name}/{number}.wav" for name in ("dog", "cat") for number in range(6)], 2.0, 16_000)
    init(tmp_path)
    changes = {"model.inputs.video": None, "model.classes": 2, "model.latents": 8, "model.latent_channels": 16}
    changes |= {"data.set": "own", "train.batch_size": 4, "train.steps": 2, "eval.times": 1}
    config = with_changes(load(ROOT / "sweeps" / "base" / "tiny.yaml"), changes)
    assert list(train(config, None, data=DataSource(str(tmp_path))))[-1].metrics["eval/mAP"] >= 0


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_a_table_of_any_line_ends_is_read_and_a_text_of_one_long_line_is_none(tmp_path: Path, line_end: str) -> None:
    make_wavs(tmp_path, [f"{number}.wav" for number in range(4)])
    rows = ["file,label", "0.wav,dog", "1.wav,cat", "2.wav,dog", "x" * 200_000 + ",dog", "3.wav,cat"]
    (tmp_path / "labels.csv").write_bytes(line_end.join(rows).encode())
    (tmp_path / "notes.txt").write_text("x" * 200_000)
    (left_out,) = init(tmp_path)["left_out"]["named"]
    assert left_out["where"] == "labels.csv line 5"
    assert together(read(tmp_path)) == {f"{number}.wav": (("dog", "cat")[number % 2],) for number in range(4)}


def test_nothing_is_overwritten_and_nothing_written_beside_what_is_there(tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"{name}/{number}.wav" for name in ("dog", "cat") for number in range(2)])
    for name in ("train_segments.csv", "class_labels_indices.csv", "site.yaml"):
        (tmp_path / name).write_text("mine\n")
        before = sorted(tmp_path.rglob("*"))
        done = sweep("data", "init", str(tmp_path))
        assert done.exit_code in (1, 2) and f"{tmp_path / name} exists already" in done.stderr
        assert sorted(tmp_path.rglob("*")) == before and (tmp_path / name).read_text() == "mine\n"
        (tmp_path / name).unlink()
    assert sweep("data", "init", str(tmp_path)).exit_code == 0
    again = sweep("data", "init", str(tmp_path))
    assert again.exit_code == 2 and "site.yaml exists already" in again.stderr


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("filename,label\na.wav,dog\nb.wav,cat\nc.wav,dog\nd.wav,cat\n", []),
        ("path;classes;other\naudio/a.wav;dog;1\naudio/b.wav;cat;2\naudio/c.wav;dog;3\naudio/d.wav;cat;4\n", []),
        ("a\tdog\nb\tcat\nc\tdog\nd\tcat\n", []),
        ("when,recording,what is heard\n1,a,dog\n2,b,cat\n3,c,dog\n4,d,cat\n", ["--labels-column", "what is heard"]),
        ("file | species\n a.wav | dog\n b.wav | cat\n c.wav | dog\n d.wav | cat\n", []),
    ],
)
def test_a_table_of_any_delimiter_with_any_header(text: str, options: list[str], tmp_path: Path) -> None:
    make_wavs(tmp_path / "audio", [f"{name}.wav" for name in "abcd"])
    (tmp_path / "labels.csv").write_text(text)
    init(tmp_path, *options)
    assert together(read(tmp_path)) == {
        f"audio/{name}.wav": (("dog", "cat")[at % 2],) for at, name in enumerate("abcd")
    }


@pytest.mark.parametrize(
    "text",
    [
        "file,labels\na,x;y\nb,y\nc,x;y\nd,x\n",
        "file;labels\na;x,y\nb;y\nc;x,y\nd;x\n",
        'file,labels\na,"x,y"\nb,y\nc,"x,y"\nd,x\n',
        "file,label\na,x\na,y\nb,y\nc,x\nc,y\nd,x\n",
        "file,labels\na,\"['x', 'y']\"\nb,['y']\nc,\"['x', 'y']\"\nd,['x']\n",
    ],
)
def test_several_labels_of_a_clip(text: str, tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"{name}.wav" for name in "abcd"])
    (tmp_path / "labels.csv").write_text(text)
    init(tmp_path)
    found = {name: set(labels) for name, labels in together(read(tmp_path)).items()}
    assert found == {"a.wav": {"x", "y"}, "b.wav": {"y"}, "c.wav": {"x", "y"}, "d.wav": {"x"}}


def test_a_comma_within_names_separates_nothing(tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"{name}.wav" for name in "abcd"])
    rows = "".join(f'{name},"{label}"\n' for name, label in zip("abcd", ["violin, fiddle", "dog"] * 2, strict=True))
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    init(tmp_path)
    assert set(together(read(tmp_path)).values()) == {("violin, fiddle",), ("dog",)}


def test_the_split_and_the_times_of_a_table_are_kept(tmp_path: Path) -> None:
    make_wavs(tmp_path, ["a.wav", "b.wav"], seconds=3.0)
    text = "file,start,end,split,label\na,0,1,train,x\na,1,2,train,y\nb,0.5,1.5,test,x\nb,1:00,1:10,test,y\n"
    (tmp_path / "labels.csv").write_text(text)
    report = init(tmp_path)
    assert read(tmp_path) == {"train": {"a.wav": ("x",), "a.wav@1": ("y",)}, "eval": {"b.wav@0.5": ("x",)}}
    (left_out,) = report["left_out"]["named"]
    assert left_out["where"] == "labels.csv line 5" and "starts at 60 s, but b.wav lasts 3 s" in left_out["message"]


def test_folds_milliseconds_and_times_of_the_source(tmp_path: Path) -> None:
    for name, rows in (
        ("folds", [f"{name},{fold},x" for fold, name in enumerate("abcd")]),
        ("milliseconds", [f"{name},0,1500,x" for name in "abcd"]),
        ("source", [f"{name},58.5,61.5,x" for name in "abcd"]),
    ):
        folder = tmp_path / name
        make_wavs(folder, [f"{each}.wav" for each in "abcd"], seconds=3.0)
        header = "file,fold,label" if name == "folds" else "file,start,end,label"
        (folder / "labels.csv").write_text("\n".join([header, *rows]))
        report = init(folder)
        assert len(together(read(folder))) == 4, report
    assert read(tmp_path / "folds")["eval"] == {"d.wav": ("x",)}
    assert any("milliseconds" in line for line in init_lines(tmp_path / "milliseconds"))
    assert {row.end for row in segments(tmp_path / "milliseconds")} == {1.5}
    assert {(row.start, row.end) for row in segments(tmp_path / "source")} == {(0.0, 3.0)}


def init_lines(folder: Path) -> list[str]:
    """What would be assumed of a folder if it had no lists yet."""
    for name in ("train_segments.csv", "eval_segments.csv", "class_labels_indices.csv", "site.yaml"):
        (folder / name).rename(folder.parent / name)
    lines = init(folder)["assumed"]
    return list(lines)


def segments(folder: Path) -> list[Segment]:
    layout = Layout(DataSource(str(folder)))
    return [row for part in ("train", "eval") for row in layout.segments(part) if isinstance(row, Segment)]


def test_tables_as_well_known_sets_have_them(tmp_path: Path) -> None:
    kinetics, strong, fsd = (tmp_path / name for name in ("kinetics", "strong", "fsd"))
    ids = [f"abcdefghij{n}" for n in range(4)]
    make_wavs(kinetics, [f"train/{name}_{n * 10:06d}_{n * 10 + 10:06d}.wav" for n, name in enumerate(ids)])
    rows = [f"{'ab'[n % 2]},{name},{n * 10},{n * 10 + 10},train" for n, name in enumerate(ids)]
    (kinetics / "train.csv").write_text("\n".join(["label,youtube_id,time_start,time_end,split", *rows]))
    init(kinetics)
    assert len(together(read(kinetics))) == 4 and {row.end for row in segments(kinetics)} == {0.2}
    make_wavs(strong / "clips", [f"{name}.wav" for name in ids], 3.0)
    rows = [f"{name}_30000\t{start}\t{start + 1}\t/m/{label}" for name in ids for start, label in ((0, "a"), (1, "b"))]
    header = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"
    (strong / "train_strong.tsv").write_text("\n".join([header, *rows]))
    init(strong)
    assert {(row.start, row.end, row.labels) for row in segments(strong)} == {(0.0, 1.0, (0,)), (1.0, 2.0, (1,))}
    make_wavs(fsd, [f"dev_audio/{n}.wav" for n in range(4)] + ["eval_audio/4.wav"])
    (fsd / "dev.csv").write_text("fname,labels,split\n" + "".join(f'{n},"x,{"yz"[n % 2]}",train\n' for n in range(4)))
    (fsd / "eval.csv").write_text('fname,labels\n4,"x,y"\n')
    (fsd / "vocabulary.csv").write_text("0,x,/m/1\n1,y,/m/2\n2,z,/m/3\n")
    assert init(fsd)["rows"] == {"train": 4, "eval": 1} and read(fsd)["eval"] == {"eval_audio/4.wav": ("x", "y")}


def test_takes_of_one_recording_stay_in_one_split(tmp_path: Path) -> None:
    names = [f"{kind}/{kind}_{n:03d}_take{take}.wav" for kind in ("dog", "cat") for n in range(8) for take in (1, 2, 3)]
    make_wavs(tmp_path, names)
    report = init(tmp_path, "--eval-share", "0.25")
    sides = {part: {name.rpartition("_")[0] for name in found} for part, found in read(tmp_path).items()}
    assert not sides["train"] & sides["eval"] and len(sides["eval"]) == 4
    assert any("16 of 48 files" in line and "--group-pattern" in line for line in report["assumed"])


@pytest.mark.parametrize(
    ("names", "group"),
    [
        ([f"{1000 + n // 3}-0-0-{n}" for n in range(12)], lambda name: name.split("-")[0]),
        ([f"1-{100 + n // 2}-{'AB'[n % 2]}-{n % 5}" for n in range(12)], lambda name: name.split("-")[1]),
        ([f"abcdefghij{n // 3}_{n % 3 * 10}.0_{n % 3 * 10 + 10}.0" for n in range(12)], lambda name: name[:11]),
        ([f"speaker{n // 3}_word{n % 3}" for n in range(12)], lambda name: name.split("_")[0]),
        ([f"dog_{n // 3}_take{n % 3}" for n in range(12)], lambda name: name.rpartition("_")[0]),
        ([f"dog_{n:03d}" for n in range(12)], lambda name: name),
        ([f"{n:03d}" for n in range(12)], lambda name: name),
    ],
)
def test_groups_that_names_show(names: Sequence[str], group: Any) -> None:
    found = groups_of([f"clips/{name}.wav" for name in names], ["dog"] * len(names))
    pairs = {(group(name), of) for name, of in zip(names, found.of, strict=True)}
    assert len(pairs) == len({group(name) for name in names}) == len(set(found.of))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sets(st.sampled_from("abc"), min_size=1)), min_size=1, max_size=60),
    st.floats(0.05, 0.6),
    st.integers(0, 3),
)
def test_a_split_keeps_groups_whole_and_every_class_in_both(
    clips: list[tuple[int, set[str]]], share: float, seed: int
) -> None:
    groups, labels = [group for group, _ in clips], [sorted(names) for _, names in clips]
    held = split(groups, labels, share, seed)
    assert held == split(groups, labels, share, seed)
    sides = {group: {side for other, side in zip(groups, held, strict=True) if other == group} for group in groups}
    assert all(len(found) == 1 for found in sides.values())
    for name in "abc":
        of_class = {group for group, names in clips if name in names}
        if of_class:
            assert any(sides[group] == {False} for group in of_class), "nothing to learn from"


def test_every_class_is_in_both_where_its_groups_allow_it() -> None:
    groups = [f"{name}{n}" for name in "abcd" for n in range(3)]
    held = split(groups, [[group[0]] for group in groups], 0.2, 0)
    assert {group[0] for group, side in zip(groups, held, strict=True) if side} == set("abcd")
    assert sum(held) == 4


NAMES = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], blacklist_characters="/\\\0.") | st.just(" "),
    min_size=1,
    max_size=12,
).filter(lambda name: name == name.strip() and name.casefold() == name and not name.startswith("."))


@settings(max_examples=25, deadline=None)
@given(classes=st.sets(NAMES, min_size=2, max_size=3), names=st.sets(NAMES, min_size=2, max_size=4))
def test_any_names_of_folders_and_files_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, classes: set[str], names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("set") / "clips of mine"
    make_wavs(folder, [f"class {kind}/{name}.wav" for kind in classes for name in names])
    write_own_lists(make_lists(str(folder), Options()))
    assert together(read(folder)) == {
        f"class {kind}/{name}.wav": (f"class {kind}",) for kind in classes for name in names
    }


def test_long_files_are_cut_into_pieces_of_one_split(tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"{name}/{number}.wav" for name in ("dog", "cat") for number in range(3)], 0.5, 1_000)
    make_wavs(tmp_path, ["dog/long.wav"], 45.0, 1_000)
    report = init(tmp_path)
    found = read(tmp_path)
    pieces = [name for name in together(found) if name.startswith("dog/long.wav")]
    assert pieces == ["dog/long.wav", "dog/long.wav@10", "dog/long.wav@20", "dog/long.wav@30", "dog/long.wav@40"]
    assert len({name in found["train"] for name in pieces}) == 1
    assert max(row.end for row in segments(tmp_path)) == 45.0
    assert any("--piece" in line for line in report["assumed"])


def test_files_in_folders_for_the_splits(tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"data/{part}/{name}/1.wav" for part in ("train", "test") for name in ("dog", "cat")])
    init(tmp_path)
    assert read(tmp_path)["eval"] == {"data/test/cat/1.wav": ("cat",), "data/test/dog/1.wav": ("dog",)}


def test_audiosets_lists_stay_and_get_what_they_lack(tmp_path: Path) -> None:
    make_wavs(tmp_path / "clips", ["abcdefghij0.wav", "abcdefghij1.wav"])
    rows = [f'abcdefghij{n}, 0.000, 0.200, "/m/a,/m/b"' for n in range(2)]
    write_lists(tmp_path, rows[:1], rows[1:])
    (tmp_path / "train_segments.csv").rename(tmp_path / "balanced_train_segments.csv")
    (tmp_path / "class_labels_indices.csv").unlink()
    report = init(tmp_path)
    assert [Path(path).name for path in report["written"]] == ["class_labels_indices.csv", "site.yaml"]
    assert together(read(tmp_path)) == {f"clips/abcdefghij{n}.wav": ("/m/a", "/m/b") for n in range(2)}


def test_lists_under_other_names_and_labels_by_mid(tmp_path: Path) -> None:
    make_wavs(tmp_path / "clips", [f"clip{n}.wav" for n in range(6)])
    write_lists(tmp_path, [f'clip{n}, 0.000, 0.200, "/m/a,/m/b"' for n in range(4)], ['clip4, 0.000, 0.200, "/m/b"'])
    for part in ("train", "eval"):
        (tmp_path / f"{part}_segments.csv").rename(tmp_path / f"{part}.csv")
    report = init(tmp_path)
    assert report["rows"] == {"train": 4, "eval": 1}
    assert not any(path.endswith("class_labels_indices.csv") for path in report["written"])
    assert read(tmp_path)["eval"] == {"clips/clip4.wav": ("Class b",)}


def test_one_list_alone_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    make_wavs(tmp_path / "clips", [f"clip{n}.wav" for n in range(6)])
    write_lists(tmp_path, [f'clip{n}, 0.000, 0.200, "/m/a"' for n in range(6)], [])
    (tmp_path / "eval_segments.csv").unlink()
    done = sweep("data", "init", str(tmp_path))
    assert done.exit_code == 1 and f"mv {tmp_path}/train_segments.csv {tmp_path}/clips.csv" in done.stderr
    (tmp_path / "train_segments.csv").rename(tmp_path / "clips.csv")
    init(tmp_path)
    assert {part: len(found) for part, found in read(tmp_path).items()} == {"train": 5, "eval": 1}


def test_what_cant_be_used_is_left_out_by_name(tmp_path: Path) -> None:
    make_wavs(tmp_path, ["dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav", "loose.wav"])
    (tmp_path / "dog" / "3.wav").write_text("no sound")
    report = init(tmp_path)
    reasons = {Path(problem["where"]).name: problem["reason"] for problem in report["left_out"]["named"]}
    assert reasons == {"loose.wav": "in no class's folder", "3.wav": "not media"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--group-pattern", "("], "is no regular expression"),
        (["--eval-split", "test"], "no row has the split 'test'"),
        (["--name", "my set"], "--name"),
    ],
)
def test_options_that_cant_be_used(options: list[str], said: str, tmp_path: Path) -> None:
    make_wavs(tmp_path, [f"{name}/{number}.wav" for name in ("dog", "cat") for number in range(2)])
    before = sorted(tmp_path.rglob("*"))
    done = sweep("data", "init", str(tmp_path), *options)
    assert done.exit_code in (1, 2) and said in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
