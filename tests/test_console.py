"""Tables on terminals of any width: names stay whole, columns fall from the right."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

SCRIPT = """
from orchestrator.console import Column, print_table
name = "model.inputs.video.embedding=2 model.inputs.audio.mel_positions=1d train.video_dropout=0.1"
rows = [[name, "1", "109.0M", "new"], [name[:-1] + "2", "1", "109.0M", "new"]]
print_table([Column("configuration"), Column("seeds", right=True), Column("params"), Column("state")], rows)
"""


def on_terminal(columns: int) -> str:
    """What the script prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        stdout=theirs,
        check=True,
        cwd=Path(__file__).parent.parent,
        env=environment | {"NO_COLOR": "1", "TERM": "xterm"},
        timeout=60,
    )
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_long_name_is_folded_at_its_spaces_and_never_cut(columns: int) -> None:
    said = on_terminal(columns)
    assert "…" not in said
    assert max(len(line) for line in said.splitlines()) <= columns
    assert {"train.video_dropout=0.1", "train.video_dropout=0.2", "model.inputs.audio.mel_positions=1d"} <= set(
        said.split()
    )
    assert ("state" in said) == (columns > 60)
    assert (len(said.splitlines()) == 3) == (columns == 200)
