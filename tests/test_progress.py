"""What takes long says how far it is; what is quick says nothing."""

import io
import time

import pytest

from orchestrator import progress
from orchestrator.progress import Ticker


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.01)


def test_lines_come_while_one_call_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_FIRST", 0.01)
    with Ticker("listing mine", "files") as ticker:
        time.sleep(0.2)
        ticker.show(1_500, 2_000)
        time.sleep(0.2)
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == "" and lines[0] == "  listing mine, 0 s" and lines[-1] == "  1,500 of 2,000 files, 0 s"


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Ticker("listing mine", "files") as ticker:
        ticker.show(1, 2)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_that_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_FIRST", 0.0)
    with Ticker("listing mine", "files") as ticker:
        ticker.show(1_500, 2_000)
        time.sleep(0.4)
    assert "1500/2000" in screen.getvalue()
