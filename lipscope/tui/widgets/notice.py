"""A sentence in a box, and the sentences about the results file."""

from __future__ import annotations

import shlex
from pathlib import Path

from textual.widgets import Static

from lipscope.tui.state import State
from lipscope.tui.text import harmless


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


def results_notice(state: State) -> str:
    """Why there are no radii to see, or why they are not to be trusted; empty when all is well."""
    results, path = state.results, state.header.path
    if results.reading:
        return "reading the results file …"
    if results.error is not None:
        step = results.error.next_step or f"run `{certify_command(path, force=True)}`"
        why = f" ({harmless(results.error.why, 200)})" if results.error.why else ""
        return f"The results file cannot be used: {harmless(results.error.what, 200)}{why}. Next: {harmless(step)}."
    if results.certificates is None:
        if state.header.config is None:
            return "No radii: lipscope has no model for this file, so it cannot certify it."
        return (
            f"No results beside the model yet. `{certify_command(path)}` computes how far around each test image "
            "the prediction is proved, and keeps the radii beside the model for this screen."
        )
    if state.stale:
        return (
            "STALE: these radii are about another model file (SHA-256 differs); "
            f"run `{certify_command(path, force=True)}`"
        )
    if state.stale is None and state.phase.active:
        return "Checking that the results are about this very file …"
    return ""


def certify_command(path: Path, *, force: bool = False) -> str:
    """The command that makes the results file, ready to be copied where the path is short enough.

    >>> certify_command(Path("my models/a.safetensors"))
    "lipscope certify 'my models/a.safetensors'"
    """
    return f"lipscope certify {'--force ' if force else ''}{harmless(shlex.quote(str(path)), 120, keep='end')}"
