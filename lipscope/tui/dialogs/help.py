"""What explains itself over the screens: the table of bindings, whole or for one screen, and what the file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.keys.bindings import BINDINGS, MOVES, bindings_of, key_text
from lipscope.tui.overview.facts import sources
from lipscope.tui.registry import ScreenEntry
from lipscope.tui.widgets.notice import Notice, grid
from lipscope.tui.work.state import State

LEGEND = (
    "An upper bound is proved: it holds for the stored numbers, whatever the input. "
    "σ and gradient norms are estimates: measured, proved on neither side. "
    "… is still being computed, – was not computed."
)

WITH_IDS = 100
"""Columns of a window that has room for the ids that a keymap uses."""

WITH_NAMES = 76
"""Columns of a window that has room for what keys are called beside what they do."""


class HelpScreen(Dialog[None]):
    """What explains something: the keys, a pane, the file."""

    BINDINGS = bindings_of("Help", MOVES)

    def __init__(self, *inside: Widget, id: str, title: str, keys: str = "esc closes") -> None:  # noqa: A002
        super().__init__()
        self._box = self.box(*inside, id=id, title=title, keys=keys)

    def compose(self) -> ComposeResult:
        """The box."""
        yield self._box


def every_key(keys: Mapping[str, str], width: int) -> HelpScreen:
    """Every key, what it does, and where it holds, in a window of so many columns."""
    return HelpScreen(*_table(keys, list(BINDINGS), width), id="help", title="keys")


def about_pane(screen: ScreenEntry, words: Mapping[str, str], keys: Mapping[str, str], width: int) -> HelpScreen:
    """One screen: what stands in the focused pane and what it means, then the keys."""
    said = (f"{screen.tooltip}. Needs {screen.needs}.\n", grid(words.items()), "")
    inside = [*(Static(part, markup=False) for part in said), *_table(keys, (screen.title, MOVES), width)]
    return HelpScreen(*inside, id="help", title=screen.title, keys="? lists every key, esc closes")


def about_file(state: State) -> HelpScreen:
    """What the file is: its bytes, what lipscope recomputed from them, and what it claims."""
    notices = [(Notice(title), facts) for title, facts in sources(state).items()]
    for notice, facts in notices:
        notice.show(facts)
    return HelpScreen(*(notice for notice, _ in notices), id="about", title="the file")


def _table(keys: Mapping[str, str], scopes: Sequence[str], width: int) -> list[Static]:
    return [Static(help_table(keys, scopes, width), id="help-keys"), Static(Text("\n" + LEGEND, style="dim"))]


def help_table(keys: Mapping[str, str], scopes: Sequence[str], width: int) -> Table:
    """Keys and tooltips of the table of bindings, in a window of so many columns.

    ``keys`` are the user's own by binding id.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold", justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, style="dim")
    apart = width >= WITH_NAMES
    for scope in scopes:
        if table.row_count:
            table.add_row()
        table.add_row("", *(Text(text, style="bold") for text in ((scope,) if apart else ("", scope))))
        for binding in BINDINGS.get(scope, ()):
            key, name = keys.get(str(binding.id)) or key_text(binding), binding.description
            said = (name, binding.tooltip) if apart else ("", f"{name}: {binding.tooltip}")
            table.add_row(*map(Text, (key, *said, str(binding.id) if width >= WITH_IDS else "")))
    return table
