"""What the file is: its bytes, what lipscope recomputed from them, and what it claims."""

from __future__ import annotations

from textual.app import ComposeResult

from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.overview.facts import claims, file_facts, recomputed
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.state import State


class AboutScreen(Dialog[None]):
    """Three lists of facts, over the screen in front."""

    BINDINGS = bindings_of("Help", MOVES)

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def compose(self) -> ComposeResult:
        """File, recomputed, claimed."""
        state = self._state
        lists = [("bytes", file_facts(state)), ("recomputed by lipscope", recomputed(state)),
                 ("claimed by the file, not verified", claims(state.header))]  # fmt: skip
        notices = [Notice(title) for title, _ in lists]
        for notice, (_, facts) in zip(notices, lists, strict=True):
            notice.show(facts)
        yield self.box(*notices, id="about", title="the file", keys="esc closes")
