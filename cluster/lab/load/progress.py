"""Show the progress of a load while it runs."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cluster.lab.load.tally import Progress

PLAIN_EVERY_S = 5.0


class ProgressDisplay:
    """A live display on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console, name: str, length_s: float) -> None:
        self._console = console
        self._name = name
        self._length_s = length_s
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._printed_at_s = float("-inf")

    def __enter__(self) -> ProgressDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, at_s: float, progress: Progress, ending: bool) -> None:
        if self._live is not None:
            self._live.update(self._render(at_s, progress, ending))
        elif at_s >= 0 and at_s - self._printed_at_s >= PLAIN_EVERY_S:
            self._printed_at_s = at_s
            self._console.print(f"{min(at_s, self._length_s):.0f} of {self._length_s:.0f} s: {line(progress)}")

    def _render(self, at_s: float, progress: Progress, ending: bool) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        status = "ending; Ctrl-C again drops the report" if ending else f"{max(0.0, self._length_s - at_s):.0f} s left"
        bar = ProgressBar(total=self._length_s, completed=min(at_s, self._length_s), width=40)
        grid.add_row(Text(self._name, style="bold"), bar, status)
        return Group(grid, Text(line(progress)))


def line(progress: Progress) -> str:
    """Return a load's progress in one line."""
    times = ", ".join(
        f"{name} {value:.0f} ms"
        for name, value in (("p95", progress.p95_ms), ("own p95", progress.own_p95_ms))
        if value is not None
    )
    counts = (
        f"{progress.rooms} rooms, {progress.seen} frames seen, {progress.kept} kept, {progress.answered} answered,"
        f" {progress.shed} shed, {progress.failed} failed, {progress.questions} questions"
    )
    return f"{counts}; {times}" if times else counts
