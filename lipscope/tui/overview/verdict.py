"""The verdict: one line that answers the question, and the sentence that decides it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from lipscope.tui.overview.facts import Headline

SIGNS = {"proved": "✔", "bounded": "≤", "violated": "✘", "not-proved": "?", "pending": "…"}
"""A sign beside the words; the colour only repeats them."""


class VerdictLine(Vertical):
    """The headline, as large as a line can be, and its reason."""

    def __init__(self) -> None:
        super().__init__()
        self._headline: Headline | None = None

    def compose(self) -> ComposeResult:
        """Two lines of text."""
        yield Static(id="headline", markup=False)
        yield Static(id="reason", markup=False)

    def show(self, headline: Headline) -> None:
        """Show another verdict; the same one costs nothing."""
        if headline == self._headline:
            return
        self._headline = headline
        for status in SIGNS:
            self.set_class(status == headline.status, f"-{status}")
        self.query_one("#headline", Static).update(f"{SIGNS[headline.status]}  {headline.text}")
        self.query_one("#reason", Static).update(headline.reason)
