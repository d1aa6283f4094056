"""One line of progress: how far, of how much, and what is being done now."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from lipscope.tui.numerals import seconds_text
from lipscope.tui.plots.bars import progress_bar
from lipscope.tui.text import harmless
from lipscope.tui.work.job import JobView
from lipscope.tui.work.state import Phase, State

BAR = 20
"""Cells of the bar."""


class ProgressLine(Widget):
    """The state of the analysis in one line."""

    def __init__(self) -> None:
        super().__init__()
        self._state: State | None = None
        self._job: JobView | None = None

    def show(self, state: State, job: JobView | None = None) -> None:
        """Show another state; a command that the app has started comes first."""
        self._state, self._job = state, job
        self.refresh()

    def render(self) -> Content:
        """Bar, count and words; at the end, words alone."""
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
        bar = progress_bar(state.done, state.total, BAR if width >= 50 else BAR // 2)
        count = f" {state.done}/{state.total}  " if state.total else "  "
        doing = state.doing or "starting the analysis"
        room = width - cell_len(bar) - cell_len(count) - 1
        return Content.assemble(
            (bar, "$primary on $surface-lighten-1"),
            (count, "bold"),
            harmless(doing, room) if room > 1 else "",
        )


def _ending(state: State) -> str:
    if state.phase is Phase.CANCELLED:
        steps = f" after {state.done} of {state.total} steps" if state.total else ""
        return f"analysis cancelled{steps}; r starts it again"
    if state.phase is Phase.FAILED:
        return "analysis FAILED: see the Overview; r tries again"
    if state.cached:
        return f"from cache, verified sha256 {(state.sha256 or '')[:16]}: {state.total} steps; r computes anew"
    time = f" in {seconds_text(state.seconds)}" if state.seconds is not None else ""
    return f"analysis complete: {state.total} steps{time}"
