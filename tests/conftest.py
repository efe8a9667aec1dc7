"""Fixtures that several topics share."""

import os
from pathlib import Path

import pytest

from perceiver.data.audioset import DataSource
from perceiver.data.recipe import Recipe


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real clips beside the checkout (or SWEEP_TEST_DATA); tests that need it skip where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SWEEP_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set SWEEP_TEST_DATA to a folder with media/, stamps/ and audioset/")
    return folder


@pytest.fixture(scope="session")
def synthetic_source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """A small synthetic set, made once: 18 training and 9 evaluation clips of two seconds, 9 classes."""
    from perceiver.data.synthetic import ensure_synthetic

    recipe = Recipe(train_clips=18, eval_clips=9, seconds=2.0, pixels=32)
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    ensure_synthetic(str(folder), recipe)
    return DataSource(str(folder), recipe=recipe)
