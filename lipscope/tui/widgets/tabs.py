"""The tabs of the screens: what is in front follows the user alone."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import TabbedContent, TabPane

from lipscope.tui.registry import entry


class ScreenTabs(TabbedContent):
    """Tabs that stay where the user's last key or click has put them."""

    def label(self, columns: int) -> None:
        """Number and title on every tab; where they do not fit, the title on the one in front only."""
        screens = [entry(pane.id) for pane in self.query(TabPane) if pane.id is not None]
        whole = sum(len(screen.label) + 2 for screen in screens) <= columns
        for screen in screens:
            self.get_tab(screen.id).label = screen.label if whole or screen.id == self.active else screen.key

    def dim(self, absent: Callable[[str], bool]) -> None:
        """Let the tabs of screens that have nothing to show yet look so."""
        for pane in self.query(TabPane):
            if pane.id is not None:
                self.get_tab(pane.id).set_class(absent(pane.id), "-absent")

    def _on_tab_pane_focused(self, event: TabPane.Focused) -> None:
        # Textual brings the pane of a focused widget to the front. The message that says so may come when the next key
        # has already chosen another screen, and would take that choice back.
        event.stop()
        event.prevent_default()
