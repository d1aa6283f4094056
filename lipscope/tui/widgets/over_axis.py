"""What is drawn over an axis of numbers: a click, a drag and the wheel choose one, the mouse reads one."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.widget import Widget

from lipscope.tui.plots.range import Range


class OverAxis(Widget):
    """A widget with an axis from its column :attr:`first`, :attr:`columns` wide."""

    @dataclass
    class Picked(Message):
        """A number of the axis was pressed, or dragged to."""

        value: float

    @dataclass
    class Turned(Message):
        """The wheel was turned over it: one up or one down."""

        steps: int

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self.first, self.columns = 0, 0
        self.over = Range(0.0, 1.0)
        self.hovered: float | None = None

    def value_at(self, column: int) -> float | None:
        """The number in the middle of a column of the widget; None beside the axis."""
        place = column - self.first
        if not 0 <= place < self.columns:
            return None
        return self.over.low + (place + 0.5) / self.columns * (self.over.high - self.over.low)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Choose."""
        self.capture_mouse()
        self._pick(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag, or read."""
        if event.button:
            self._pick(event)
        self._hover(self.value_at(event.x))

    def on_mouse_up(self) -> None:
        """The drag ends."""
        self.release_mouse()

    def on_leave(self) -> None:
        """Nothing is read any more."""
        self._hover(None)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """One more."""
        event.stop()
        self.post_message(self.Turned(1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """One less."""
        event.stop()
        self.post_message(self.Turned(-1))

    def _pick(self, event: events.MouseEvent) -> None:
        value = self.value_at(min(max(event.x, self.first), self.first + self.columns - 1))
        if value is not None:
            self.post_message(self.Picked(value))

    def _hover(self, value: float | None) -> None:
        if value != self.hovered:
            self.hovered = value
            self.refresh()
