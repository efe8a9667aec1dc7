"""Which part of a file a row names: by the file's length, the row and the set's habit; never outside of the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_maker import grey, make_media, small_config

from perceiver.data.audioset import DataSource, Layout
from perceiver.data.clips import Wants, read_clips, segment
from perceiver.data.dataset import Clip, open_splits
from perceiver.data.digest import describe, habits_of
from perceiver.data.habit import Habit, evidence, is_ambiguous, part_of
from perceiver.errors import ClipError

WANTS = Wants.evaluation(small_config(model__inputs__audio=None))
CONFIG = small_config(model__classes=1)
HABITS: tuple[Habit, ...] = ("", "whole", "cut", "mixed")


def clip(start: float, end: float, habit: Habit = "", trimmed: bool = False) -> Clip:
    return Clip("x", "x.mp4", start, end, trimmed, (), habit)


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize(
    ("row", "duration", "lies"),
    [
        ((20, 27), 26.6, (20, 6.6)),
        ((20, 30), 300.0, (20, 10)),
        ((20, 30), 29.8, (20, 9.8)),
        ((20, 30), 25.0, (20, 5.0)),
        ((290, 300), 299.7, (290, 9.7)),
        ((420, 430), 429.5, (420, 9.5)),
        ((0, 10), 8.0, (0, 8.0)),
        ((0, 10), 300.0, (0, 10)),
    ],
)
def test_a_file_much_longer_than_the_segment_is_the_whole_video(habit: Habit, row, duration, lies) -> None:
    assert segment(clip(*row, habit), duration) == pytest.approx(lies)


@pytest.mark.parametrize("habit", ["", "cut", "mixed"])
@pytest.mark.parametrize("duration", [10.0, 10.3, 9.8, 14.9, 7.5])
def test_a_file_as_long_as_the_segment_is_the_segment(habit: Habit, duration: float) -> None:
    assert segment(clip(20, 30, habit), duration) == (0.0, min(10, duration))


def test_what_could_be_either_is_as_the_set_is() -> None:
    for row, duration in (((5, 15), 15.2), ((2, 12), 12.0)):
        assert segment(clip(*row, "cut"), duration) == (0.0, 10)
        assert segment(clip(*row, "whole"), duration) == (row[0], 10) == segment(clip(*row), duration)
        assert is_ambiguous(*row, duration, "cut") and is_ambiguous(*row, duration, "mixed")
        assert not is_ambiguous(*row, duration, "whole"), "it is what whole videos look like"
    assert segment(clip(2, 12), 10.04) == (0.0, 10)
    assert segment(clip(2, 12, "whole"), 10.04) == pytest.approx((2, 8.04)) and is_ambiguous(2, 12, 10.04, "whole")
    assert not is_ambiguous(20, 27, 26.6, "cut") and not is_ambiguous(20, 30, 10.3, "cut")


@pytest.mark.parametrize(
    ("row", "duration", "habits"),
    [((100, 110), 2.0, ("", "whole", "mixed")), ((20, 30), 20.0, ("whole",)), ((400, 410), 300.0, HABITS)],
)
def test_a_row_that_begins_behind_its_file_is_named(row, duration: float, habits: tuple[Habit, ...]) -> None:
    for habit in habits:
        with pytest.raises(
            ClipError, match=rf"row x at {row[0]} s begins behind the end of x.mp4, which lasts"
        ) as error:
            segment(clip(*row, habit), duration)
        assert error.value.reason == "behind the end"


SECONDS = st.floats(0.1, 1_000)


@given(SECONDS, SECONDS, SECONDS, st.sampled_from(HABITS), st.booleans())
def test_a_segment_lies_within_its_file_and_its_row(start, length, duration, habit: Habit, trimmed: bool) -> None:
    try:
        first, seconds = segment(clip(start, start + length, habit, trimmed), duration)
    except ClipError:
        assert not trimmed and duration <= start
        return
    assert 0 < seconds <= length + 1e-6 and first >= 0
    assert first + seconds <= duration + 0.1 + 1e-6
    assert first == 0 or first == start


@given(SECONDS, SECONDS, SECONDS, st.sampled_from(HABITS), SECONDS)
def test_a_longer_file_is_never_less_a_whole_video(start, length, duration, habit: Habit, more) -> None:
    end = start + length
    if part_of(start, end, duration, habit) == "whole":
        assert part_of(start, end, duration + more, habit) == "whole"


@given(SECONDS, SECONDS, SECONDS)
def test_habits_decide_only_what_a_file_leaves_open(start, length, duration) -> None:
    end = start + length
    if evidence(start, end, duration) == "whole":
        assert len({part_of(start, end, duration, habit) for habit in HABITS}) == 1
    if duration > start:
        assert part_of(start, end, duration, "whole") == "whole"
    if duration <= 2 * length and length <= 10:
        assert part_of(start, end, duration, "cut") == "cut"


def brightness_is_time(path: Path, seconds: float) -> Path:
    """A file whose pictures are 4 x the second that they are shown at; five a second, to be small."""
    return make_media(path, [(n / 5, grey(int(16 + 4 * n / 5), 32, 32)) for n in range(round(seconds * 5))])


def seen(found: Clip) -> np.ndarray:
    """The seconds that a clip's pictures show."""
    shown = [excerpt.video.mean() for excerpt in read_clips(found, WANTS, 3) if excerpt.video is not None]
    return (np.array(shown) - 16) / 4


