"""The line that says that the file on the disk is no longer the one that is shown."""

from __future__ import annotations

from textual.widgets import Static

from lipscope.tui.work.state import State

WORDS = {
    "same": "",
    "replaced": "! FILE REPLACED: this is about the earlier bytes; r reads the new ones",
    "gone": "! FILE GONE: this is about the bytes that were there",
}


class ChangedLine(Static):
    """A warning under the title; invisible while the file is the same."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.display = False
        self._words = ""

    def show(self, state: State) -> None:
        """Show another state; the same one costs nothing."""
        words = WORDS[state.on_disk]
        live = state.run is not None and state.run.log is not None and not state.run.ended
        if live and state.run is not None and state.run.log is not None and state.on_disk == "replaced":
            words = f"epoch {len(state.run.log.epochs)} is written; r analyses it (this is about the earlier bytes)"
        if words != self._words:
            self._words = words
            self.update(words)
            self.display = bool(words)
            self.set_class(live, "-news")
