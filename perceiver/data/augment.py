"""Augmentation of a training batch, on its device and all clips at once.

Driven by `batch.seeds` alone: every draw has its own slot, so changing one rate or switching one kind off leaves all
the others as they were, and a higher dropout rate drops the same clips and some more.

Sources: colours from DMVR's default (brightness 32/255, saturation and contrast 0.6 to 1.4, hue 0.2, in 0.8 of the
clips); crop from DeepMind's Perceiver (`dataset.py`: area 8 to 100 %, proportions 3/4 to 4/3, 10 tries). The paper
names both kinds without numbers; SpecAugment's widths are PANNs' scaled to 80 x 60 (facts, 1.6).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor
from torch.nn import functional as F

from perceiver.config import RunConfig
from perceiver.data.batch import Batch
from perceiver.data.draws import uniform

# Slots of the draws; slot 0 is the clip's moment (reading.MOMENT).
_DROPOUT, _FLIP, _COLOURED, _BRIGHTNESS, _SATURATION, _CONTRAST, _HUE, _MIXUP = range(1, 9)
_STRIPES = 16  # two a stripe: width and place
_CROP = 32  # four a try: area, proportions, place across and down

_TRIES = 10
_RGB_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class Augmented:
    """What the model sees: inputs and presence as in `Batch`, labels (mixed by mixup, float32 (B, K)).

    `mel_mask`: bool (B, mel frames, mel bins), true where SpecAugment hides the spectrogram; None without it.
    """

    inputs: dict[str, Tensor]
    present: dict[str, Tensor]
    mel_mask: Tensor | None
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Augmented":
        inputs, present = ({name: value[part] for name, value in held.items()} for held in (self.inputs, self.present))
        mel_mask = None if self.mel_mask is None else self.mel_mask[part]
        return Augmented(inputs, present, mel_mask, self.labels[part])


def augmented_parts(
    batch: Batch, config: RunConfig, device: torch.device | str, size: int | None
) -> Iterator[Augmented]:
    """The batch in parts of at most `size` clips (None: at once), each augmented on the device when it is asked for.

    The clips are the same for every size: with mixup, a part whose first or last clip has its partner in another part
    is augmented together with that partner, which is then left out.
    """
    size = size or len(batch)
    for first in range(0, len(batch), size):
        last = min(first + size, len(batch))
        begin, end = (first - first % 2, last + last % 2) if config.train.mixup else (first, last)
        yield augment(batch[begin:end].to(device), config)[first - begin : last - begin]


def augment(batch: Batch, config: RunConfig) -> Augmented:
    """Crop, flip and colours of the video, modality dropout, SpecAugment masks and mixup, as `config.train` says.

    With mixup, clips 2i and 2i + 1 of the batch are each other's partners; the last of an odd batch has none.
    """
    seeds = batch.seeds.numpy()
    inputs, labels = dict(batch.inputs), batch.labels
    if "video" in inputs and config.train.augment and config.model.inputs.video is not None:
        boxes = _crop_boxes(seeds, batch.aspect.numpy())
        video = _crop(inputs["video"], boxes, uniform(seeds, _FLIP) < 0.5, config.model.inputs.video.size)
        inputs["video"] = _colour(video, seeds)
    present = _drop(batch.present, seeds, config)
    if config.train.mixup > 0:
        inputs, present, labels = _mix(inputs, present, labels, seeds, config.train.mixup)
    return Augmented(inputs, present, _mel_mask(batch, seeds, config), labels)


def _drop(present: dict[str, Tensor], seeds: np.ndarray, config: RunConfig) -> dict[str, Tensor]:
    """One draw a clip: its low end drops the video, its high end the audio, so that never both are dropped."""
    if len(present) < 2:
        return present
    draw = uniform(seeds, _DROPOUT)
    device = present["video"].device
    no_video = torch.from_numpy(draw < config.train.video_dropout).to(device)
    no_audio = torch.from_numpy(draw >= 1 - config.train.audio_dropout).to(device)
    both = present["video"] & present["audio"]
    return {"video": present["video"] & ~(no_video & both), "audio": present["audio"] & ~(no_audio & both)}


def _crop_boxes(seeds: np.ndarray, aspect: np.ndarray) -> np.ndarray:
    """Inception boxes as shares of the whole picture, (B, 4): left, top, width, height.

    The first of ten tries that fits into the picture; else the largest middle box with allowed proportions.
    """
    boxes = np.zeros((len(seeds), 4))
    undecided = np.ones(len(seeds), bool)
    for attempt in range(_TRIES):
        area, ratio, x, y = (uniform(seeds, _CROP + 4 * attempt + draw) for draw in range(4))
        area, ratio = 0.08 + 0.92 * area, np.exp((2 * ratio - 1) * math.log(4 / 3))
        width, height = np.sqrt(area * ratio / aspect), np.sqrt(area * aspect / ratio)
        fits = undecided & (width <= 1) & (height <= 1)
        tried = np.stack([x * (1 - width), y * (1 - height), width, height], axis=1)
        boxes[fits] = tried[fits]
        undecided &= ~fits
    ratio = np.clip(aspect, 3 / 4, 4 / 3)
    width, height = np.minimum(1, ratio / aspect), np.minimum(1, aspect / ratio)
    middle = np.stack([(1 - width) / 2, (1 - height) / 2, width, height], axis=1)
    boxes[undecided] = middle[undecided]
    return boxes


def _crop(video: Tensor, boxes: np.ndarray, flipped: np.ndarray, size: int) -> Tensor:
    """The boxes, mirrored where `flipped`, as float32 (B, T, size, size, 3) in 0..255."""
    B, T, H, W, _ = video.shape
    left, top, width, height = boxes.T
    affine = np.zeros((B, 2, 3), np.float32)  # output position in -1..1 -> input position in -1..1
    affine[:, 0, 0], affine[:, 0, 2] = np.where(flipped, -width, width), 2 * left + width - 1
    affine[:, 1, 1], affine[:, 1, 2] = height, 2 * top + height - 1
    grid = F.affine_grid(torch.from_numpy(affine).to(video.device), [B, 1, size, size], align_corners=False)
    pictures = video.permute(0, 1, 4, 2, 3).reshape(B, 3 * T, H, W).float()
    cropped = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cropped.view(B, T, 3, size, size).permute(0, 1, 3, 4, 2)


def _colour(video: Tensor, seeds: np.ndarray) -> Tensor:
    """Brightness, saturation and hue, contrast, one draw for all frames of a clip; uint8.

    Saturation and hue are one matrix: hue turns the colour plane of YIQ, which is linear, where DMVR turns HSV's.
    Contrast is about the clip's mean colour.
    """
    coloured = uniform(seeds, _COLOURED) < 0.8

    def between(low: float, high: float, neutral: float, slot: int) -> Tensor:
        drawn = np.where(coloured, low + (high - low) * uniform(seeds, slot), neutral)
        return torch.from_numpy(drawn.astype(np.float32)).to(video.device)[:, None, None]

    brightness = between(-32.0, 32.0, 0.0, _BRIGHTNESS)
    contrast = between(0.6, 1.4, 1.0, _CONTRAST)
    turn = between(-0.2, 0.2, 0.0, _HUE) * 2 * math.pi
    matrix = contrast * _hue_matrix(turn, between(0.6, 1.4, 1.0, _SATURATION))
    pixels = video.flatten(1, 3)
    mean = pixels.mean(dim=1, keepdim=True)
    # The matrix keeps grey grey, so brightness may be added after it, and the clip's mean turns with its pixels.
    shifted = torch.baddbmm(brightness + mean @ (matrix / contrast - matrix).mT, pixels, matrix.mT)
    return shifted.clamp_(0, 255).round_().to(torch.uint8).view(video.shape)


def _hue_matrix(turn: Tensor, saturation: Tensor) -> Tensor:
    """(B, 3, 3) on RGB columns: to YIQ, turn and stretch the colour plane, and back."""
    to_yiq = _RGB_TO_YIQ.to(turn.device)
    middle = torch.zeros(len(turn), 3, 3, device=turn.device)
    cos, sin = (saturation * turn.cos())[:, 0, 0], (saturation * turn.sin())[:, 0, 0]
    middle[:, 0, 0] = 1
    middle[:, 1, 1], middle[:, 1, 2], middle[:, 2, 1], middle[:, 2, 2] = cos, -sin, sin, cos
    return torch.linalg.inv(to_yiq) @ middle @ to_yiq


def _mel_mask(batch: Batch, seeds: np.ndarray, config: RunConfig) -> Tensor | None:
    """Two stripes of time (up to 1/15 of the frames) and two of frequency (up to 1/8 of the bins) in each clip."""
    audio = config.model.inputs.audio
    if audio is None or audio.kind != "mel" or not config.train.spec_augment:
        return None
    frames, bins = audio.grid
    time = _stripes(seeds, frames, frames / 15, 0) | _stripes(seeds, frames, frames / 15, 1)
    frequency = _stripes(seeds, bins, bins / 8, 2) | _stripes(seeds, bins, bins / 8, 3)
    return torch.from_numpy(time[:, :, None] | frequency[:, None, :]).to(batch.labels.device)


def _stripes(seeds: np.ndarray, length: int, widest: float, number: int) -> np.ndarray:
    """A stripe of 0 to `widest` cells at any place it fits, bool (B, length)."""
    width = np.floor(uniform(seeds, _STRIPES + 2 * number) * (int(widest) + 1))
    first = np.floor(uniform(seeds, _STRIPES + 2 * number + 1) * (length - width + 1))
    cells = np.arange(length)
    return (cells >= first[:, None]) & (cells < (first + width)[:, None])


def _mix(
    inputs: dict[str, Tensor], present: dict[str, Tensor], labels: Tensor, seeds: np.ndarray, alpha: float
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Each clip becomes share * itself + (1 - share) * its partner, share from Beta(alpha, alpha).

    A modality that one of the two lacks is mixed as zeros and counts as present where either has it.
    """
    share = torch.from_numpy(beta.ppf(uniform(seeds, _MIXUP), alpha, alpha).astype(np.float32)).to(labels.device)
    partner = torch.arange(len(labels), device=labels.device) ^ 1
    partner = partner.clamp(max=len(labels) - 1)

    def mixed(values: Tensor, weight: Tensor) -> Tensor:
        weight = weight.view(-1, *[1] * (values.dim() - 1))
        blend = values.float().lerp(values[partner].float(), 1 - weight)
        return blend.round().to(values.dtype) if values.dtype == torch.uint8 else blend

    shown = {name: values * present[name].view(-1, *[1] * (values.dim() - 1)) for name, values in inputs.items()}
    inputs = {name: mixed(values, share) for name, values in shown.items()}
    present = {name: values | values[partner] for name, values in present.items()}
    return inputs, present, mixed(labels, share)
