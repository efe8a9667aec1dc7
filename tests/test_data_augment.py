"""Augmentation depends on the clips' seeds alone, one draw never shifts another, and pictures stay what they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from media_maker import small_config

from perceiver.data.augment import augment, augmented_parts
from perceiver.data.batch import Batch
from perceiver.data.draws import seed_for, uniform

B = 64


def batch(clips: int = B, aspect: float = 1.0) -> Batch:
    """Clips with a red left half and a blue right half, noise for sound, and seeds of their own."""
    video = torch.zeros(clips, 32, 37, 37, 3, dtype=torch.uint8)
    video[:, :, :, :18, 0] = 200
    video[:, :, :, 18:, 2] = 200
    audio = torch.rand(clips, 61_440, generator=torch.Generator().manual_seed(0)) - 0.5
    present = {name: torch.ones(clips, dtype=torch.bool) for name in ("video", "audio")}
    labels = torch.eye(9)[torch.arange(clips) % 9]
    seeds = torch.tensor([seed_for("test", n) for n in range(clips)])
    ids = [str(n) for n in range(clips)]
    aspects = torch.full((clips,), aspect)
    return Batch({"video": video, "audio": audio}, present, labels, ids, torch.arange(clips), seeds, aspects)


def test_a_clip_is_augmented_alike_in_any_company() -> None:
    config, whole = small_config(train__audio_dropout=0.1), batch()
    together = augment(whole, config)
    for number, part in enumerate(whole.split(16)):
        alone, place = augment(part, config), slice(16 * number, 16 * number + 16)
        assert torch.equal(alone.inputs["video"], together.inputs["video"][place])
        assert torch.equal(alone.present["video"], together.present["video"][place])
        assert torch.equal(alone.mel_mask, together.mel_mask[place])


def test_a_higher_dropout_rate_drops_the_same_clips_and_more_and_changes_nothing_else() -> None:
    low, high = (augment(batch(), small_config(train__video_dropout=rate)) for rate in (0.1, 0.3))
    dropped_low, dropped_high = ~low.present["video"], ~high.present["video"]
    assert 0 < dropped_low.sum() < dropped_high.sum()
    assert not (dropped_low & ~dropped_high).any()
    assert torch.equal(low.inputs["video"], high.inputs["video"])
    assert torch.equal(low.mel_mask, high.mel_mask)


def test_dropout_never_takes_both_and_never_the_only_one() -> None:
    config = small_config(train__video_dropout=0.5, train__audio_dropout=0.5)
    clips = batch()
    present = augment(clips, config).present
    assert (present["video"] ^ present["audio"]).all()
    deaf = torch.arange(B) % 2 == 0
    clips.present["audio"] = ~deaf
    present = augment(clips, config).present
    assert present["video"][deaf].all() and not present["audio"][deaf].any()


def test_dropout_rates_are_what_they_say() -> None:
    config = small_config(train__video_dropout=0.3, train__audio_dropout=0.1, train__augment=False)
    many = replace(batch(1), seeds=torch.tensor([seed_for("many", n) for n in range(4000)]))
    many.present = {name: torch.ones(4000, dtype=torch.bool) for name in ("video", "audio")}
    many.inputs, many.labels = {}, torch.zeros(4000, 9)
    present = augment(many, config).present
    assert 1 - present["video"].float().mean() == pytest.approx(0.3, abs=0.03)
    assert 1 - present["audio"].float().mean() == pytest.approx(0.1, abs=0.02)


def test_crops_cover_eight_to_a_hundred_percent_with_the_allowed_proportions() -> None:
    from perceiver.data.augment import _crop_boxes

    seeds = np.array([seed_for("crop", n) for n in range(5000)])
    for aspect in (1.0, 16 / 9, 9 / 16):
        left, top, width, height = _crop_boxes(seeds, np.full(5000, aspect)).T
        assert min(left.min(), top.min()) >= 0 and max((left + width).max(), (top + height).max()) <= 1 + 1e-9
        ratio = width * aspect / height
        assert ratio.min() >= 3 / 4 - 1e-6 and ratio.max() <= 4 / 3 + 1e-6
        area = width * height
        assert 0.08 - 1e-9 <= area.min() < 0.1 and area.max() > 0.6


def test_flip_mirrors_half_of_the_clips_and_all_their_frames() -> None:
    config = small_config(train__augment=True)
    clips = batch()
    video = augment(clips, config).inputs["video"].float()
    flipped = uniform(clips.seeds.numpy(), 2) < 0.5
    leaning_right = (video[..., 24:, 0].mean(dim=(1, 2, 3)) > video[..., :8, 0].mean(dim=(1, 2, 3))).numpy()
    both_halves = (video[..., 0].amax(dim=(1, 2, 3)) - video[..., 0].amin(dim=(1, 2, 3)) > 60).numpy()
    assert 0.3 < flipped.mean() < 0.7
    plain = both_halves & (uniform(clips.seeds.numpy(), 3) >= 0.8)  # without colours, red is red
    assert plain.sum() > 3 and (leaning_right == flipped)[plain].all()
    assert torch.equal(video[:, 0], video[:, -1])


def test_grey_pictures_stay_grey_and_one_in_five_keeps_its_colours() -> None:
    clips = batch()
    clips.inputs["video"][:] = 128
    video = augment(clips, small_config()).inputs["video"].int()
    assert (video.amax(-1) - video.amin(-1)).max() <= 1
    level = video[:, 0, 0, 0, 0]
    coloured = torch.from_numpy(uniform(clips.seeds.numpy(), 3) < 0.8)
    assert (level[~coloured] == 128).all() and 0.6 < coloured.float().mean() < 0.95
    assert level.min() >= 96 and level.max() <= 160 and level.float().std() > 5


def test_masks_hide_up_to_two_stripes_each_way() -> None:
    mask = augment(batch(), small_config()).mel_mask
    assert mask is not None and mask.shape == (B, 60, 80)
    frames, bins = mask.all(dim=2).sum(dim=1), mask.all(dim=1).sum(dim=1)
    assert frames.max() <= 8 and bins.max() <= 20 and frames.float().mean() > 2 and bins.float().mean() > 5
    assert augment(batch(), small_config(train__spec_augment=False)).mel_mask is None
    assert augment(batch(), small_config(model__inputs__audio__kind="raw")).mel_mask is None


def test_without_augmentation_pictures_pass_untouched() -> None:
    clips = batch()
    assert augment(clips, small_config(train__augment=False)).inputs["video"] is clips.inputs["video"]


def test_mixup_blends_pairs_with_their_labels() -> None:
    clips = batch(9)
    plain, mixed = (augment(clips, small_config(train__mixup=alpha)) for alpha in (0.0, 0.5))
    share = mixed.labels.gather(1, clips.labels.argmax(1, keepdim=True))[:, 0]
    assert mixed.labels.sum(dim=1) == pytest.approx(torch.ones(9))
    assert share[8] == 1.0  # without a partner
    for number in range(8):
        blend = share[number] * plain.inputs["audio"][number] + (1 - share[number]) * plain.inputs["audio"][number ^ 1]
        assert torch.allclose(mixed.inputs["audio"][number] * plain.present["audio"][number], blend, atol=1e-6)
    assert mixed.inputs["video"].dtype == torch.uint8


@pytest.mark.parametrize("mixup", [0.0, 0.5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 9, None])
def test_parts_of_any_size_give_the_same_clips(mixup: float, size: int | None) -> None:
    clips, config = batch(9), small_config(train__mixup=mixup)
    clips.present["audio"][4] = False
    together, parts = augment(clips, config), list(augmented_parts(clips, config, "cpu", size))
    assert [len(part) for part in parts[:-1]] == [size or 9] * (len(parts) - 1)
    assert torch.equal(torch.cat([part.labels for part in parts]), together.labels)
    assert torch.equal(torch.cat([part.mel_mask for part in parts]), together.mel_mask)
    for name in ("video", "audio"):
        assert torch.equal(torch.cat([part.inputs[name] for part in parts]), together.inputs[name])
        assert torch.equal(torch.cat([part.present[name] for part in parts]), together.present[name])


def test_draws_are_uniform_and_independent() -> None:
    seeds = np.array([seed_for("draws", n) for n in range(20_000)])
    a, b = uniform(seeds, 0), uniform(seeds, 1)
    assert a.min() >= 0 and a.max() < 1 and abs(a.mean() - 0.5) < 0.01
    assert np.abs(np.histogram(a, 10, (0, 1))[0] - 2000).max() < 250
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    consecutive = uniform(np.arange(20_000), 0)
    assert abs(np.corrcoef(consecutive[1:], consecutive[:-1])[0, 1]) < 0.03