def a_set(folder: Path, files: dict[str, tuple[float, float, float]]) -> DataSource:
    """A set of files named by their ids: seconds of the file, start and end of its row."""
    (folder / "clips").mkdir(parents=True)
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/0,A\n")
    rows = [f'{name}, {start}, {end}, "/m/0"\n' for name, (_, start, end) in files.items()]
    for split, part in (("train", rows[1:]), ("eval", rows[:1])):
        (folder / f"{split}_segments.csv").write_text(f"# 1\n# 2\n# 3\n{''.join(part)}")
    for name, (seconds, _, _) in files.items():
        brightness_is_time(folder / "clips" / f"{name}.mp4", seconds)
    return DataSource(str(folder))


WHOLE = {f"v{n}": (20.0 + n, 4.0 + n, 8.0 + n) for n in range(4)}
CUT = {f"c{n}": (4.0 + n / 10, 30.0 + n, 34.0 + n) for n in range(4)}


def clips_of(source: DataSource) -> dict[str, Clip]:
    """The clips of both splits as a trial opens them, with what its plan knows."""
    splits = open_splits(replace(source, planned=describe(source).planned), CONFIG)
    return {found.id: found for split in splits for found in split.clips}


def test_a_set_of_whole_videos_is_read_as_such(tmp_path: Path) -> None:
    odd = {"late": (16.6, 12.0, 17.0), "short": (7.9, 4.5, 8.5), "gone": (7.9, 9.0, 13.0)}
    source = a_set(tmp_path / "set", WHOLE | odd)
    described, clips = describe(source), clips_of(source)
    assert (described.habits.habit, described.habits.whole, described.habits.cut) == ("whole", 5, 0)
    assert habits_of(Layout(source), Layout(source).segments("train")).habit == "whole"
    assert seen(clips["v2"]) == pytest.approx([6.6, 7.9, 9.0], abs=0.7)
    assert seen(clips["late"]).min() > 11.5, "a row that ends beyond the file keeps what is there"
    assert seen(clips["short"]).min() > 4
    with pytest.raises(ClipError, match=r"row gone at 9 s begins behind the end"):
        seen(clips["gone"])


def test_a_set_of_cut_clips_is_read_as_such(tmp_path: Path) -> None:
    source = a_set(tmp_path / "set", CUT | {"run_out": (7.1, 3.0, 7.0)})
    described, clips = describe(source), clips_of(source)
    assert described.habits.habit == "cut" and described.habits.ambiguous == 1
    assert "run_out.mp4 lasts 7.04 s" in described.habits.example and "taken as cut" in str(described.habits)
    assert seen(clips["run_out"]).max() < 4.2 and seen(clips["c3"]).max() < 4.5
    assert seen(clips["run_out"]._replace(habit="")).min() > 2.5, "alone it would be a whole video"


def test_a_set_of_both_is_decided_file_by_file_and_told(tmp_path: Path) -> None:
    source = a_set(tmp_path / "set", WHOLE | CUT)
    described, clips = describe(source), clips_of(source)
    assert described.habits.habit == "mixed"
    assert str(described.habits) == "of 8 files looked at, 4 are whole videos, 4 cut segments"
    assert seen(clips["v2"]).min() > 5.5 and seen(clips["c2"]).max() < 4.5


def test_the_habit_belongs_to_the_digest_and_names_that_say_it_need_none(tmp_path: Path) -> None:
    source = a_set(tmp_path / "set", WHOLE)
    assert describe(source).habits.sampled == 4
    before = describe(source).digest
    for path in (tmp_path / "set" / "clips").iterdir():
        start = 4 + int(path.stem[1:])
        path.rename(path.with_name(f"{path.stem}_{start}.mp4"))
    after = describe(source)
    assert after.habits.sampled == 0 and after.habits.habit == "" and after.digest != before
    assert all(found.trimmed for found in clips_of(source).values())
