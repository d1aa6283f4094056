"""What the file is: its bytes, what lipscope recomputed from them, and what it claims."""

from __future__ import annotations

from textual.app import ComposeResult

from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.overview.facts import sources
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.state import State


class AboutScreen(Dialog[None]):
    """Three lists of facts, over the screen in front."""

    BINDINGS = bindings_of("Help", MOVES)

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def compose(self) -> ComposeResult:
        """Who tells them above each."""
        lists = sources(self._state)
        notices = [Notice(title) for title in lists]
        for notice, facts in zip(notices, lists.values(), strict=True):
            notice.show(facts)
        yield self.box(*notices, id="about", title="the file", keys="esc closes")
