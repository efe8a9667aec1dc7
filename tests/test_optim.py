"""LAMB against the published update, which parameters decay, schedules, and the average of weights."""

import math
from itertools import pairwise

import pytest
import torch
from model_maker import clips, stir, tiny
from torch import Tensor, nn

from perceiver.config import TrainConfig
from perceiver.model.perceiver import build_model
from perceiver.optim import Lamb, build_average, build_optimizer, learning_rate, set_learning_rate


def reference_lamb(weights: Tensor, grads: list[Tensor], lr: float, decay: float) -> Tensor:
    """You et al. 2019, algorithm 2, with phi the identity: one tensor at a time, in the paper's letters."""
    m, v, x = torch.zeros_like(weights), torch.zeros_like(weights), weights.clone()
    for t, g in enumerate(grads, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        r = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-6)
        u = r + decay * x
        ratio = x.norm() / u.norm() if x.norm() > 0 and u.norm() > 0 else 1.0
        x = x - lr * ratio * u
    return x


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb_makes_the_published_update(decay) -> None:
    torch.manual_seed(0)
    starts = [torch.randn(5, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)]
    params = [nn.Parameter(start.clone()) for start in starts]
    grads = [[torch.randn_like(start) for _ in range(6)] for start in starts]
    optimizer = Lamb(params, lr=0.01, weight_decay=decay)
    for step in range(6):
        for param, sequence in zip(params, grads, strict=True):
            param.grad = sequence[step].clone()
        optimizer.step()
    for param, start, sequence in zip(params, starts, grads, strict=True):
        assert torch.allclose(param, reference_lamb(start, sequence, 0.01, decay), rtol=1e-12, atol=1e-14)


def test_lamb_leaves_parameters_without_a_gradient_alone() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Lamb([used, unused], lr=0.1, weight_decay=0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert not torch.equal(used, torch.ones(2))
    assert torch.equal(unused, torch.ones(2))


@pytest.mark.parametrize("name", ["lamb", "adamw"])
def test_a_restored_optimizer_continues_exactly(name, tmp_path) -> None:
    model, train = stir(build_model(tiny())), TrainConfig(optimizer=name, weight_decay=0.1)
    inputs = clips(model.config)

    def steps(count: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()

    optimizer = build_optimizer(model, train)
    steps(2, model, optimizer)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    steps(2, model, optimizer)

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    restored = build_model(tiny())
    restored.load_state_dict(state["model"])
    restored_optimizer = build_optimizer(restored, train)
    restored_optimizer.load_state_dict(state["optimizer"])
    steps(2, restored, restored_optimizer)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in restored.state_dict().items())


@pytest.mark.parametrize("name", ["lamb", "adamw"])
def test_decay_spares_biases_and_norms_and_nothing_else(name) -> None:
    model = build_model(tiny(inputs__video__positions="learned", readout="query"))
    optimizer = build_optimizer(model, TrainConfig(optimizer=name, weight_decay=0.1))
    decayed = {id(param) for group in optimizer.param_groups for param in group["params"] if group["weight_decay"]}
    names = {name for name, param in model.named_parameters() if id(param) in decayed}
    spared = {name for name, _ in model.named_parameters()} - names
    assert {"encoder.latents", "tokens.embeddings.audio", "tokens.positions.video.table", "readout.query"} <= names
    assert all(name.endswith(".bias") or "norm." in name for name in spared)
    assert not any(name.endswith("bias") or "norm" in name for name in names)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("name", ["lamb", "adamw"])
def test_both_optimizers_lower_the_loss(name) -> None:
    torch.manual_seed(0)
    model = build_model(tiny())
    optimizer = build_optimizer(model, TrainConfig(optimizer=name, lr=0.01 if name == "adamw" else 0.03))
    inputs, targets = clips(model.config), torch.eye(3, 5)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)
    assert losses[-1] < 0.8 * losses[0]


def rates(total: int, **train) -> list[float]:
    return [learning_rate(step, total, TrainConfig(lr=1.0, **train)) for step in range(total)]


def test_the_step_schedule_divides_by_ten_at_the_papers_epochs() -> None:
    """84, 102 and 114 of 120."""
    by_epoch = rates(120, schedule="step")
    assert by_epoch == pytest.approx([1.0] * 84 + [0.1] * 18 + [0.01] * 12 + [0.001] * 6)


def test_constant_cosine_is_flat_for_half_and_then_falls_to_zero() -> None:
    values = rates(100, schedule="constant_cosine")
    assert values[:51] == [1.0] * 51
    assert values[75] == pytest.approx(0.5)
    assert values[-1] == pytest.approx(0.001, abs=1e-3)
    assert all(later < earlier for earlier, later in pairwise(values[50:]))


def test_cosine_and_constant() -> None:
    assert rates(10, schedule="constant") == [1.0] * 10
    assert rates(4, schedule="cosine") == pytest.approx([1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)])


def test_warm_up_multiplies_the_schedule_and_ends() -> None:
    assert rates(8, schedule="constant", warmup_steps=4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    assert rates(120, schedule="step", warmup_steps=4)[84] == pytest.approx(0.1)


def test_the_rate_reaches_every_parameter_group() -> None:
    optimizer = build_optimizer(build_model(tiny()), TrainConfig())
    set_learning_rate(optimizer, 0.125)
    assert {group["lr"] for group in optimizer.param_groups} == {0.125}


def test_the_average_starts_as_a_copy_and_then_moves_by_its_decay() -> None:
    model = stir(build_model(tiny()))
    average = build_average(model, decay=0.9)
    average.update_parameters(model)
    first = model.encoder.latents.detach().clone()
    assert torch.equal(average.module.encoder.latents, first)
    with torch.no_grad():
        model.encoder.latents.add_(1.0)
    average.update_parameters(model)
    assert torch.allclose(average.module.encoder.latents, first + 0.1, atol=1e-6)
    inputs = clips(model.config)
    assert torch.equal(average(inputs), average.module(inputs))
