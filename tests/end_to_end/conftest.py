"""A user's folder for the tests of whole commands."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from workplace import Workplace

from perceiver.data.audioset import DataSource


@pytest.fixture
def workplace(tmp_path: Path, synthetic_source: DataSource) -> Workplace:
    """A folder with a site file whose synthetic set is made already."""
    assert synthetic_source.recipe is not None
    recipe = vars(synthetic_source.recipe)
    site = {"data": {"synthetic": {"url": synthetic_source.url, "synthetic": recipe}}}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    return Workplace(tmp_path)


@pytest.fixture
def wait_for() -> Callable[["subprocess.Popen[str]", str], list[str]]:
    """Reads a running verb's output until a line holds a text; returns the lines."""

    def read(process: "subprocess.Popen[str]", text: str) -> list[str]:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if text in line:
                return lines
        raise AssertionError(f"{text!r} was never printed:\n{''.join(lines)}")

    return read
