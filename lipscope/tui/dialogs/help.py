"""Help: the table of bindings, whole or for one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.widgets import Static

from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.keys.bindings import BINDINGS, MOVES, bindings_of, key_text
from lipscope.tui.registry import ScreenEntry
from lipscope.tui.widgets.notice import grid

LEGEND = (
    "An upper bound is proved: it holds for the stored numbers, whatever the input. "
    "σ and gradient norms are estimates: measured, proved on neither side. "
    "… is still being computed, – was not computed."
)

WITH_IDS = 100
"""Columns of a window that has room for the ids that a keymap uses."""


class HelpScreen(Dialog[None]):
    """Every key, what it does, and where it holds.

    ``about`` is the one screen to explain; ``words`` are what stands in the focused pane, and what it means.
    """

    BINDINGS = bindings_of("Help", MOVES)

    def __init__(
        self, keys: Mapping[str, str], about: ScreenEntry | None = None, words: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__()
        self._about, self._keys, self._words = about, keys, words

    def compose(self) -> ComposeResult:
        """One table under a heading for each scope."""
        about = self._about
        inside = [Static(id="help-keys"), Static(Text("\n" + LEGEND, style="dim"))]
        if about is not None:
            words = (f"{about.tooltip}. Needs {about.needs}.\n", grid(self._words.items()), "")
            inside = [*(Static(part, markup=False) for part in words), *inside]
        yield self.box(
            *inside, id="help", title="keys" if about is None else about.title,
            keys="esc closes" if about is None else "? lists every key, esc closes",
        )  # fmt: skip

    def on_resize(self, event: events.Resize) -> None:
        """The ids only where they leave room for the sentences."""
        scopes = None if self._about is None else (self._about.title, MOVES)
        table = help_table(self._keys, scopes, ids=event.size.width >= WITH_IDS)
        self.query_one("#help-keys", Static).update(table)


def help_table(
    keys: Mapping[str, str] = MappingProxyType({}), scopes: Sequence[str] | None = None, *, ids: bool = False
) -> Table:
    """Keys and tooltips of the table of bindings.

    ``keys`` are the user's own by binding id; ``ids`` prints those.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold", justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, style="dim")
    for scope in scopes or BINDINGS:
        if table.row_count:
            table.add_row()
        table.add_row("", Text(scope, style="bold"))
        for binding in BINDINGS.get(scope, ()):
            key = keys.get(str(binding.id)) or key_text(binding)
            cells = (key, binding.description, binding.tooltip, str(binding.id) if ids else "")
            table.add_row(*map(Text, cells))
    return table
