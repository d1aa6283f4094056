"""Overview: the verdict, what the file claims, what was recomputed, and certified accuracy."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from lipscope.tui.facts import claims, file_facts, headline, recomputed, unknowable
from lipscope.tui.state import State
from lipscope.tui.widgets.accuracy import Accuracy
from lipscope.tui.widgets.facts import Facts
from lipscope.tui.widgets.failure import Failure
from lipscope.tui.widgets.notice import Notice, results_notice
from lipscope.tui.widgets.verdict import VerdictLine


class OverviewPane(VerticalScroll):
    """The first screen."""

    def compose(self) -> ComposeResult:
        """Verdict on top; below it two columns, one under the other in a narrow window."""
        yield VerdictLine()
        yield Failure("the analysis failed", id="overview-failure")
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
        self.query_one(VerdictLine).show(headline(state))
        self.query_one(Failure).show(state.failure)
        self.query_one("#file", Facts).show(file_facts(state))
        self.query_one("#claims", Facts).show(claims(state.header))
        self.query_one("#recomputed", Facts).show(recomputed(state))
        self.query_one("#unknowable", Notice).show(unknowable(state))
        self.query_one("#overview-results", Notice).show(results_notice(state))
        accuracy = self.query_one(Accuracy)
        certificates = state.results.certificates
        accuracy.display = certificates is not None
        if certificates is not None:
            accuracy.show(certificates)
            accuracy.border_title = "certified accuracy" + (" of ANOTHER model" if state.stale else "")
