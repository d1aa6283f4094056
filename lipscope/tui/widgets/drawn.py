"""A widget that shows what a function makes of the room that there is."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget


class Drawn(Widget):
    """What :attr:`draw` makes of so many columns and rows."""

    auto_links = False  # what can be pressed looks like it

    draw: Callable[[int, int], Content] = staticmethod(lambda width, height: Content(""))

    def show(self, draw: Callable[[int, int], Content], *, layout: bool = False) -> None:
        """Show something else; with ``layout`` it may need another number of lines."""
        self.draw = draw
        self.refresh(layout=layout)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as are drawn in that width."""
        return self.draw(width, 0).plain.count("\n") + 1

    def render(self) -> Content:
        """As large as it is now."""
        return self.draw(*self.size)
