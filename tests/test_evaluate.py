"""Scores of several ranks add up to those of one, each file counted once."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from test_train import config

from perceiver.data.audioset import DataSource
from perceiver.data.dataset import open_data
from perceiver.evaluate import evaluate, tally
from perceiver.model.perceiver import build_model


@pytest.mark.parametrize("world", [2, 3, 12])
def test_ranks_together_score_what_one_alone_does(synthetic_source: DataSource, world: int) -> None:
    torch.manual_seed(0)
    settings, device = config(eval__clips=2), torch.device("cpu")
    data = open_data(synthetic_source, settings, "eval")
    model = build_model(settings.model)
    torch.nn.init.normal_(list(model.parameters())[-2])  # the last layer starts at zero, and so would every score
    alone = evaluate(model, data, settings, device)
    parts = [tally(model, data, settings, device, rank=rank, world=world) for rank in range(world)]
    assert np.array_equal(sum((part.counts > 0).astype(int) for part in parts), np.ones(9))
    assert all(part.sums[""].std() > 0 for part in parts if part.counts.any())
    together = reduce(add, parts).evaluation(data)
    assert together.files == alone.files == 9
    assert together.metrics == pytest.approx(alone.metrics, rel=1e-5)
    assert together.overall.per_class_AP == pytest.approx(alone.overall.per_class_AP, nan_ok=True)
