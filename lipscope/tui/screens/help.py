"""Help: the table of bindings."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from lipscope.tui.bindings import bindings_of, described, key_text

LEGEND = (
    "An upper bound is proved: it holds for the stored numbers, whatever the input. "
    "σ and gradient norms are estimates: measured, proved on neither side. "
    "… is still being computed, – was not computed."
)


class HelpScreen(ModalScreen[None]):
    """Every key, what it does, and where it holds."""

    BINDINGS = bindings_of("Help")

    def compose(self) -> ComposeResult:
        """One table under a heading for each scope."""
        with VerticalScroll(id="help", classes="panel") as box:
            box.border_title = "keys"
            box.border_subtitle = "esc closes"
            yield Static(help_table(), markup=False)
            yield Static(Text("\n" + LEGEND, style="dim"), markup=False)

    def action_close(self) -> None:
        """Back to where the user was."""
        self.dismiss()


def help_table() -> Table:
    """Keys and tooltips of the whole table of bindings."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold", justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    scope_before = ""
    for scope, binding in described():
        if scope != scope_before:
            if scope_before:
                table.add_row("", "", "")
            table.add_row("", Text(scope, style="bold cyan"), "")
            scope_before = scope
        table.add_row(Text(key_text(binding)), Text(binding.description), Text(binding.tooltip))
    return table
