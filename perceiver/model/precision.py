"""What autocast does to data types, and where it must not choose them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def as_given(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which operations keep their arguments' types. The meta device has no autocast to switch off."""
    device = tensor.device.type
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)


def for_products(tensor: Tensor) -> Tensor:
    """The tensor in the type in which matrix products are made: autocast's where that is on, else its own."""
    device = tensor.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))
