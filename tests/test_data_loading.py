"""A batch is a function of seed and step, for any number of workers and ranks; bad clips are replaced and told."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media_maker import damage_packet, flashes_and_clicks, make_media, small_config

from perceiver.config import RunConfig
from perceiver.data.audioset import DataSource, Segment
from perceiver.data.augment import augment
from perceiver.data.batch import Batch
from perceiver.data.clips import Wants, read_clips
from perceiver.data.dataset import Clips, DataSet, open_data
from perceiver.data.loading import eval_batches, train_batches
from perceiver.data.sampling import make_sampler
from perceiver.errors import DataError

TESTS = Path(__file__).parent
CONFIG = small_config(train__batch_size=6, eval__clips=3, eval__batch_size=4)


def same(one: Batch, other: Batch) -> bool:
    tensors = [(one.inputs[name], other.inputs[name]) for name in one.inputs]
    tensors += [(one.labels, other.labels), (one.rows, other.rows), (one.seeds, other.seeds)]
    return one.ids == other.ids and all(torch.equal(a, b) for a, b in tensors)


def take(data: DataSet, config: RunConfig, count: int, **how: int) -> list[Batch]:
    stream = train_batches(data, config, **how)
    batches = list(islice(stream, count))
    stream.close()
    return batches


@pytest.fixture
def copied(synthetic_source: DataSource, tmp_path: Path) -> DataSource:
    """A copy of the synthetic set that a test may spoil."""
    shutil.copytree(synthetic_source.url, tmp_path / "set")
    return DataSource(str(tmp_path / "set"))


def test_a_batch_holds_what_the_model_takes(synthetic_source: DataSource) -> None:
    data = open_data(synthetic_source, CONFIG, "train")
    (batch,) = take(data, CONFIG, 1)
    assert batch.inputs["video"].shape == (6, 32, 37, 37, 3) and batch.inputs["video"].dtype == torch.uint8
    assert batch.inputs["audio"].shape == (6, 61_440) and batch.inputs["audio"].abs().max() <= 1
    assert batch.labels.shape == (6, 9) and batch.present["video"].all() and batch.present["audio"].all()
    assert [data.clips[row].id for row in batch.rows] == batch.ids
    assert np.array_equal(batch.labels.numpy(), data.labels(batch.rows.tolist()))


_READ_ONE_BATCH = """
from media_maker import small_config
from perceiver.data.dataset import DataSource, open_data
from perceiver.data.loading import train_batches

if __name__ == "__main__":
    config = small_config(train__batch_size=6)
    print(len(next(train_batches(open_data(DataSource({url!r}), config, "train"), config, workers=1))))
