"""Fixtures that several topics share."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from perceiver.data.audioset import DataSource
from perceiver.data.recipe import Recipe

settings.register_profile("ci", derandomize=True)  # new examples are for people who can look at what they break
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, instead of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on this machine; one for all tests, since fsspec keeps its connections."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a new bucket; credentials and the endpoint are in the environment, as a user would give them."""
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (keys | {"AWS_ENDPOINT_URL": s3_server}).items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
