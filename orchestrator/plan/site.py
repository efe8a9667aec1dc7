"""A site: where trials run, where their data lies, where results go. It never changes what is computed.

    site = load_site(None)                 # `local`: Ray on this machine, results below ./runs
    site = load_site("cluster")            # cluster/sites/cluster.yaml
    site = load_site("my/site.yaml")

Relative paths in a site file start from the folder in which the command is called. A site file is
written to no storage, but people share it: credentials come from the environment, and keys that look like one are
refused.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from orchestrator.errors import Mistake, SpecError, UsageError
from orchestrator.plan import document as files
from orchestrator.plan.calibration import Calibration, measured_at
from orchestrator.plan.form import validate
from orchestrator.plan.quantity import Quantity
from orchestrator.plan.resources import Nodes, in_rays_names
from orchestrator.plan.resources import Resources as Resources
from orchestrator.plan.vary import Part
from perceiver.wording import nearest, shown

SHIPPED = Path(__file__).resolve().parents[2] / "cluster" / "sites"
DEFAULT = "local"

_SECRET = re.compile(
    r"secret|password|passwd|token|credential|api_?key|access_?key|private_?key|sas_?key", re.IGNORECASE
)
_SECRET_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")


class Synthetic(Part):
    """A set of made clips in place of recorded ones; made on first use."""

    train_clips: Annotated[int, Field(ge=9, le=1_000_000)] = 108
    """Training clips; multiples of nine hold every pair of sound and sight equally often."""
    eval_clips: Annotated[int, Field(ge=9, le=1_000_000)] = 36
    """Evaluation clips."""
    seconds: Annotated[float, Field(ge=0.5, le=60)] = 4.0
    """Length of a clip."""
    pixels: Annotated[int, Field(ge=16, le=1024, multiple_of=2)] = 64
    """Height and width."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Another seed makes other clips."""


class DataPlace(Part):
    """Where a data set lies."""

    url: Annotated[str, Field(min_length=1)]
    """A folder or fsspec URL in AudioSet's layout: CSVs, and clips anywhere below."""
    labels: str | None = None
    """The label list, class_labels_indices.csv, where it lies apart from the folder."""
    synthetic: Synthetic | None = None
    """Make the set here on first use."""


