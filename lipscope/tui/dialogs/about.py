"""What the file is: its bytes, what lipscope recomputed from them, and what it claims."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.overview.facts import claims, file_facts, recomputed
from lipscope.tui.widgets.facts import Facts
from lipscope.tui.work.state import State


class AboutScreen(ModalScreen[None]):
    """Three lists of facts, over the screen in front."""

    BINDINGS = bindings_of("Help", MOVES)

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def compose(self) -> ComposeResult:
        """File, recomputed, claimed."""
        with VerticalScroll(id="about", classes="panel") as box:
            box.border_title = "the file"
            box.border_subtitle = "esc closes"
            yield Facts("bytes", id="about-file")
            yield Facts("recomputed by lipscope", id="about-recomputed")
            yield Facts("claimed by the file, not verified", id="about-claims")

    def on_mount(self) -> None:
        """Fill them."""
        self.query_one("#about-file", Facts).show(file_facts(self._state))
        self.query_one("#about-recomputed", Facts).show(recomputed(self._state))
        self.query_one("#about-claims", Facts).show(claims(self._state.header))

    def action_close(self) -> None:
        """Back to where the user was."""
        self.dismiss()
