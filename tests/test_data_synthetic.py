"""The synthetic set: real files in AudioSet's layout, the same everywhere, whole or not there, with known ceilings."""

import filecmp
import multiprocessing
import os
from pathlib import Path

import av
import numpy as np
import pytest
from media_maker import small_config

from perceiver.data.audioset import DataSource
from perceiver.data.clips import Wants, read_clip
from perceiver.data.dataset import DataSet, open_data
from perceiver.data.digest import describe
from perceiver.data.recipe import BOTH_CEILING, CLASSES, CONSTANT_SCORES, ONE_MODALITY_CEILING, Recipe
from perceiver.data.synthetic import ensure_synthetic
from perceiver.errors import DataError
from perceiver.metrics import scores_to_metrics

SMALL = Recipe(train_clips=9, eval_clips=9, seconds=1.5, pixels=32)


def test_files_are_h264_and_aac_and_described_as_made(synthetic_source: DataSource) -> None:
    files = sorted((Path(synthetic_source.url) / "clips").iterdir())
    rates = set()
    for file in files:
        with av.open(str(file)) as container:
            (video,), (audio,) = container.streams.video, container.streams.audio
            assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
            rates.add((round(video.average_rate), audio.codec_context.sample_rate))
            assert float(video.duration * video.time_base) == pytest.approx(2.0, abs=0.05)
    assert len(rates) > 3  # so that resampling is part of every demo
    found = describe(DataSource(synthetic_source.url))
    said = describe(synthetic_source)
    assert (found.train_clips, found.eval_clips, found.classes) == (said.train_clips, said.eval_clips, said.classes)


def test_the_same_recipe_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ensure_synthetic(str(tmp_path / name), SMALL)
    names = [str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*")]
    assert len(names) == 18 + 4
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False)[0] == names


def _ensure(folder: str) -> None:
    ensure_synthetic(folder, SMALL)


def test_two_processes_that_begin_at_once_leave_one_whole_set(tmp_path: Path) -> None:
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        pool.map(_ensure, [str(tmp_path / "set")] * 2)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(list((tmp_path / "set" / "clips").iterdir())) == 18


def test_it_is_made_once_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    source = DataSource(str(tmp_path / "deep" / "set"), recipe=SMALL)
    ensure_synthetic(source.url, SMALL, lambda done, total: told.append((done, total)))
    assert told == [(number, 18) for number in range(1, 19)]
    made = (tmp_path / "deep" / "set" / "clips").stat().st_mtime_ns
    ensure_synthetic(source.url, SMALL, lambda done, total: told.append((done, total)))
    open_data(source, small_config(), "eval")
    assert len(told) == 18 and (tmp_path / "deep" / "set" / "clips").stat().st_mtime_ns == made


def test_another_recipe_replaces_the_set_and_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    ensure_synthetic(str(tmp_path / "set"), SMALL)
    ensure_synthetic(str(tmp_path / "set"), Recipe(train_clips=18, eval_clips=9, seconds=1.5, pixels=32))
    assert len(list((tmp_path / "set" / "clips").iterdir())) == 27
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(DataError, match="holds something that is no synthetic set"):
        ensure_synthetic(str(tmp_path / "mine"), SMALL)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep"


def test_an_interrupted_making_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_synthetic(str(tmp_path / "set"), SMALL, interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="can't be written"):
        ensure_synthetic(str(tmp_path / "set"), SMALL)


def test_a_file_in_the_way_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="can't be written"):
        ensure_synthetic(str(tmp_path / "file" / "set"), SMALL)


def test_the_ceilings_are_what_perfect_ears_or_eyes_alone_can_reach(synthetic_source: DataSource) -> None:
    labels = open_data(synthetic_source, small_config(), "eval").labels()
    nothing = np.zeros_like(labels)
    heard, seen = nothing.copy(), nothing.copy()
    heard[:, :3] = heard[:, 6:] = labels[:, :3]
    seen[:, 3:6] = seen[:, 6:] = labels[:, 3:6]
    both = labels.copy()
    reached = [scores_to_metrics(scores, labels).mAP for scores in (both, heard, seen, nothing)]
    assert reached == pytest.approx([BOTH_CEILING, ONE_MODALITY_CEILING, ONE_MODALITY_CEILING, CONSTANT_SCORES])


def test_ears_tell_the_sounds_and_eyes_the_sights(synthetic_source: DataSource) -> None:
    config = small_config()
    train, evaluation = (open_data(synthetic_source, config, split) for split in ("train", "eval"))
    assert len(CLASSES) == len(train.classes) == 9
    for modality, first in (("audio", 0), ("video", 3)):
        known, asked = (_features(data, modality) for data in (train, evaluation))
        kinds, truth = (data.labels()[:, first : first + 3].argmax(axis=1) for data in (train, evaluation))
        centres = np.stack([known[kinds == kind].mean(axis=0) for kind in range(3)])
        guess = np.linalg.norm(asked[:, None] - centres, axis=2).argmin(axis=1)
        assert (guess == truth).all(), modality


def _features(data: DataSet, modality: str) -> np.ndarray:
    """The colour of the middle and the corners, or the energy below, around and above the whistle."""
    excerpts = [read_clip(clip, Wants.evaluation(small_config()), 0.5) for clip in data.clips]
    if modality == "video":
        return np.stack([np.concatenate([x.video.mean(axis=(0, 1, 2)), x.video[:, :6, :6].mean(axis=(0, 1, 2))])
                         for x in excerpts])  # fmt: skip
    spectra = np.abs(np.fft.rfft([x.audio for x in excerpts], axis=1))
    bands = np.stack([part.mean(axis=1) for part in np.split(spectra, [1400, 3500], axis=1)[:3]], axis=1)
    return bands / bands.sum(axis=1, keepdims=True)
