"""A framed part of a screen that the tab key stops at, though no key of its own works in it."""

from __future__ import annotations

from textual.containers import Vertical
from textual.widget import Widget


class Panel(Vertical, can_focus=True, inherit_bindings=False):
    """A box with a title; in focus its frame says so, and ``f1`` explains what is in it."""

    def __init__(self, *inside: Widget, id: str, title: str = "") -> None:  # noqa: A002 - Textual's name
        super().__init__(*inside, id=id, classes="panel")
        self.border_title = title
