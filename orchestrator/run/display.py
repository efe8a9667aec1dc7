"""What `sweep run` shows while it runs. Runs on: the driver.

On a terminal a bar, the running trials and their newest scores; piped, a line for each thing that happened.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.console import console
from orchestrator.plan.spec import Score
from orchestrator.run.booking import Booking
from orchestrator.run.upcoming import Planned, Upcoming


class Silent:
    """Shows nothing: for callers from Python. The others say what they show."""

    @contextmanager
    def showing(self, upcoming: Upcoming) -> Iterator[None]:
        """Shown for as long as the context lasts."""
        yield

    def note(self, line: str) -> None:
        """Something that a user must know of how the sweep goes."""

    def report(self, booking: Booking, report: dict[str, Any]) -> None:
        """A worker's report."""

    def saving(self, running: int) -> None:
        """The first Ctrl-C."""

    def trouble(self, message: str | None) -> None:
        """The tracker does not take what is written, or does again."""


class Lines(Silent):
    """A line for each start, evaluation and end."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._trouble: str | None = None
        self._upcoming: Upcoming = Planned({})

    @contextmanager
    def showing(self, upcoming: Upcoming) -> Iterator[None]:
        """Counts what is there already."""
        self._upcoming = upcoming
        yield

    def note(self, line: str) -> None:
        """On a line of its own."""
        self._say(line)

    def report(self, booking: Booking, report: dict[str, Any]) -> None:
        """One line for what is news."""
        state = report["state"]
        if state == "started":
            continues = f"continues at {report['resumed']:.0%}" if report["resumed"] else "starts"
            self._print(booking, f"{continues} on {report['node']}")
        elif state in ("finished", "stopped"):
            how = f"stopped by {booking.stop}" if state == "stopped" else state
            self._print(booking, f"{how} ({self._done} of {self._upcoming.expected})")
        elif state in ("failed", "interrupted"):
            self._print(booking, _outcome(report))
        elif self._score.metric in (report["latest"] or {}):
            self._print(booking, f"{report['fraction']:4.0%}  {_scores(report['latest'], self._score)}")

    def saving(self, running: int) -> None:
        """Says what is waited for."""
        self._say(_saving(running))

    def trouble(self, message: str | None) -> None:
        """Says it once."""
        if message != self._trouble and message is not None:
            self._say(f"! {message} What is to be recorded waits for it.")
        self._trouble = message

    @property
    def _done(self) -> int:
        return sum(booking.there for booking in self._upcoming.bookings.values())

    def _print(self, booking: Booking, what: str) -> None:
        self._say(f"  {booking.trial.id}  {booking.trial.configuration}  seed {booking.trial.seed}  {what}")

    def _say(self, line: str) -> None:
        print(line, flush=True)


class Screen(Lines):
    """A bar and a line per running trial, redrawn in place."""

    def __init__(self, score: Score) -> None:
        super().__init__(score)
        self._running: dict[str, tuple[Booking, dict[str, Any]]] = {}
        self._fractions: dict[str, float] = {}
        self._failed = 0
        self._best: tuple[float, str] | None = None
        self._began = time.monotonic()
        self._at_start = 0.0
        self._live = Live(console=console(), refresh_per_second=4, transient=True, get_renderable=self._picture)

    @contextmanager
    def showing(self, upcoming: Upcoming) -> Iterator[None]:
        """Redraws until the context ends."""
        with super().showing(upcoming):
            self._fractions = {key: float(booking.there) for key, booking in upcoming.bookings.items()}
            self._at_start = sum(self._fractions.values())
            with self._live:
                yield

    def report(self, booking: Booking, report: dict[str, Any]) -> None:
        """Takes the news into the picture; what went wrong stays above it as a line."""
        trial, state = booking.trial, report["state"]
        if state in ("started", "running"):
            self._running[trial.id] = (booking, self._running.get(trial.id, (booking, {}))[1] | _known(report))
            self._fractions[trial.id] = report["fraction"]
            self._note_score(booking, report["latest"] or {})
            return
        self._running.pop(trial.id, None)
        if state in ("finished", "stopped", "failed"):
            self._fractions[trial.id] = 1.0
        if state == "failed":
            self._failed += 1
            self._print(booking, _outcome(report))

    def _note_score(self, booking: Booking, metrics: dict[str, float]) -> None:
        value = metrics.get(self._score.metric)
        if value is None:
            return
        better = self._best is None or (value > self._best[0]) == (self._score.goal == "maximize")
        if better:
            self._best = (value, f"{booking.trial.configuration}, seed {booking.trial.seed}")

    def _picture(self) -> Group:
        ended, total = self._done, self._upcoming.expected
        waiting = total - ended - self._failed - len(self._running)
        counts = f" {ended}/{total} done  {len(self._running)} running  {waiting} waiting  {self._failed} failed"
        best = f"      best {_number(self._best[0])} ({self._best[1]})" if self._best else ""
        bar = Table.grid(padding=(0, 1))
        done = sum(self._fractions.values())
        bar.add_row(ProgressBar(total=max(1, total), completed=done, width=28), Text(counts + best))
        rows = Table.grid(padding=(0, 2, 0, 0))
        for booking, known in self._running.values():
            trial = booking.trial
            rows.add_row(
                f"  {trial.id}",
                trial.configuration,
                f"seed {trial.seed}",
                f"{known.get('fraction', 0):.0%}",
                _scores(known, self._score),
                f"node {known.get('node', '')}",
            )
        return Group(bar, Text(self._time_left(done)), rows)

    def _time_left(self, done: float) -> str:
        elapsed, gained = time.monotonic() - self._began, done - self._at_start
        if gained < 0.02:
            return ""
        left = elapsed / gained * (self._upcoming.expected - done)
        return f"  {_duration(left)} left"

    def _say(self, line: str) -> None:
        self._live.console.print(line, markup=False)


def _known(report: dict[str, Any]) -> dict[str, Any]:
    return {"fraction": report["fraction"], "node": report["node"], **(report["latest"] or {})}


def _scores(metrics: dict[str, float], score: Score) -> str:
    shown = [f"{score.metric} {_number(metrics[score.metric])}"] if score.metric in metrics else []
    if "train/clips_per_second" in metrics:
        shown.append(f"{metrics['train/clips_per_second']:,.0f} clips/s")
    return "   ".join(shown)


def _outcome(report: dict[str, Any]) -> str:
    if report["state"] == "failed":
        if report.get("held"):
            return "! failed before any trial had trained"
        lines = report["error"].strip().splitlines() or ["no message"]
        return f"! failed: {report.get('message') or lines[-1]}"
    return f"interrupted, saved at {report['saved']:.0%}"


def _saving(running: int) -> str:
    return f"Saving: {running} trials reach a checkpoint (Ctrl-C again stops now) ..."


def _number(value: float) -> str:
    """Shares as the paper prints them, 43.6; anything else with four digits."""
    return f"{100 * value:.1f}" if 0 <= value <= 1 else f"{value:.4g}"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else f"{seconds:.0f} s"
    )