def _data_place(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


_TRACKERS = ("postgresql", "postgres", "mysql", "mssql", "http", "https", "databricks")
"""What a tracking URI may begin with, beside sqlite:/// and what a plugin of MLflow's brings."""


def _tracker(uri: str) -> str:
    """The URI of a tracker, if MLflow can keep sweeps there."""
    scheme = uri.partition(":")[0]
    kind = scheme.partition("+")[0]
    if kind in _TRACKERS or (kind == "sqlite" and re.match(r"sqlite(\+\w+)?:///.", uri)) or _has_plugin(scheme):
        return uri
    is_folder = scheme == "file" or not (_URL.match(uri) or kind == "sqlite" or uri.endswith(".db"))
    what = "is a folder, in which MLflow can't keep sweeps" if is_folder else "is no tracker"
    raise ValueError(f"{shown(uri)} {what}: give a database, sqlite:///runs/mlflow.db, or a server, http://host:5000")


def _has_plugin(scheme: str) -> bool:
    import importlib.metadata

    return any(scheme == each.name for each in importlib.metadata.entry_points(group="mlflow.tracking_store"))


class Site(Part):
    """Where trials run. The defaults are the site `local`: Ray started on this machine, everything below ./runs."""

    name: Annotated[str, Field(alias="site", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = DEFAULT
    """Its name in messages."""
    ray_address: Annotated[str, Field(min_length=1)] = "local"
    """local: start Ray here. auto, or ray://host:10001: join a cluster."""
    local_cpus: Annotated[int, Field(ge=1)] | None = None
    """Cores for a Ray that is started here; null for as many as this process may use."""
    storage: Annotated[str, Field(min_length=1)] = "runs/storage"
    """Folder or fsspec URL for checkpoints and artifacts: s3://bucket/sweeps, gs://..., a shared folder."""
    tracking: Annotated[str, AfterValidator(_tracker)] = "sqlite:///runs/mlflow.db"
    """MLflow tracking URI: sqlite:///file, postgresql://..., http://host:5000."""
    data: dict[str, Annotated[DataPlace, BeforeValidator(_data_place)]] = Field(
        default_factory=lambda: {"synthetic": DataPlace(url="runs/data/synthetic", synthetic=Synthetic())}
    )
    """Data set name (`data.set`) -> its folder or URL, or a mapping with more."""
    resources: Resources = Resources()
    """What each worker holds."""
    nodes: list[Nodes] = Field(default_factory=list)
    """Nodes that a cluster which grows can get, beside those that are there: [{count: 8, cpus: 64, gpus: 8}]."""
    workers: Annotated[int, Field(ge=1, le=4096)] = 1
    """Workers of a trial; they share its global batch."""
    data_workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes of each worker that read clips; 0 reads in the worker itself."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Trials side by side; null for as many as fit."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Longest time between checkpoints of a trial."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the workers; no secrets."""
    memory_per_gpu: Quantity | None = None
    """Memory of one GPU, such as 141GB; plans flag trials that need more."""
    dollars_per_gpu_hour: Annotated[float, Field(ge=0)] | None = None
    """Price of a GPU for an hour; without GPUs, of a worker."""
    flops_per_second: Quantity | None = None
    """Training FLOPs a worker sustains, assumed for plans where nothing was measured: 200T."""
    calibrations: list[Calibration] = Field(default_factory=list)
    """Throughputs measured here, the newest last; those in the site's profile come after them."""

    model_config = ConfigDict(populate_by_name=True)
    _document: files.Document | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _workers_have_gpus_of_their_own(self) -> "Site":
        if self.workers > 1 and 0 < self.resources.gpus < 1:
            raise ValueError(
                f"resources.gpus {self.resources.gpus:g}: {self.workers} workers of one trial can't share a GPU, since "
                "NCCL refuses; give each a whole one, or workers: 1"
            )
        return self

    def worker_resources(self) -> dict[str, float]:
        """What one worker reserves, in Ray's names."""
        return in_rays_names(self.resources.cpus, self.resources.gpus, self.resources.custom)

    @property
    def is_local(self) -> bool:
        """Whether Ray is started on this machine, so that what this machine lacks nobody else has."""
        return self.ray_address == "local"

    @property
    def source(self) -> str:
        """What to call it where a message begins: its file, if it has one of its own."""
        is_own = self._document is not None and Path(self._document.source).parent != SHIPPED
        return self._document.source if self._document and is_own else f"site {self.name}"

    def mistake(self, path: tuple[str, ...], message: str) -> Mistake:
        """A mistake at its place in the site's file."""
        return self._document.mistake(path, message) if self._document else Mistake(0, 0, message)

    def data_source(self, name: str) -> dict[str, Any]:
        """The fields of `perceiver.data.audioset.DataSource` for a data set.

        Raises:
            UsageError: the site does not say where it lies.
        """
        if name not in self.data:
            known = ", ".join(sorted(self.data)) or "none"
            raise UsageError(
                f"site {self.name} does not say where data set {name} lies (it knows: {known}). "
                f"Add `data: {{{name}: /folder/or/url}}` to the site file"
            )
        from perceiver.data.recipe import Recipe

        place = self.data[name]
        recipe = Recipe(**place.synthetic.model_dump()) if place.synthetic else None
        return {"url": place.url, "labels": place.labels, "recipe": recipe}


def load_site(name: str | Path | None = None) -> Site:
    """A site by its name in cluster/sites or by the path of its file; None is `local`.

    Raises:
        UsageError: there is no such site.
        SpecError: the file has mistakes; all of them.
    """
    path = _find(str(name or DEFAULT))
    document = files.read(path)
    site = validate(replace(document, data={"site": path.stem} | document.data), Site)
    mistakes = [*_secrets(document.data, (), document)]
    if mistakes:
        raise SpecError(document.source, mistakes)
    site = site.model_copy(update={"calibrations": [*site.calibrations, *measured_at(site.name)]})
    site._document = document
    return _with_absolute_paths(site)


def _find(name: str) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UsageError(f"there is no site file {name}")
        return Path(name)
    path = SHIPPED / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in SHIPPED.glob("*.yaml"))
        raise UsageError(
            f"there is no site {name}. Nearest: {nearest(name, known)}. All: {', '.join(known)}; "
            "or give the path of a site file"
        )
    return path


def _secrets(data: Any, path: tuple[str | int, ...], document: files.Document) -> list[Mistake]:
    """Values that look like credentials; what they are is not repeated."""
    if isinstance(data, dict):
        found = [mistake for key, value in data.items() for mistake in _secrets(value, (*path, key), document)]
        named = [key for key in data if _SECRET.search(str(key))]
        return found + [document.mistake((*path, key), f"{_dotted((*path, key))}: {_NO_SECRETS}") for key in named]
    if isinstance(data, str) and _SECRET_URL.search(data):
        return [document.mistake(path, f"{_dotted(path)}: a URL with a password in it; {_NO_SECRETS}")]
    return []


_NO_SECRETS = "credentials do not belong in a site file; set them in the environment of the command and of the cluster"


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in path)


def _with_absolute_paths(site: Site) -> Site:
    data = {
        name: place.model_copy(update={"url": absolute(place.url), "labels": place.labels and absolute(place.labels)})
        for name, place in site.data.items()
    }
    update = {"storage": absolute(site.storage), "tracking": _absolute_tracking(site.tracking), "data": data}
    return site.model_copy(update=update)


def absolute(place: str) -> str:
    """A path made absolute from the current folder; a URL as it is."""
    return place if _URL.match(place) else str(Path(place).expanduser().absolute())


def _absolute_tracking(uri: str) -> str:
    """sqlite:///relative becomes sqlite:////absolute; other URIs as they are."""
    prefix = "sqlite:///"
    path = uri.removeprefix(prefix)
    if path == uri or path.startswith("/"):
        return uri
    folder, _, rest = path.partition("/") if path.startswith("~") else (".", "", path)
    return f"{prefix}{in_uri(absolute(folder))}/{rest}"


def in_uri(path: str) -> str:
    """A path as a database's URI has it: there % begins a code, and ? a query."""
    return path.replace("%", "%25").replace("?", "%3F")
