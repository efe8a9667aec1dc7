"""Results of other versions of torch, torchaudio or FFmpeg than most on the board: they count, with a footnote."""

from collections import Counter
from collections.abc import Collection, Iterable

from orchestrator.track.records import RunRecord


def usual_environment(runs: Iterable[RunRecord]) -> dict[str, str]:
    """The environment that most of the finished runs were computed in; empty where none is known."""
    known = Counter(
        tuple(sorted(each.items())) for run in runs if run.status == "FINISHED" for each in run.environments
    )
    return dict(known.most_common(1)[0][0]) if known else {}


def environment_notes(runs: Collection[RunRecord], usual: dict[str, str]) -> list[str]:
    """How many of the runs were computed, wholly or in part, with what other versions; a note for each kind."""
    others = Counter(other for run in runs for other in {_differs(each, usual) for each in run.environments} if other)
    return [f"{count} of {len(runs)} results computed with {other}" for other, count in sorted(others.items())]


def _differs(environment: dict[str, str], usual: dict[str, str]) -> str:
    names = sorted(name for name in environment.keys() | usual.keys() if environment.get(name) != usual.get(name))
    own = " and ".join(f"{name} {environment.get(name, 'unknown')}" for name in names)
    return f"{own}, most others with {', '.join(usual.get(name, 'unknown') for name in names)}" if names else ""
