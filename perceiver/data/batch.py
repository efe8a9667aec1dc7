"""A batch of clips as it goes from the loader over augmentation to the model."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor


class BadClip(NamedTuple):
    """A clip that could not be read: its id and path, the reason's class, the whole message, and which row it is."""

    id: str
    path: str
    reason: str
    message: str
    split: str = "train"
    start: float = 0.0
    """Seconds into its source: a video may give several clips."""

    @property
    def row(self) -> tuple[str, str, float]:
        """What names its row, also in another attempt of the trial."""
        return self.split, self.id, self.start


@dataclass
class Batch:
    """B clips. Legend: T frames, H = W pixels, S samples, K classes.

    inputs   video uint8 (B, T, H, W, 3), audio float32 (B, S), nominally in [-1, 1]; zeros where a clip lacks one
    present  video, audio: bool (B,), whether the clip has that modality
    labels   float32 (B, K)          ids     B ids             rows    int64 (B,), index in `data.clips`
    seeds    int64 (B,), on the CPU: what augmentation draws from         aspect  float32 (B,), width / height as shown
    padded   clips shorter than they should be                 bad     clips found unreadable since the last batch
    """

    inputs: dict[str, Tensor]
    present: dict[str, Tensor]
    labels: Tensor
    ids: list[str]
    rows: Tensor
    seeds: Tensor
    aspect: Tensor
    padded: int = 0
    bad: list[BadClip] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def having(self) -> dict[str, int]:
        """How many of the clips have each modality."""
        return {name: int(there.sum()) for name, there in self.present.items()}

    def to(self, device: torch.device | str) -> "Batch":
        """The batch with inputs, presence and labels on a device; what only the CPU needs stays there."""
        inputs = {name: value.to(device, non_blocking=True) for name, value in self.inputs.items()}
        present = {name: value.to(device, non_blocking=True) for name, value in self.present.items()}
        return replace(self, inputs=inputs, present=present, labels=self.labels.to(device, non_blocking=True))

    def split(self, size: int) -> Iterator["Batch"]:
        """Consecutive batches of at most `size` clips; `bad` and `padded` go with the first."""
        for first in range(0, len(self), size):
            part = self[first : first + size]
            yield replace(part, padded=self.padded, bad=self.bad) if first == 0 else part

    def __getitem__(self, part: slice) -> "Batch":
        """The clips of a part, without `bad` and `padded`."""
        inputs, present = ({name: value[part] for name, value in held.items()} for held in (self.inputs, self.present))
        rest = (self.labels, self.ids, self.rows, self.seeds, self.aspect)
        return Batch(inputs, present, *(values[part] for values in rest))
