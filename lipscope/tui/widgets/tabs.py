"""The tabs of the screens: what is in front follows the user alone."""

from __future__ import annotations

from textual.widgets import TabbedContent, TabPane


class ScreenTabs(TabbedContent):
    """Tabs that stay where the user's last key or click has put them."""

    def _on_tab_pane_focused(self, event: TabPane.Focused) -> None:
        # Textual brings the pane of a focused widget to the front. The message that says so may come when the next key
        # has already chosen another screen, and would take that choice back.
        event.stop()
        event.prevent_default()
