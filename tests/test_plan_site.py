"""Site files: defaults, places made absolute, and mistakes; credentials never belong in one."""

from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from orchestrator.errors import SpecError, UsageError
from orchestrator.plan.calibration import Calibration, save_calibration
from orchestrator.plan.site import Site, Synthetic, load_site
from orchestrator.track.sqlite import for_mlflow, sqlite_file
from perceiver.data.recipe import Recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes_of(text: str, here: Path) -> list[str]:
    (here / "mine.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_site("mine.yaml")
    return [f"{mistake.line}: {mistake.message}" for mistake in caught.value.mistakes]


def test_the_default_site_keeps_everything_below_the_current_folder(here: Path) -> None:
    site = load_site(None)
    assert site.name == "local"
    assert site.ray_address == "local"
    assert site.storage == str(here / "runs/storage")
    assert site.tracking == f"sqlite:///{here}/runs/mlflow.db"
    assert site.data["synthetic"].url == str(here / "runs/data/synthetic")


@pytest.mark.parametrize(
    "name", ["C#sharp", "run#3 50%41 é", "what?", "my%20runs", "50%", "a b", "日本", "it's [1] & $"]
)
def test_mlflow_finds_the_database_where_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    tracking = load_site(None).tracking
    database = tmp_path / name / "runs" / "mlflow.db"
    assert sqlite_file(tracking) == database
    assert make_url(tracking).database == str(database)
    assert Path(make_url(for_mlflow(tracking)).database or "").absolute() == database


def test_a_databases_uri_is_read_as_sqlalchemy_reads_it(here: Path) -> None:
    for uri in (
        "sqlite:///a%20b.db",
        "sqlite:////x/a#b.db?timeout=3",
        "sqlite+pysqlite:///a.db",
        "sqlite:////50%/x.db",
    ):
        (here / "mine.yaml").write_text(f"tracking: {uri!r}\n")
        tracking = load_site("mine.yaml").tracking
        for each in (uri, tracking, for_mlflow(tracking)):
            assert str(sqlite_file(each)) == make_url(each).database
    assert sqlite_file("postgresql://host/x") is None and sqlite_file("http://host:5000") is None


def test_urls_and_absolute_paths_stay_as_they_are(here: Path) -> None:
    (here / "mine.yaml").write_text(
        "storage: s3://bucket/sweeps\ntracking: http://host:5000\n"
        "data: {a: gs://bucket/a, b: {url: b, labels: /c.csv}}\n"
    )
    site = load_site("mine.yaml")
    assert (site.name, site.storage, site.tracking) == ("mine", "s3://bucket/sweeps", "http://host:5000")
    assert (site.data["a"].url, site.data["b"].url, site.data["b"].labels) == (
        "gs://bucket/a",
        str(here / "b"),
        "/c.csv",
    )
    (here / "mine.yaml").write_text("tracking: sqlite:////srv/mlflow.db\n")
    assert load_site("mine.yaml").tracking == "sqlite:////srv/mlflow.db"


def test_a_data_source_is_what_the_perceiver_opens(here: Path) -> None:
    site = load_site(None)
    assert site.data_source("synthetic") == {
        "url": str(here / "runs/data/synthetic"),
        "labels": None,
        "recipe": Recipe(),
    }


def test_an_unknown_data_set_is_told_with_what_to_add(here: Path) -> None:
    with pytest.raises(UsageError, match=r"does not say where data set birds lies \(it knows: synthetic\)"):
        load_site(None).data_source("birds")


def test_the_synthetic_settings_are_those_of_the_recipe() -> None:
    assert Synthetic().model_dump() == asdict(Recipe())


def test_resources_have_rays_names(here: Path) -> None:
    (here / "mine.yaml").write_text("resources: {cpus: 4, gpus: 0.5, custom: {H200: 1}}\n")
    assert load_site("mine.yaml").worker_resources() == {"CPU": 4, "GPU": 0.5, "H200": 1}
    assert load_site(None).worker_resources() == {"CPU": 1}


def test_an_unknown_site_is_told_with_the_nearest(here: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no site lokal\. Nearest: local"):
        load_site("lokal")
    with pytest.raises(UsageError, match=r"there is no site file absent\.yaml"):
        load_site("absent.yaml")


def test_all_mistakes_of_a_site_file_are_told_at_once(here: Path) -> None:
    found = mistakes_of("storag: x\nworkers: 0\nresources: {gpus: 1.5}\nmemory_per_gpu: lots\ndata: {a: 3}\n", here)
    assert found == [
        "1: storag is not a key here. Nearest: storage",
        "2: workers: 0 is below its least value, 1",
        "3: resources: gpus 1.5: more than one GPU must be a whole number of them",
        "4: memory_per_gpu: expected a number such as 150M, 2.5G or 70GiB, got 'lots'",
        "5: data.a: expected a mapping, got 3",
    ]


def test_workers_that_would_share_a_gpu_are_told(here: Path) -> None:
    (found,) = mistakes_of("workers: 2\nresources: {gpus: 0.5}\n", here)
    assert "resources.gpus 0.5: 2 workers of one trial can't share a GPU" in found


@pytest.mark.parametrize(
    "text",
    [
        "env: {AWS_SECRET_ACCESS_KEY: abc123}\n",
        "env: {MLFLOW_TRACKING_PASSWORD: abc123}\n",
        "env: {HF_TOKEN: abc123}\n",
        "tracking: postgresql://me:abc123@host/db\n",
        "data: {a: 's3://key:abc123@bucket/a'}\n",
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str, here: Path) -> None:
    (found,) = mistakes_of(text, here)
    assert "credentials do not belong in a site file" in found
    assert "abc123" not in found


def test_a_calibration_is_kept_with_the_sites_profile(here: Path) -> None:
    measured = Calibration(clips_per_second=12.5, training_flops=1e9, precision="float32", minutes=4)
    save_calibration("local", measured)
    assert load_site(None).calibrations == [measured]
    assert Site().calibrations == []


def test_a_later_calibration_comes_after_the_earlier_ones(here: Path) -> None:
    for speed in (1.0, 2.0):
        save_calibration("local", Calibration(clips_per_second=speed, training_flops=1e9))
    assert [each.clips_per_second for each in load_site(None).calibrations] == [1.0, 2.0]


def test_a_damaged_profile_is_told_with_what_to_do(here: Path) -> None:
    save_calibration("local", Calibration(clips_per_second=1.0, training_flops=1e9)).write_text("{")
    with pytest.raises(UsageError, match=r"local\.json is no profile of a site: remove it"):
        load_site(None)


@pytest.mark.parametrize(
    "tracking", ["./mlruns", "mlruns", "file:///srv/mlruns", "s3://bucket/x", "sqlite://runs/x.db"]
)
def test_what_is_no_tracker_is_told_with_what_would_be_right(tracking: str, here: Path) -> None:
    (found,) = mistakes_of(f"storage: x\ntracking: {tracking}\n", here)
    assert found.startswith(f'2: tracking: "{tracking}" is')
    assert found.endswith("give a database, sqlite:///runs/mlflow.db, or a server, http://host:5000")


@pytest.mark.parametrize("tracking", ["postgresql+psycopg://host/x", "https://host", "databricks://me", "sqlite:///x"])
def test_trackers_that_mlflow_knows_are_not_refused(tracking: str, here: Path) -> None:
    (here / "mine.yaml").write_text(f"tracking: {tracking}\n")
    load_site("mine.yaml")
