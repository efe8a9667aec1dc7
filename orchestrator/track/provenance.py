"""Where the code that runs came from."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def code_version() -> str:
    """Commit of the checkout that runs, with `+changes` if it has any; `unknown` outside a git checkout."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return "unknown"
    return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
