"""What a trial measures of itself between two reports: its loss and speed, and what it has cost."""

import time

import psutil
import torch

from perceiver.errors import NumericError
from perceiver.ranks import Ranks


class Stretch:
    """The steps since the last report. Losses stay on the device: a look at each would stop a GPU at every step.

    `losses` is the trial's own list, so that a checkpoint in the middle of a stretch holds it.
    """

    def __init__(self, losses: list[torch.Tensor], batch_size: int, ranks: Ranks) -> None:
        self._losses, self._batch_size, self._ranks = losses, batch_size, ranks
        self._checked = len(losses)
        self._began: float | None = None  # no speed is told of the first steps, which hold the warm-up
        self._steps = 0
        self._ids: list[list[str]] = []

    def add(self, loss: torch.Tensor, ids: list[str]) -> None:
        """This rank's part of a step's mean loss (a scalar on the device) and its clips."""
        self._losses.append(loss)
        self._ids.append(ids)
        self._steps += 1

    def check(self) -> None:
        """Adds up what the ranks have of the losses since the last check; raises NumericError if one is not finite."""
        new = self._losses[self._checked :]
        if new:
            self._losses[self._checked :] = self._ranks.sum(torch.stack(new)).unbind()
        for step, loss in enumerate(self._losses[self._checked :]):
            if not torch.isfinite(loss):  # on all ranks, since they have the same sum
                ids = [name for part in self._ranks.gather(self._ids[step]) for name in part]
                shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
                raise NumericError(
                    f"the training loss is {loss.item()} on the clips {shown}; a smaller train.lr may help"
                )
        self._checked, self._ids = len(self._losses), []

    def end(self) -> dict[str, float]:
        """The mean loss since the last report, and the speed since `resume`; waits for the device."""
        metrics = {"train/loss": torch.stack(self._losses).mean().item()}
        if self._began is not None:
            metrics["train/clips_per_second"] = self._steps * self._batch_size / (time.monotonic() - self._began)
        self._losses.clear()
        self._checked = 0
        return metrics

    def resume(self) -> None:
        """The clock starts again: what was done since the last step was no training."""
        self._began, self._steps = time.monotonic(), 0


class Costs:
    """What a trial has cost since it was started here: everything counts, evaluation and saving too."""

    def __init__(self, device: torch.device, gpus: float) -> None:
        self._device, self._gpus = device, gpus
        self._lap = time.monotonic()
        self._peak = 0
        if device.type == "cuda":  # a process that trains one trial after the other
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)

    def lap(self) -> float:
        """Seconds since the last call."""
        before, self._lap = self._lap, time.monotonic()
        return self._lap - before

    def metrics(self, seconds: float) -> dict[str, float]:
        """Costs after so many seconds in all attempts; on a CPU the peak is that of the moments of asking."""
        if self._device.type == "cuda":
            self._peak = torch.cuda.max_memory_allocated(self._device)
        else:
            self._peak = max(self._peak, psutil.Process().memory_info().rss)
        hours = seconds / 3600
        return {"cost/hours": hours, "cost/gpu_hours": hours * self._gpus, "cost/peak_memory_bytes": float(self._peak)}
