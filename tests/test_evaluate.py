"""The evaluation: every file once, the clips that cover it averaged, and no score that is not a number."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from perceiver.config import RunConfig, load, with_changes
from perceiver.data.audioset import DataSource
from perceiver.data.dataset import DataSet, open_data
from perceiver.data.loading import eval_batches
from perceiver.errors import NumericError
from perceiver.evaluate import evaluate, tally
from perceiver.model.perceiver import Perceiver, build_model
from perceiver.ranks import Ranks

BASE = Path(__file__).parent.parent / "sweeps" / "base" / "tiny.yaml"
CPU = torch.device("cpu")


@pytest.fixture
def config() -> RunConfig:
    return with_changes(
        load(BASE), {"model.classes": 9, "model.latents": 8, "model.latent_channels": 16, "eval.clips": 3}
    )


@pytest.fixture
def data(config: RunConfig, synthetic_source: DataSource) -> DataSet:
    return open_data(synthetic_source, config, "eval")


@pytest.fixture
def model(config: RunConfig) -> Perceiver:
    torch.manual_seed(0)
    model = build_model(config.model)
    torch.nn.init.normal_(model.readout.logits.weight)
    return model


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_scores_are_averaged_over_a_files_clips(average, config, data, model) -> None:
    config = with_changes(config, {"eval.average": average})
    scores: dict[int, list[np.ndarray]] = {}
    with torch.no_grad():
        for batch in eval_batches(data, config):
            logits = model(batch.inputs, present=batch.present)
            for row, logit in zip(batch.rows.tolist(), logits, strict=True):
                scores.setdefault(row, []).append((logit.sigmoid() if average == "probabilities" else logit).numpy())
    assert [len(scores[row]) for row in range(len(data))] == [3] * len(data)
    means = np.stack([np.mean(scores[row], axis=0, dtype=np.float64) for row in range(len(data))])
    found = evaluate(model, data, config, CPU)
    assert found.files == len(data)
    assert found.metrics["eval/mAP"] == pytest.approx(average_precision_score(data.labels(), means), abs=1e-12)


def test_scores_that_are_not_finite_name_the_clips(config, data, model) -> None:
    torch.nn.init.constant_(model.readout.logits.bias, float("nan"))
    with pytest.raises(NumericError, match=r"scores are NaN or infinite on the clips eval000000"):
        evaluate(model, data, config, CPU)


@pytest.mark.parametrize("world", [2, 12])
def test_ranks_together_score_every_file_once(world, config, data, model) -> None:
    """More ranks than files, too: the sum of what each finds is what one finds alone."""
    alone = tally(model, data, config, CPU, 0, Ranks())
    parts = [tally(model, data, config, CPU, 0, Ranks(rank, world)) for rank in range(world)]
    assert np.array_equal(sum((part.counts > 0).astype(int) for part in parts), np.ones(len(data)))
    for view, total in alone.sums.items():
        assert sum(part.sums[view] for part in parts) == pytest.approx(total, rel=1e-5)
    assert sum(part.loss for part in parts) == pytest.approx(alone.loss, rel=1e-5)
