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
        self._on_disk = "same"

    def show(self, state: State) -> None:
        """Show another state; the same one costs nothing."""
        if state.on_disk != self._on_disk:
            self._on_disk = state.on_disk
            self.update(WORDS[state.on_disk])
            self.display = bool(WORDS[state.on_disk])
