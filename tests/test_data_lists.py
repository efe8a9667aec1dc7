"""Segment lists as people have them: each row is read as it was meant, or named with its line, and costs no other."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_data_audioset import HEADER, LABELS, make_set, rows

from perceiver.data.audioset import DataSource, Layout, Problem, Segment, read_classes
from perceiver.data.digest import describe
from perceiver.data.lists import Row, Table
from perceiver.data.segments import CURES, RowError
from perceiver.errors import DataError

JUNK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(range(256))
TWO = [("a", 0.0, 10.0, (0, 2)), ("b", 30.5, 40.0, (1,))]
FILES = ["clips/a.mp4", "clips/b_30.5.mp4"]


def read(source: DataSource, split: str = "train") -> list[tuple[str, float, float, tuple[int, ...]]]:
    return [(row.id, row.start, row.end, row.labels) for row in rows(source, split) if isinstance(row, Segment)]


def problems(source: DataSource, split: str = "train") -> list[Problem]:
    return [row for row in rows(source, split) if isinstance(row, Problem)]


@pytest.mark.parametrize(
    "table",
    [
        HEADER + 'a, 0.000, 10.000, "/m/a,/m/c"\nb, 30.500, 40.000, "/m/b"\n',
        'YTID,start_seconds,end_seconds,positive_labels\na,0,10,"/m/a,/m/c"\nb,30.5,40,/m/b\n',
        'id;start;end;labels\r\na;0,000;10,000;"/m/a,/m/c"\r\nb;30,500;40,000;/m/b\r\n',
        "a\t0\t10\t/m/a,/m/c\nb\t30.5\t40\t/m/b\n",
        "filename\tonset\toffset\tevent_label\na.mp4\t0\t10\t/m/a\na.mp4\t0\t10\t/m/c\nb.mp4\t30.5\t40\t/m/b",
        "labels,end,start,file\n/m/a,10,0,a\n/m/b,40,30.5,b\n/m/c,10,0,a\n",
        'a, 0, 10, "Speech,Music"\nb, 30.5, 40, "male speech, man speaking"\n',
        'a, 0, 10, Speech, Music\nb, 30.5, 40, Male speech, man speaking\n',
        "a,0,10,/m/a\na,0,10,/m/c\nb,30.5,40,/m/b\n",
        "a,0,10,/m/a\nb,30.5,40,/m/b\na,0.0,10.0,/m/c\n",
        '"a" , 0, 10, "/m/a" , "/m/c"   \n\n  \n# remark\nb, 30.5, 40, /m/b',
        "a,0,10,/m/a,/m/c\rb,30.5,40,/m/b\r",
        'a,0,10,"/m/a;/m/c"\nb,30.5,40,/m/b\n',
        "a,0,10,Speech|Music\nb,30.5,40,/m/b\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_of_many_tools_say_the_same(tmp_path: Path, table: str, coding: str) -> None:
    source = make_set(tmp_path, "", FILES)
    (tmp_path / "train_segments.csv").write_bytes(table.encode(coding))
    assert read(source) == TWO
    assert not [problem for problem in problems(source) if not problem.used]


@pytest.mark.parametrize(
    "row",
    [b'a, 0, 10, "/m/a', b'"a, 0, 10, /m/a', b'a, 0, 10, /m/a"', b"a, 0", b"\xff\xfea, 0, 10, /m/a",
     b"a\x00b, 0, 10, /m/a", b"a, 0, 10, /m/\xe9", b"a, 1_0, 20, /m/a", b"a, 0, ten, /m/a", b", 0, 10, /m/a",
     b'"' + b"x" * 200_000 + b'", 0, 10, /m/a'],
)  # fmt: skip
def test_a_broken_row_costs_itself_and_is_named(tmp_path: Path, row: bytes) -> None:
    source = make_set(tmp_path, "", FILES)
    good = [b'a, 0, 10, "/m/a,/m/c"', b'b, 30.5, 40, "/m/b"']
    (tmp_path / "train_segments.csv").write_bytes(b"\n".join([b"# remark", good[0], row, good[1], b""]))
    assert read(source) == TWO
    (problem,) = problems(source)
    assert (problem.where, problem.reason) == ("train_segments.csv line 3", "malformed row")
    assert problem.message.startswith("train_segments.csv line 3: ") and len(problem.message) < 300
    assert problem.message.encode().isascii()


@pytest.mark.parametrize(
    ("headings", "row", "read"),
    [
        ("vendor_id,file,start,end,label", "3,a.wav,0,10,Dog", "a 0 10 Dog"),
        ("file,weekend,start,end,label", "a,1,0,10,Dog", "a 0 10 Dog"),
        ("file,gender,start,end,label", "a,male,0,10,Dog", "a 0 10 Dog"),
        ("file,stage,start,end,label", "a,2,0,10,Dog", "a 0 10 Dog"),
        ("clip,start,offset,end,label", "a,0,3,10,Dog", "a 0 10 Dog"),
        ("clip,start,offset,t_end,label", "a,0,3,10,Dog", "a 0 10 Dog"),
        ("clip,onset,offset,label", "a,0,3,Dog", "a 0 3 Dog"),
        ("id,start_frame,end_frame,start,end,label", "a,0,250,0,10,Dog", "a 0 10 Dog"),
        ("id,start_frame,end_frame,startTime,End Time (s),label", "a,0,250,0,10,Dog", "a 0 10 Dog"),
        ("file,begin_of,endangered,stop_of,label", "a,0,1,10,Dog", "a 0 10 Dog"),
        ("file,start,end,predicted_label,label", "a,0,10,Cat,Dog", "a 0 10 Dog"),
        ("file,start,end,label,predicted_label", "a,0,10,Dog,Cat", "a 0 10 Dog"),
        ("file,start,end,label,confidence", "a,0,10,Dog,0.93", "a 0 10 Dog"),
        ("file,start,end,label", "a,0,10,Dog,Cat", "a 0 10 Dog Cat"),
        ("file,start,end,label,,", "a,0,10,Dog,Cat,", "a 0 10 Dog Cat"),
        ("file,start,end,label_1,label_2,score", "a,0,10,Dog,Cat,1", "a 0 10 Dog Cat"),
        ("\tid\tstart\tend\tlabel", "0\ta\t0\t10\tDog", "a 0 10 Dog"),
    ],
)
def test_columns_are_what_their_headings_say_and_others_are_none(headings: str, row: str, read: str) -> None:
    ((_, found),) = Table.of("any.csv", f"{headings}\n{row}\n".encode()).rows()
    assert isinstance(found, Row), found
    labels = [label for label in found.labels if label]
    assert " ".join([found.id, f"{found.start:g}", f"{found.end:g}", *labels]) == read


CELLS = st.sampled_from(
    ["a", "b.mp4", "0", "10", "1e9", "-1", "nan", "/m/a", "Speech", '"', '""', ",", ";", "\t", "\0", "#"]
)
LINES = st.lists(st.one_of(CELLS, st.text(max_size=4)), max_size=12).map(", ".join)


@given(st.lists(LINES, max_size=12).map("\n".join), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_any_text_is_rows_or_named_lines(text: str, coding: str) -> None:
    data = text.encode(coding, errors="replace")
    table = Table.of("any.csv", data)
    read = list(table.rows())
    lines = dict(table.lines())
    assert all(number in lines for number, _ in read) and len(read) in (len(lines), len(lines) - 1)
    for _, row in read:
        assert isinstance(row, RowError) or (isinstance(row, Row) and row.id and 0 <= row.start < row.end)
        assert not isinstance(row, RowError) or row.reason in CURES


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_named_lines(data: bytes) -> None:
    assert all(isinstance(row, Row) or row.reason in CURES for _, row in Table.of("any.csv", data).rows())


def test_rows_of_one_clip_are_joined_and_true_duplicates_are_counted(tmp_path: Path) -> None:
    table = "a,0,10,/m/a\na,0,10,/m/c\na,0,10,/m/a\nb,30.5,40,/m/b\nb,30.5,41,/m/b\n"
    source = make_set(tmp_path, table, FILES)
    assert read(source) == [*TWO, ("b", 30.5, 41.0, (1,))]
    assert [(each.where, each.reason, each.used) for each in problems(source)] == [
        ("train_segments.csv line 5", "joined row", True),
        ("train_segments.csv line 6", "duplicate row", False),
    ]
    seen = describe(source)
    assert seen.train_clips == 3 and seen.left_out == {"train": {"duplicate row": 1}}
    assert seen.told[0].startswith("train rows left out: 1 duplicate row (train_segments.csv line 6: a at 0 s")
    assert seen.told[1].startswith("train rows to know of: 1 joined row (train_segments.csv line 5")


def test_a_clip_with_a_label_that_nobody_knows_is_no_clip_with_the_others(tmp_path: Path) -> None:
    source = make_set(tmp_path, "a,0,10,/m/a\na,0,10,/m/nope\nb,30.5,40,/m/b\n", FILES)
    assert read(source) == TWO[1:]
    assert [each.reason for each in problems(source)] == ["unknown label"] * 2


def test_hidden_files_are_nothing(tmp_path: Path) -> None:
    source = make_set(tmp_path, 'a, 0, 10, "/m/a"\n', ["clips/a.mp4", "clips/._a.mp4", ".Trash-1000/files/a.mp4"])
    for name in (
        "._train_segments.csv",
        "._eval_segments.csv",
        "._class_labels_indices.csv",
        "clips/._eval_segments.csv",
    ):
        (tmp_path / name).write_bytes(JUNK)
    (tmp_path / ".Trash-1000/files/eval_segments.csv").write_text(HEADER + 'a, 0, 10, "/m/a"\n')
    assert read(source) == [("a", 0.0, 10.0, (0,))] and not problems(source)
    assert [row[0] for row in read(source, "eval")] == ["e"] and not problems(source, "eval")


@pytest.mark.parametrize(
    "name",
    ["backup/eval_segments.csv", "Copy of eval_segments.csv", "eval_segments (1).csv", "eval_segments.csv.bak",
     "old_eval_segments.csv", "sub/eval_segments.csv", "music_eval_segments.csv"],
)  # fmt: skip
def test_a_second_list_is_told_and_not_merged(tmp_path: Path, name: str) -> None:
    source = make_set(tmp_path, 'a, 0, 10, "/m/a"\n', ["clips/a.mp4", "clips/x.mp4"])
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + 'e, 0, 10, "/m/b"\na, 0, 10, "/m/a"\nx, 0, 10, "/m/a"\n')
    assert [row[0] for row in read(source, "eval")] == ["e"] and [row[0] for row in read(source)] == ["a"]
    (told,) = problems(source, "eval")
    assert (told.where, told.reason, told.used) == (name, "list not used", True)
    assert f"{name} is not used beside eval_segments.csv" in " ".join(describe(source).told)


def test_lists_of_other_names_are_used_where_nothing_goes_before_them(tmp_path: Path) -> None:
    source = make_set(tmp_path, "", ["clips/a.mp4", "clips/b.mp4"])
    (tmp_path / "train_segments.csv").unlink()
    (tmp_path / "music_train_segments.csv").write_text('a, 0, 10, "/m/a"\n')
    assert [row[0] for row in read(source)] == ["a"] and not problems(source)
    (tmp_path / "speech_train_segments.csv").write_text('b, 0, 10, "/m/b"\n')
    assert [row[0] for row in read(source)] == ["a", "b"]
    assert [each.reason for each in problems(source)] == ["one of several lists"] * 2
    (tmp_path / "eval_segments.csv").rename(tmp_path / "one_eval_segments.csv")
    (tmp_path / "two_eval_segments.csv").write_text('b, 0, 10, "/m/b"\n')
    with pytest.raises(DataError, match=r"one_eval_segments.csv and two_eval_segments.csv are both a list of the eval"):
        list(Layout(source).segments("eval"))


@pytest.mark.parametrize(
    "table",
    [
        LABELS,
        LABELS.replace(",", ";").replace("speech; man", "speech, man"),
        "Index\tMID\tDisplay Name\n2\t/m/c\tMusic\n0\t/m/a\tSpeech\n1\t/m/b\tMale speech, man speaking",
        LABELS.partition("\n")[2],
        "\ufeff# classes\n" + LABELS,
        'display_name,mid,index\nSpeech,/m/a,0\n"Male speech, man speaking",/m/b,1\nMusic,/m/c,2',
    ],
)
def test_label_lists_of_many_tools_say_the_same(tmp_path: Path, table: str) -> None:
    (tmp_path / "class_labels_indices.csv").write_text(
        table.replace('"Male speech; man speaking"', '"Male speech, man speaking"')
    )
    classes = read_classes(DataSource(str(tmp_path)))
    assert [tuple(each) for each in classes] == [
        ("/m/a", "Speech"),
        ("/m/b", "Male speech, man speaking"),
        ("/m/c", "Music"),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('index,mid,display_name\n0,/m/a,"Speech\n1,/m/b,Music\n', r"line 2 is no label list.*a quote is not closed"),
        ("index,mid,display_name\n0,/m/a,Speech\n2,/m/b,Music\n", r"without gaps: 1 is missing"),
        ("index,mid,display_name\nzero,/m/a,Speech\n", r"line 2 is no label list.*got 'zero,/m/a,Speech'"),
        ("", "the indices of its 0 classes"),
    ],
)
def test_a_label_list_that_is_wrong_says_where(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "class_labels_indices.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        read_classes(DataSource(str(tmp_path)))
