"""A sentence in a box."""

from __future__ import annotations

from textual.widgets import Static


class Notice(Static):
    """A sentence; invisible when it is empty."""

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel", markup=False)
        self.border_title = title
        self.display = False
        self._sentence = ""

    def show(self, sentence: str) -> None:
        """Show another sentence, or none; the same one costs nothing."""
        if sentence != self._sentence:
            self._sentence = sentence
            self.display = bool(sentence)
            self.update(sentence)
