"""The rules of the house: which package may import which, and one home for each heavy library."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

LIGHT = {"perceiver.config", "perceiver.environment", "perceiver.errors", "perceiver.wording"}
LEAVES = {"orchestrator.errors", "orchestrator.console", "orchestrator.progress"}

MAY_IMPORT = {
    "perceiver": {"perceiver"},
    "cluster": {"cluster"},
    "orchestrator/plan": {"orchestrator.plan", *LEAVES, *LIGHT},
    "orchestrator/track": {"orchestrator.track", "orchestrator.plan", *LEAVES, *LIGHT},
    "orchestrator/run": {"orchestrator.run", "orchestrator.track", "orchestrator.plan", *LEAVES, *LIGHT},
    "orchestrator/rank": {"orchestrator.rank", "orchestrator.track", "orchestrator.plan", *LEAVES, *LIGHT},
}

EXCEPTIONS = {
    ("orchestrator/run/worker.py", "perceiver"),
    ("orchestrator/run/artifacts.py", "perceiver"),
    ("orchestrator/run/group.py", "perceiver.ranks"),
    ("orchestrator/run/data_check.py", "perceiver.data"),
    ("orchestrator/run/data_init.py", "perceiver.data"),
    ("orchestrator/run/file_pool.py", "perceiver.data"),
    ("orchestrator/run/ingest.py", "perceiver.data"),
    ("orchestrator/run/gate_data.py", "perceiver.data"),
    ("orchestrator/run/gate_modalities.py", "perceiver.data"),
    # These load neither torch nor av.
    ("orchestrator/plan/data.py", "perceiver.data.audioset"),
    ("orchestrator/plan/data.py", "perceiver.data.digest"),
    ("orchestrator/plan/remembered_code.py", "perceiver.data.cache"),
    ("orchestrator/plan/site.py", "perceiver.data.recipe"),
}

HOMES = {
    "ray": ("orchestrator/run", "cluster"),
    "mlflow": ("orchestrator/track", "orchestrator/rank"),
    "torch": ("perceiver", "orchestrator/run/worker.py"),
    "torchaudio": ("perceiver",),
    "av": ("perceiver",),
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources() -> Iterator[tuple[str, Path]]:
    for package in ("perceiver", "orchestrator", "cluster"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_imports_between_our_packages_go_one_way() -> None:
    broken = []
    for name, path in sources():
        rules = [allowed for folder, allowed in MAY_IMPORT.items() if name.startswith(f"{folder}/")]
        for imported in imports(path):
            ours = imported.split(".")[0] in ("perceiver", "orchestrator", "cluster")
            excepted = any(name == file and within(imported, package) for file, package in EXCEPTIONS)
            if ours and rules and not excepted and not any(within(imported, package) for package in rules[0]):
                broken.append(f"{name} imports {imported}")
    assert not broken, "\n".join(broken)


def test_each_heavy_library_has_one_home() -> None:
    broken = []
    for name, path in sources():
        for imported in imports(path):
            homes = HOMES.get(imported.split(".")[0])
            if homes and not any(name == home or name.startswith(f"{home}/") for home in homes):
                broken.append(f"{name} imports {imported}")
    assert not broken, "\n".join(broken)
