"""One line of progress: how far, of how much, what is being done now, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from lipscope.tui.plots.bars import bar
from lipscope.tui.work.job import JobView
from lipscope.tui.work.state import Phase, State
from lipscope.visible import counted, duration, harmless

BAR = 20
"""Cells of the bar."""

PATIENCE = 10.0
"""Seconds after which a step says how long it has taken so far."""


class Pace:
    """How fast the steps of one kind follow one another: bounds, gradients and singular values differ much."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kind, self._kind_at, self._kind_done = "", 0.0, 0
        self._done, self._step_at = -1, 0.0

    def take(self, state: State) -> None:
        """A step is over, or another one begins."""
        kind, now = state.doing.partition(" of ")[0], self._clock()
        if kind != self._kind or state.done < self._done:
            self._kind, self._kind_at, self._kind_done = kind, now, state.done
        if state.done != self._done:
            self._done, self._step_at = state.done, now

    @property
    def step(self) -> float:
        """Seconds since the step began."""
        return self._clock() - self._step_at

    @property
    def _each(self) -> float | None:
        """Seconds of a step of this kind; None before one of them is done."""
        steps = self._done - self._kind_done
        return (self._step_at - self._kind_at) / steps if steps >= 1 else None

    def left(self, total: int) -> float | None:
        """Seconds until ``total`` steps are done at the pace of this kind; None before one of them is done."""
        each = self._each
        return None if each is None else max(each * (total - self._done) - min(self.step, each), 0.0)

    def share(self, total: int) -> float:
        """The share that is done, the step in hand counting as far as its pace says."""
        each = self._each
        part = min(self.step / each, 0.9) if each is not None and each >= 1 and total > self._done else 0.0
        return (self._done + part) / total if total else 0.0


class ProgressLine(Widget):
    """The state of the analysis in one line."""

    _state: State | None = None
    _job: JobView | None = None

    def __init__(self) -> None:
        super().__init__()
        self._pace = Pace()

    def on_mount(self) -> None:
        """Time goes on while a step is at work."""
        self.auto_refresh = 1.0

    def show(self, state: State, job: JobView | None = None) -> None:
        """Show another state; a command that the app has started comes first."""
        self._state, self._job = state, job
        self._pace.take(state)
        self.refresh()

    def render(self) -> Content:
        """Bar, count, words and the time left; at the end, words alone."""
        state = self._state
        if state is None:
            return Content("")
        width = self.size.width
        if self._job is not None:
            said = self._job.said[-1] if self._job.said else "starting …"
            return Content.assemble(
                (f"{self._job.name} ", "bold"), harmless(said.removeprefix("lipscope: "), max(width - 24, 8)),
                ("  X stops it", "$foreground 60%"),
            )  # fmt: skip
        if not state.phase.active:
            return Content(_ending(state)[:width])
        cells, left = BAR if width >= 50 else BAR // 2, self._pace.left(state.total)
        count = f" {state.done}/{state.total}  " if state.total else "  "
        after = f"  about {duration(left)} left" if left is not None and left >= 1 else ""
        if not after and self._pace.step >= PATIENCE:
            after = f"  {duration(self._pace.step // 1)} so far"
        room = width - cells - cell_len(count) - cell_len(after) - 1
        return Content.assemble(
            (f"{bar(self._pace.share(state.total), cells):{cells}}", "$primary on $surface-lighten-1"),
            (count, "bold"),
            harmless(state.doing or "starting the analysis", room) if room > 1 else "",
            (after, "$foreground 60%"),
        )


def _ending(state: State) -> str:
    if state.phase is Phase.WAITING:
        return state.doing
    if state.phase is Phase.CANCELLED:
        steps = f" after {state.done} of {counted(state.total, 'step')}" if state.total else ""
        return f"analysis cancelled{steps}; r starts it again"
    if state.phase is Phase.FAILED:
        return "analysis FAILED: see the Overview; r tries again"
    if state.cached:
        return f"from cache, verified sha256 {(state.sha256 or '')[:12]}; r computes anew"
    time = f" in {duration(state.seconds)}" if state.seconds is not None else ""
    return f"analysis complete: {counted(state.total, 'step')}{time}"
