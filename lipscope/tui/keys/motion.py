"""Where keys go, and moving about with those of vi, in lists and scrollers alike."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from textual.dom import DOMNode
from textual.widget import Widget
from textual.widgets import OptionList

TWICE = 1.0
"""Seconds between the two keys of ``gg``."""


@runtime_checkable
class Listing(Protocol):
    """A widget with a cursor of its own on one of many lines."""

    place: int  # the line under the cursor
    count: int  # how many lines there are

    @property
    def page(self) -> int:
        """By how many lines a page is turned: two fewer than the height has."""

    def choose(self, place: int) -> None:
        """Put the cursor on another line."""


def focus(widget: Widget) -> None:
    """Give a widget the focus now: the key that comes next is already its own.

    ``Widget.focus`` asks for the same, but behind the keys that wait.
    """
    widget.screen.set_focus(widget)


def is_focused(widget: Widget) -> bool:
    """Whether the next key is its own; ``Widget.has_focus`` follows only behind the messages that wait."""
    return widget.is_attached and widget.screen.focused is widget


def go(start: DOMNode | None, where: str) -> None:
    """Move in the focused widget, or in the nearest one around it that can be moved in."""
    target = start
    while isinstance(target, Widget):
        if isinstance(target, Listing):
            if target.count and where not in ("left", "right"):
                place = _place(where, target.place, target.count, target.page)
                target.choose(min(max(place, 0), target.count - 1))
            return
        if isinstance(target, OptionList):
            _move_cursor(target, where)
            return
        if target.allow_vertical_scroll or target.allow_horizontal_scroll:
            _scroll(target, where)
            return
        parent = target.parent
        target = parent if isinstance(parent, Widget) else None


def _move_cursor(target: OptionList, where: str) -> None:
    if where in ("left", "right"):
        target.scroll_relative(x=-2 if where == "left" else 2, animate=False)
    elif count := target.option_count:
        place = _place(where, target.highlighted or 0, count, target.size.height - 2)
        target.highlighted = min(max(place, 0), count - 1)


def _place(where: str, at: int, count: int, page: int) -> int:
    half, page = max((page + 2) // 2, 1), max(page, 1)
    steps = {"up": -1, "down": 1, "half_up": -half, "half_down": half, "page_up": -page, "page_down": page}
    return {"first": 0, "last": count - 1}.get(where, at + steps.get(where, 0))


def _scroll(target: Widget, where: str) -> None:
    if where in ("left", "right"):
        target.scroll_relative(x=-2 if where == "left" else 2, animate=False)
    else:
        target.scroll_to(
            y=_place(where, round(target.scroll_y), target.max_scroll_y + 1, target.size.height - 2), animate=False
        )
