"""Which file is a row's clip: decided from what is there, never from the order of paths, or told."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from media_maker import grey, make_media, small_config
from test_data_audioset import make_set, rows

from perceiver.data.audioset import DataSource, Problem, Segment
from perceiver.data.clips import Wants, read_clip
from perceiver.data.dataset import Clip, open_data
from perceiver.data.digest import describe
from perceiver.data.files import FilePair, shown, write_bytes
from perceiver.data.ingest import ingest
from perceiver.data.shards import Form
from perceiver.errors import ClipError

ID = "-aB_c1234-5"
WANTS = Wants.evaluation(small_config())


def found(folder: Path, row: str, *files: str, others: str = "") -> tuple[list[str], list[str]]:
    """Files that the rows are read from, below the folder, and the reasons of what is told."""
    source = make_set(folder, row + others, list(files))
    for name in files:
        (folder / name).write_bytes(name.rpartition("/")[2].encode())
    read = rows(source)
    paths = [row.path.replace(f"{folder}/", "") for row in read if isinstance(row, Segment)]
    return paths, [row.reason for row in read if isinstance(row, Problem)]


@pytest.mark.parametrize("names", [("audio/{}.wav", "video/{}.mp4"), ("{}.m4a", "{}.mp4"), ("z/{}.FLAC", "a/{}.MKV"),
                                   ("audio/Y{}.wav", "video/{}.mp4"), ("s/{}_30.wav", "v/{}_30.mp4")])  # fmt: skip
def test_sound_beside_pictures_is_joined_with_them(tmp_path: Path, names: tuple[str, str]) -> None:
    sound, pictures = (name.format(ID) for name in names)
    paths, told = found(tmp_path, f'{ID}, 30, 40, "/m/a"\n', sound, pictures)
    assert list(map(shown, paths)) == [f"{pictures} +sound {sound}"] and told == ["pictures and sound"]


def test_files_that_differ_are_told_and_not_chosen_by_their_paths(tmp_path: Path) -> None:
    for names in (("10s/{}.mp4", "30s/{}.mp4"), ("a/{}.mp4", "b/{}.mkv"), ("a/{}.wav", "b/{}.wav")):
        folder = tmp_path / names[0][:3].replace("/", "") / names[1][-3:]
        source = make_set(folder, f'{ID}, 30, 40, "/m/a"\n', [name.format(ID) for name in names])
        (problem,) = rows(source)
        assert isinstance(problem, Problem) and problem.reason == "ambiguous file"
        assert " and ".join(name.format(ID) for name in names) in problem.message
        assert "1 ambiguous file" in " ".join(describe(source).told)


@pytest.mark.parametrize("backup", ["old_clips", "backup/clips", "a copy", "clips.bak"])
def test_an_old_copy_gives_way(tmp_path: Path, backup: str) -> None:
    paths, told = found(tmp_path, f'{ID}, 30, 40, "/m/a"\n', f"{backup}/{ID}.webm", f"zz/{ID}.mp4")
    assert paths == [f"zz/{ID}.mp4"] and told == ["one of several files"]
    assert found(tmp_path / "alone", f'{ID}, 30, 40, "/m/a"\n', f"{backup}/{ID}.mp4") == ([f"{backup}/{ID}.mp4"], [])


def test_copies_of_one_content_are_one(tmp_path: Path) -> None:
    paths, told = found(tmp_path, f'{ID}, 30, 40, "/m/a"\n', f"a/{ID}.mp4", f"b/{ID}.mp4")
    assert paths == [f"a/{ID}.mp4"] and told == ["one of several files"]


def test_a_recording_whose_name_ends_in_a_number_is_no_cut_of_another(tmp_path: Path) -> None:
    whole = ["clips/kitchen.mp4", "clips/kitchen_1.mp4", "clips/kitchen_10.mp4"]
    paths, told = found(tmp_path / "1", "kitchen, 1, 11, /m/b\nkitchen_1, 0, 10, /m/c\n", *whole)
    assert paths == whole[:2] and not told
    paths, told = found(tmp_path / "2", "kitchen, 10, 20, /m/b\n", *whole)
    assert not paths and told == ["ambiguous file"]
    paths, told = found(tmp_path / "3", "kitchen, 10, 20, /m/b\nkitchen_10, 0, 10, /m/c\n", *whole[2:])
    assert paths == whole[2:] and told == ["no file"]
    paths, told = found(tmp_path / "4", "kitchen, 3, 13, /m/b\n", "clips/kitchen_3000.mp4")
    assert paths == ["clips/kitchen_3000.mp4"] and not told
    paths, told = found(tmp_path / "5", "kitchen, 3, 13, /m/b\nkitchen_3000, 0, 9, /m/a\n", "clips/kitchen_3000.mp4")
    assert paths == ["clips/kitchen_3000.mp4"] and told == ["no file"]


def test_a_rounded_start_is_no_segments_name(tmp_path: Path) -> None:
    table = "".join(f"kitchen, {start}, {start + 1}, /m/a\n" for start in (1.5, 2.0, 2.5))
    paths, told = found(tmp_path / "1", table, "clips/kitchen_2.mp4")
    assert paths == ["clips/kitchen_2.mp4"] and told == ["no file"] * 2
    files = [f"clips/kitchen_{start}.mp4" for start in ("1.500", "2.0_3.0", "2500")]
    assert found(tmp_path / "2", table, *files) == (files, [])
    short = "a, 0.01, 1, /m/a\n"
    assert found(tmp_path / "3", short, "clips/a_10.mp4", "clips/a_000000.mp4") == ([], ["no file"])
    assert found(tmp_path / "4", short, "clips/a_0.01.mp4") == (["clips/a_0.01.mp4"], [])
    assert found(tmp_path / "5", "a, 0, 10, /m/a\n", "clips/a_0_10000.mp4") == (["clips/a_0_10000.mp4"], [])


def test_milliseconds_are_no_other_rows_seconds(tmp_path: Path) -> None:
    table = "a, 3, 13, /m/a\na, 3000, 3010, /m/b\n"
    assert found(tmp_path / "1", table, "clips/a_3000.mp4") == (["clips/a_3000.mp4"], ["no file"])
    both = ["clips/a_3000_13000.mp4", "clips/a_3000.mp4"]
    assert found(tmp_path / "2", table, *both) == (both, [])


CUTS = [("a_30", "a_30_40"), ("a_30", "a_000030"), ("a", "Ya"), ("a_30000", "a_30.0"), ("Ya_30", "a_30_40")]


@pytest.mark.parametrize("stems", CUTS)
def test_files_of_one_segment_are_told_whatever_their_names(tmp_path: Path, stems: tuple[str, str]) -> None:
    row, files = f"{ID}, 30, 40, /m/a\n", [f"clips/{stem.replace('a', ID, 1)}.mp4" for stem in stems]
    assert found(tmp_path / "differ", row, *files) == ([], ["ambiguous file"])
    source = make_set(tmp_path / "alike", row, files)
    for file in files:
        (tmp_path / "alike" / file).write_bytes(b"the same")
    problem, segment = rows(source)
    assert isinstance(problem, Problem) and problem.reason == "one of several files" and isinstance(segment, Segment)


def test_a_file_named_like_a_pair_is_one(tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "set" / "clips")
    Path(pair.sound).rename(tmp_path / "set" / "clips" / "dog +sound fx.wav")
    source = make_set(tmp_path / "set", "dog +sound fx, 0, 2, /m/a\n", [])
    (segment,) = rows(source)
    assert isinstance(segment, Segment)
    read = read_clip(Clip("a", segment.path, 0.0, 2.0, True, ()), WANTS, 0.5)
    assert read.video is None and read.audio is not None and describe(source).train_clips == 1


@pytest.mark.parametrize("cut", [f"{ID}_30", f"{ID}_30000_40000", f"{ID}_30.000", f"Y{ID}_30_40"])
def test_a_cut_with_youtubes_id_or_both_times_is_one(tmp_path: Path, cut: str) -> None:
    paths, told = found(tmp_path, f'{ID}, 30, 40, "/m/a"\n', f"clips/{cut}.mp4")
    assert paths == [f"clips/{cut}.mp4"] and not told
    paths, told = found(tmp_path / "both", f'{ID}, 30, 40, "/m/a"\n', f"clips/{ID}_30.mp4", f"videos/{ID}.mp4")
    assert paths == [f"clips/{ID}_30.mp4"] and not told


def test_names_of_a_mac_are_found(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Café-Übung") for form in ("NFC", "NFD"))
    for number, (row, file) in enumerate(((composed, decomposed), (decomposed, composed))):
        source = make_set(tmp_path / str(number), f'{row}, 0, 10, "/m/a"\n', [f"clips/{file}.MP4"])
        (segment,) = rows(source)
        assert isinstance(segment, Segment) and segment.id == composed and segment.path.endswith(f"/{file}.MP4")


def test_an_id_may_say_its_folder(tmp_path: Path) -> None:
    table = "speech/001.wav, 0, 10, /m/a\nmusic/001.wav, 0, 10, /m/c\n"
    paths, told = found(tmp_path, table, "speech/001.wav", "music/001.wav")
    assert paths == ["speech/001.wav", "music/001.wav"] and not told
    files = ["001.wav", "music/001.wav", "#2, 3.mp4"]
    paths, told = found(tmp_path / "top", '001.wav, 0, 10, /m/a\n"./#2, 3.mp4", 0, 10, /m/c\n', *files)
    assert paths == files[::2] and not told


def make_pair(folder: Path, seconds: float = 2.0, own_sound: bool = False) -> FilePair:
    """Pictures, silent or with a low level of their own, and a file of sound of 2 s at a higher one."""
    folder.mkdir(parents=True)
    rate = 48_000
    pictures = [(at / 25, grey(100)) for at in range(50)]
    low = np.full(2 * rate, 0.1, np.float32) if own_sound else None
    make_media(folder / "a.mp4", pictures, low, rate=rate)
    make_media(folder / "a.wav", samples=np.full(round(seconds * rate), 0.5, np.float32), sound_codec="pcm_s16le")
    return FilePair(str(folder / "a.mp4"), str(folder / "a.wav"))


def test_a_pair_is_read_as_one_file(tmp_path: Path) -> None:
    silent, own = make_pair(tmp_path / "silent"), make_pair(tmp_path / "own", own_sound=True)
    for pair, level in ((silent, 0.5), (own, 0.1)):
        read = read_clip(Clip("a", str(pair), 0.0, 2.0, True, ()), WANTS, 0.5)
        assert read.video is not None and read.audio is not None and not read.padded
        assert abs(float(np.median(read.audio)) - level) < 0.01 and abs(float(read.video.mean()) - 100) < 4


def test_a_pair_is_read_from_s3(tmp_path: Path, s3_bucket: str) -> None:
    local = make_pair(tmp_path / "pair")
    for name in ("a.mp4", "a.wav"):
        write_bytes(f"{s3_bucket}/set #1/{name}", (tmp_path / "pair" / name).read_bytes())
    remote = FilePair(f"{s3_bucket}/set #1/a.mp4", f"{s3_bucket}/set #1/a.wav")
    one, other = (read_clip(Clip("a", str(pair), 0.0, 2.0, True, ()), WANTS, 0.5) for pair in (local, remote))
    assert one.audio is not None and np.array_equal(one.audio, other.audio) and np.array_equal(one.video, other.video)


def test_a_pair_of_different_lengths_is_told(tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "pair", seconds=6.0)
    with pytest.raises(ClipError, match=r"a.mp4 lasts 2.00 s, its sound .*a.wav 6.00 s") as caught:
        read_clip(Clip("a", str(pair), 0.0, 2.0, True, ()), WANTS, 0.5)
    assert caught.value.reason == "ambiguous file"


def test_pairs_are_trained_on_and_ingested(tmp_path: Path) -> None:
    source = make_set(tmp_path / "set", "a, 0, 2, /m/a\n", [], evaluation="a, 4, 6, /m/a\n")
    pair = make_pair(tmp_path / "set" / "clips" / "one")
    data = open_data(source, small_config(model__classes=3), "train")
    assert data.clips[0].path == str(pair)
    assert describe(source).train_clips == 1 and "1 pictures and sound" in describe(source).told[0]
    made = ingest(source, str(tmp_path / "copy"), Form(pixels=32))
    stored = open_data(DataSource(made.url), small_config(model__classes=3), "train").clips[0]
    read = read_clip(stored, WANTS, 0.5)
    assert read.video is not None and read.audio is not None and abs(float(np.median(read.audio)) - 0.5) < 0.01