"""


def test_workers_read_whatever_tmpdir_is(synthetic_source: DataSource, tmp_path: Path) -> None:
    place = tmp_path / ("slurm_job_" + 60 * "1")
    place.mkdir()
    (tmp_path / "read.py").write_text(_READ_ONE_BATCH.format(url=synthetic_source.url))
    environment = os.environ | {"TMPDIR": str(place), "PYTHONPATH": os.pathsep.join([*sys.path, str(TESTS)])}
    command = [sys.executable, str(tmp_path / "read.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout == "6\n", done.stderr


def test_batches_do_not_depend_on_workers_ranks_or_where_one_begins(synthetic_source: DataSource) -> None:
    data = open_data(synthetic_source, CONFIG, "train")
    straight = take(data, CONFIG, 5)
    assert all(map(same, straight, take(data, CONFIG, 5, workers=2)))
    assert all(map(same, straight[3:], take(data, CONFIG, 2, first_step=3)))
    halves = [take(data, CONFIG, 5, rank=rank, world=2) for rank in (0, 1)]
    for whole, *parts in zip(straight, *halves, strict=True):
        assert whole.ids == parts[0].ids + parts[1].ids
        assert torch.equal(whole.inputs["video"], torch.cat([part.inputs["video"] for part in parts]))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_batch_in_whole_pairs_where_pairs_are_mixed(synthetic_source: DataSource, world: int) -> None:
    config = small_config(train__batch_size=7, train__mixup=0.5)
    data = open_data(synthetic_source, config, "train")
    (whole,) = take(data, config, 1)
    parts = [take(data, config, 1, rank=rank, world=world)[0] for rank in range(world)]
    assert [row for part in parts for row in part.rows.tolist()] == whole.rows.tolist()
    assert all(len(part) % 2 == 0 for part in parts[:-1])
    mixed = torch.cat([augment(part, config).inputs["audio"] for part in parts])
    assert torch.equal(mixed, augment(whole, config).inputs["audio"])


def test_every_clip_comes_once_an_epoch_each_at_a_new_moment(synthetic_source: DataSource) -> None:
    data = open_data(synthetic_source, CONFIG, "train")
    batches = take(data, CONFIG, 6)
    for epoch in (batches[:3], batches[3:]):
        assert sorted(row for batch in epoch for row in batch.rows.tolist()) == list(range(18))
    seeds = [seed for batch in batches for seed in batch.seeds.tolist()]
    assert len(set(seeds)) == 36
    other = take(data, small_config(train__batch_size=6, train__seed=1), 3)
    assert [batch.ids for batch in other] != [batch.ids for batch in batches[:3]]


def test_what_a_sweep_varies_does_not_change_the_clips(synthetic_source: DataSource) -> None:
    varied = small_config(train__batch_size=6, train__video_dropout=0.5, train__lr=0.1, model__iterations=1)
    data = open_data(synthetic_source, CONFIG, "train")
    assert all(map(same, take(data, CONFIG, 2), take(data, varied, 2)))


def labelled(labels: list[tuple[int, ...]], classes: int) -> DataSet:
    """A data set of clips that have labels and no files."""
    data = DataSet.__new__(DataSet)
    data.clips, data.classes = Clips(), [None] * classes  # type: ignore[list-item]
    for number, row in enumerate(labels):
        data.clips.append(Segment(str(number), 0.0, 10.0, row, f"{number}.mp4", 1, False))
    return data


@given(
    labels=st.lists(st.sets(st.integers(0, 6), min_size=1, max_size=3), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
)
def test_the_balanced_sampler_takes_the_classes_in_turn(labels: list[set[int]], seed: int) -> None:
    data = labelled([tuple(row) for row in labels], 7)
    config = small_config(data__sampler="balanced", train__seed=seed)
    used = sorted(set().union(*labels))
    drawn = [make_sampler(data, config)(place) for place in range(len(used) * 12)]
    for turn in range(0, len(drawn), len(used)):
        assert _covers(drawn[turn : turn + len(used)], labels, used)
    assert drawn == [make_sampler(data, config)(place) for place in range(len(drawn))]


def _covers(rows: list[int], labels: list[set[int]], classes: list[int]) -> bool:
    """Whether the clips can be matched with the classes one to one."""

    def match(position: int, left: frozenset[int]) -> bool:
        if position == len(rows):
            return not left
        return any(match(position + 1, left - {number}) for number in labels[rows[position]] & left)

    return match(0, frozenset(classes))


def test_a_balanced_class_runs_through_all_its_clips_before_one_comes_again() -> None:
    data = labelled([(0,)] * 10 + [(1,)] * 3, 2)
    sampler = make_sampler(data, small_config(data__sampler="balanced"))
    drawn = [sampler(place) for place in range(40)]
    common = [row for row in drawn if row < 10]
    assert Counter(common[:10]) == Counter(range(10)) and Counter(common[10:]) == Counter(range(10))
    rare = Counter(row for row in drawn if row >= 10)
    assert set(rare) == {10, 11, 12} and max(rare.values()) - min(rare.values()) <= 1


def test_the_weighted_sampler_draws_clips_by_the_rarity_of_their_labels() -> None:
    data = labelled([(0,)] * 8 + [(1,)] * 2 + [(0, 1)], 3)
    sampler = make_sampler(data, small_config(data__sampler="weighted"))
    drawn = Counter(sampler(place) for place in range(20_000))
    chances = [1 / 9] * 8 + [1 / 3] * 2 + [1 / 9 + 1 / 3]
    for row, chance in enumerate(chances):
        assert drawn[row] / 20_000 == pytest.approx(chance / 2, rel=0.12)


def test_one_bad_clip_is_replaced_and_told_once(copied: DataSource) -> None:
    data = open_data(copied, CONFIG, "train")
    Path(data.clips[4].path).write_bytes(b"")
    batches = take(data, CONFIG, 9, workers=0)
    assert all(len(batch) == 6 for batch in batches)
    told = [bad for batch in batches for bad in batch.bad]
    assert [(bad.id, bad.reason) for bad in told] == [(data.clips[4].id, "empty")]
    assert all(4 not in batch.rows for batch in batches)
    assert all(map(same, batches[5:], take(data, CONFIG, 4, first_step=5)))
    assert all(np.array_equal(batch.labels.numpy(), data.labels(batch.rows.tolist())) for batch in batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_bad_clips_end_the_trial_with_their_list(copied: DataSource, workers: int) -> None:
    data = open_data(copied, CONFIG, "train")
    Path(data.clips[4].path).write_bytes(b"")
    Path(data.clips[7].path).unlink()
    with pytest.raises(DataError, match=r"2 of the 18 train clips .*data\.max_bad_fraction") as caught:
        take(data, CONFIG, 9, workers=workers)
    assert f"{data.clips[4].id} (empty)" in str(caught.value) and f"{data.clips[7].id} (missing)" in str(caught.value)
    take(data, small_config(train__batch_size=6, data__max_bad_fraction=0.2), 9, workers=workers)
    with pytest.raises(DataError, match="1 of the 18"):
        take(data, small_config(train__batch_size=1, data__max_bad_fraction=0.0), 30)


def read_all(data: DataSet, config: RunConfig = CONFIG, **how: int) -> list[Batch]:
    return list(eval_batches(data, config, **how))


def test_evaluation_reads_every_file_once_and_says_whose_clips_are_whose(synthetic_source: DataSource) -> None:
    data = open_data(synthetic_source, CONFIG, "eval")
    batches = read_all(data)
    assert all(len(batch) <= 4 for batch in batches)
    assert [row for batch in batches for row in batch.rows.tolist()] == [row for row in range(9) for _ in range(3)]
    assert batches[0].inputs["video"].shape[1:] == (32, 32, 32, 3)
    assert all(np.array_equal(batch.labels.numpy(), data.labels(batch.rows.tolist())) for batch in batches)
    assert all(map(same, batches, read_all(data, workers=2)))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_clips_cut_from_a_file_are_those_that_were_read(copied: DataSource, size: int) -> None:
    """For any batch size, also where a stream ends before a clip begins."""
    config = small_config(eval__clips=3, eval__batch_size=size)
    data = open_data(copied, config, "eval")
    pictures, samples = flashes_and_clicks([0.5], 2.0, 25.0, 48_000)
    make_media(Path(data.clips[4].path), pictures, samples[:9600])
    wants, batches = Wants.evaluation(config), read_all(data, config)
    assert all(len(batch) <= size for batch in batches)
    for name in ("video", "audio"):
        found = [value for batch in batches for value in batch.inputs[name]]
        there = [value for batch in batches for value in batch.present[name].tolist()]
        read = [getattr(excerpt, name) for clip in data.clips for excerpt in read_clips(clip, wants, 3)]
        assert there == [value is not None for value in read]
        for one, other in zip(found, read, strict=True):
            assert not one.any() if other is None else np.array_equal(one.numpy(), other)
    assert not all(there)


@pytest.mark.parametrize("world", [1, 2, 4, 12])
def test_ranks_share_the_evaluation_without_overlap(synthetic_source: DataSource, world: int) -> None:
    data = open_data(synthetic_source, CONFIG, "eval")
    counts: Counter[int] = Counter()
    for rank in range(world):
        counts += Counter(row for batch in read_all(data, rank=rank, world=world) for row in batch.rows.tolist())
    assert counts == Counter(dict.fromkeys(range(9), 3))


@pytest.mark.parametrize("spoiled", [0, 4, 8])
def test_a_bad_file_is_left_out_of_the_evaluation_and_told(copied: DataSource, spoiled: int) -> None:
    data = open_data(copied, CONFIG, "eval")
    Path(data.clips[spoiled].path).write_bytes(b"no video")
    batches = read_all(data)
    assert {row for batch in batches for row in batch.rows.tolist()} == set(range(9)) - {spoiled}
    assert [bad.reason for batch in batches for bad in batch.bad] == ["not media"]
    assert all(len(batch) for batch in batches)


def test_an_evaluation_without_a_readable_file_is_an_error(copied: DataSource) -> None:
    data = open_data(copied, CONFIG, "eval")
    for clip in data.clips:
        Path(clip.path).write_bytes(b"")
    with pytest.raises(DataError, match="none of the 9 eval clips"):
        read_all(data, small_config(data__max_bad_fraction=1.0))


def test_a_damaged_stretch_is_bad_only_where_it_is_met(copied: DataSource) -> None:
    config = small_config(train__batch_size=18, data__max_bad_fraction=1.0)
    data = open_data(copied, config, "train")
    for clip in data.clips:
        damage_packet(Path(clip.path), "audio", 1.9)
    reasons = {bad.reason for batch in take(data, config, 2) for bad in batch.bad}
    assert reasons == {"damaged"}


def test_a_silent_clip_is_zeros_and_marked_as_absent(copied: DataSource, tmp_path: Path) -> None:
    import av

    data = open_data(copied, CONFIG, "eval")
    target = Path(data.clips[1].path)
    with av.open(str(target)) as source, av.open(str(tmp_path / "silent.mp4"), "w") as silent:
        stream = silent.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                silent.mux(packet)
    shutil.move(tmp_path / "silent.mp4", target)
    (first, *_) = read_all(data, small_config(eval__clips=1))
    assert first.present["audio"].tolist() == [True, False] + [True] * 7
    assert first.present["video"].all()
    assert not first.inputs["audio"][1].any() and first.inputs["audio"][0].any()


def test_a_model_of_one_modality_gets_only_that(synthetic_source: DataSource) -> None:
    for absent, left in (("video", "audio"), ("audio", "video")):
        config = small_config(train__batch_size=2, **{f"model__inputs__{absent}": None})
        (batch,) = take(open_data(synthetic_source, config, "train"), config, 1)
        assert list(batch.inputs) == [left] == list(batch.present)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_set_on_s3_gives_the_same_batches(synthetic_source: DataSource, s3_bucket: str, workers: int) -> None:
    fsspec.filesystem("s3").put(f"{synthetic_source.url}/", f"{s3_bucket}/set/", recursive=True)
    local = open_data(synthetic_source, CONFIG, "train")
    remote = open_data(DataSource(f"{s3_bucket}/set"), CONFIG, "train")
    assert all(map(same, take(local, CONFIG, 2), take(remote, CONFIG, 2, workers=workers)))
