"""The code digest is remembered in the user's cache folder: following every name takes half a second of each plan.

It counts as long as no source has changed: neither the package's nor those that follow its names. Where the folder
can't be used or holds something else, the digest is found anew.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import perceiver.errors
from orchestrator.plan import closure, sources
from perceiver.data.cache import cache_folder

PACKAGE = Path(perceiver.errors.__file__).parent


def remembered_digest(package: Path) -> str:
    """`closure_digest` of the package in a folder."""
    folder, key = cache_folder(), _stamp(package)
    kept = folder / f"code-{hashlib.sha256(str(package).encode()).hexdigest()[:12]}.json" if folder else None
    with suppress(OSError, ValueError, TypeError, KeyError):
        if kept is not None and (found := json.loads(kept.read_text()))["sources"] == key:
            return str(found["digest"])
    digest = closure.closure_digest(package)
    with suppress(OSError):
        if kept is not None:
            beside = kept.with_suffix(f".{os.getpid()}.part")
            beside.write_text(json.dumps({"sources": key, "digest": digest}))
            beside.replace(kept)
    return digest


def _stamp(package: Path) -> str:
    """Another one once any source has changed."""
    own = [Path(module.__file__ or "") for module in (closure, sources)]
    stamps = []
    for path in [*sorted(package.rglob("*.py")), *own]:
        about = path.stat()
        stamps.append([str(path), about.st_size, about.st_mtime_ns, about.st_ctime_ns])
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
