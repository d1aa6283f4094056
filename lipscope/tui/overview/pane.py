"""Overview: the verdict, what the file claims, what was recomputed, and certified accuracy."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.overview.facts import claims, file_facts, headline, recomputed, unknowable
from lipscope.tui.overview.verdict import VerdictLine
from lipscope.tui.panes import Sheet, Value, named
from lipscope.tui.results import results_notice
from lipscope.tui.text import Fact
from lipscope.tui.widgets.accuracy import Accuracy
from lipscope.tui.widgets.facts import Facts
from lipscope.tui.widgets.failure import Failure
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.state import State


class OverviewPane(VerticalScroll):
    """The first screen."""

    BINDINGS = bindings_of("Overview")

    def __init__(self) -> None:
        super().__init__(id="overview-pane")
        self._state: State | None = None

    def compose(self) -> ComposeResult:
        """Verdict on top; below it two columns, one under the other in a narrow window."""
        yield VerdictLine()
        yield Failure("the analysis failed", id="overview-failure")
        yield FoldBar("#overview-left", "left", "recomputed by lipscope")
        yield FoldBar("#overview-right", "right", "claimed by the file, not verified")
        with Horizontal(id="overview-columns"):
            with Vertical(id="overview-left"):
                yield Facts("recomputed by lipscope", id="recomputed")
                yield Notice("what cannot be known", id="unknowable")
                yield Notice("certified accuracy", id="overview-results")
                yield Accuracy(id="overview-accuracy")
            with Vertical(id="overview-right"):
                yield Facts("file", id="file")
                yield Facts("claimed by the file, not verified", id="claims")

    def show(self, state: State) -> None:
        """Show another state."""
        self._state = state
        self.query_one(VerdictLine).show(headline(state))
        self.query_one(Failure).show(state.failure)
        self.query_one("#file", Facts).show(file_facts(state))
        self.query_one("#claims", Facts).show(claims(state.header))
        self.query_one("#recomputed", Facts).show(recomputed(state))
        self.query_one("#unknowable", Notice).show(unknowable(state))
        self.query_one("#overview-results", Notice).show(results_notice(state))
        for bar in self.query(FoldBar):
            bar.say(in_short(claims(state.header) if bar.side == "right" else recomputed(state)))
        accuracy = self.query_one(Accuracy)
        certificates = state.results.certificates
        accuracy.display = certificates is not None
        if certificates is not None:
            accuracy.show(certificates)
            accuracy.border_title = "certified accuracy" + (" of ANOTHER model" if state.stale else "")

    def sheet(self) -> Sheet:
        """The facts: who says them, their label and their text."""
        state = self._state
        if state is None:
            return Sheet(("source", "fact", "value"), ())
        answer = headline(state)
        rows: list[tuple[Value, ...]] = [("verdict", answer.text, answer.reason)]
        rows += [("recomputed", label, value) for label, value in recomputed(state)]
        rows += [("file", label, value) for label, value in file_facts(state)]
        rows += [("claimed", label, value) for label, value in claims(state.header)]
        return Sheet(("source", "fact", "value"), tuple(rows))

    def copied(self) -> str:
        """The verdict in one line, with the file's hash."""
        if self._state is None:
            return ""
        answer = headline(self._state)
        digest = f"\tsha256 {self._state.sha256}" if self._state.sha256 else ""
        return f"{answer.text}\t{answer.reason}{digest}"

    def cells(self) -> list[tuple[str, str]]:
        """The verdict, and what tells one file from another."""
        if self._state is None:
            return []
        answer = headline(self._state)
        verdict, sha256 = self._state.verdict, self._state.sha256
        bound = verdict.lipschitz if verdict is not None else None
        return named(
            ("verdict", "reason", "lipschitz (proved upper bound)", "sha256", "path"),
            (
                answer.text,
                answer.reason,
                bound if answer.status in ("proved", "bounded") else None,
                sha256,
                str(self._state.header.path),
            ),
        )


def in_short(facts: list[Fact]) -> str:
    """The values of the first facts, for the line of a folded pane.

    >>> in_short([("architecture", "lipconvnet"), ("blocks", "1")])
    'architecture lipconvnet, blocks 1'
    """
    return ", ".join(f"{label} {value}".strip() for label, value in facts[:6])
