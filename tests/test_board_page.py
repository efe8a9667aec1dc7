"""The board as one self-contained HTML page."""

from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sweep_maker import Made, empty_store, record_sweep, replicates

from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.rank.board import Board, board
from orchestrator.rank.page import make_page, write_page

_NEVER_CLOSED = {"meta", "br"}


class Page(HTMLParser):
    """Collects a page's text and its references, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.references: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in _NEVER_CLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def ranked(tmp_path: Path) -> Board:
    tracking = empty_store(tmp_path)
    trials = [
        *replicates("baseline", [0.431, 0.432, 0.433]),
        *replicates("a=1", [0.441, 0.4422, 0.4429]),
        Made("baseline", 0, 0.46, role="final"),
    ]
    record_sweep(tracking, "colours", trials, question="Is <red> better & faster?")
    return board("colours", Site(tracking=tracking))


def test_the_page_holds_question_verdict_table_and_picture(ranked: Board) -> None:
    page = Page(make_page(ranked, datetime(2026, 11, 22)))
    for expected in (
        "Is <red> better & faster?",
        "a=1 beats the baseline by +1.0",
        "44.2 ±0.2",
        "differences paired by seed; p corrected for 1 comparison",
        "Final runs",
        "Again: sweep report colours",
        "mAP in percent",
    ):
        assert expected in page.text


def test_the_page_needs_nothing_else(ranked: Board) -> None:
    text = make_page(ranked, datetime(2026, 11, 22))
    assert all(reference.startswith("#") for reference in Page(text).references)
    assert "<script" not in text and "@import" not in text and "url(http" not in text


def test_the_same_board_gives_the_same_page(ranked: Board) -> None:
    moment = datetime(2026, 11, 22)
    assert make_page(ranked, moment) == make_page(ranked, moment)


def test_a_sweep_without_results_has_a_page_without_a_picture(tmp_path: Path) -> None:
    tracking = empty_store(tmp_path)
    record_sweep(tracking, "new", [Made("baseline", 0, None, status="RUNNING")])
    path = tmp_path / "page.html"
    write_page(board("new", Site(tracking=tracking)), path)
    page = Page(path.read_text())
    assert "No configuration has all its seeds finished." in page.text and "<svg" not in path.read_text()


def test_a_page_that_cannot_be_written_is_told(ranked: Board, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written: No such file or directory"):
        write_page(ranked, tmp_path / "nowhere" / "page.html")
