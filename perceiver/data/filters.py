"""FFmpeg's filters, applied to single frames."""

from fractions import Fraction
from typing import Any

from av.filter import Graph


class Filter:
    """A chain of filters that gives one frame for each; it is set up again where frames change their shape."""

    def __init__(self) -> None:
        self._made_for: tuple[Any, ...] | None = None
        self._graph = Graph()

    def __call__(self, frame: Any, *chain: tuple[str, str]) -> Any:
        """The frame after the filters of `chain`, each a name and its arguments."""
        made_for = frame.width, frame.height, frame.format.name, chain
        if made_for != self._made_for:
            self._made_for, self._graph = made_for, _graph(frame, chain)
        self._graph.push(frame)
        return self._graph.pull()


def _graph(frame: Any, chain: tuple[tuple[str, str], ...]) -> Graph:
    graph = Graph()
    graph.threads = 1
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    for name, arguments in (*chain, ("buffersink", "")):
        last.link_to(following := graph.add(name, arguments or None))
        last = following
    graph.configure()
    return graph
