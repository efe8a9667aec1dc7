"""Optimizers, learning-rate schedules and the moving average of weights."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from perceiver.config import TrainConfig

STEP_BOUNDARIES = (0.70, 0.85, 0.95)
"""Where schedule "step" divides the rate by ten: epochs 84, 102 and 114 of 120 (paper, 4.1)."""


class Lamb(torch.optim.Optimizer):
    """LAMB (You et al. 2019, arXiv 1904.00962) as DeepMind's Perceiver trainer chains it from optax.

    Adam's direction with bias correction, plus decoupled weight decay, times the trust ratio |weights| / |direction|
    (one where either is zero), times the learning rate. Not in torch; timm's also clips gradients on its own and leaves
    the trust ratio out where there is no decay, unless told otherwise.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(params, group)
        return loss

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """All parameters of a group at once: on a GPU a few kernels instead of ten for every tensor."""
        (beta1, beta2), grads = group["betas"], [param.grad for param in params]
        for param in params:
            if not self.state[param]:
                self.state[param].update(step=0, first=torch.zeros_like(param), second=torch.zeros_like(param))
        states = [self.state[param] for param in params]
        for state in states:
            state["step"] += 1
        firsts, seconds = [state["first"] for state in states], [state["second"] for state in states]
        torch._foreach_lerp_(firsts, grads, 1 - beta1)
        torch._foreach_mul_(seconds, beta2)
        torch._foreach_addcmul_(seconds, grads, grads, 1 - beta2)
        directions = torch._foreach_div(firsts, [1 - beta1 ** state["step"] for state in states])
        roots = torch._foreach_div(seconds, [1 - beta2 ** state["step"] for state in states])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_div_(directions, roots)
        if group["weight_decay"]:
            torch._foreach_add_(directions, params, alpha=group["weight_decay"])
        sizes = torch.stack(torch._foreach_norm(params)), torch.stack(torch._foreach_norm(directions))
        trust = torch.where((sizes[0] > 0) & (sizes[1] > 0), sizes[0] / sizes[1], 1.0)
        torch._foreach_mul_(directions, list(trust.unbind()))
        torch._foreach_add_(params, directions, alpha=-group["lr"])


def build_optimizer(model: nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a config. Weight decay spares biases and norms, and nothing else.

    Latents, learned positions and embeddings are decayed like weights, DeepMind's default (`decay_pos_embs`).
    """
    spared = {
        id(param) for module in model.modules() if isinstance(module, nn.LayerNorm) for param in module.parameters()
    }
    spared |= {id(param) for name, param in model.named_parameters() if name.endswith("bias")}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in spared], "weight_decay": train.weight_decay},
        {"params": [p for p in model.parameters() if id(p) in spared], "weight_decay": 0.0},
    ]
    if train.optimizer == "lamb":
        return Lamb(groups, lr=train.lr)
    return torch.optim.AdamW(groups, lr=train.lr)


def learning_rate(step: int, total_steps: int, train: TrainConfig) -> float:
    """The learning rate of optimizer step `step`, counted from 0, of `total_steps`.

    A linear warm-up multiplies the schedule, so that the schedule's landmarks stay at their share of the training.
    """
    done = step / total_steps
    if train.schedule == "step":
        factor = 0.1 ** sum(done >= boundary for boundary in STEP_BOUNDARIES)
    elif train.schedule == "cosine":
        factor = _cosine(done)
    elif train.schedule == "constant_cosine":
        factor = _cosine(max(0.0, 2 * done - 1))
    else:
        factor = 1.0
    warm = min(1.0, (step + 1) / train.warmup_steps) if train.warmup_steps else 1.0
    return train.lr * factor * warm


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameter groups the rate of the coming step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def build_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the model's weights: a module to call `update_parameters(model)` on after every
    step, and to evaluate. The first update copies the weights; each later one keeps `decay` of the average.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
