"""Where autocast must not choose the data types."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def as_given(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which operations keep their arguments' types. The meta device has no autocast to switch off."""
    device = tensor.device.type
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)
