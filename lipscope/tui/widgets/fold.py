"""Panes that fold to one line: by themselves where the window is narrow, by hand anywhere."""

from __future__ import annotations

from typing import Literal

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lipscope.visible import harmless

FOLDS_UNDER = 100
"""Columns; in a narrower window the right pane of a screen is folded until it is asked for."""

WITH_WORDS = 80
"""Columns of a line that has room to say what the key does."""

KEYS = {"left": "[", "right": "]"}


class FoldBar(Widget):
    """The one line that stands for a folded pane and says what is in it; invisible while the pane is open.

    ``pane`` is its selector; the right one is folded in a window ``under`` so many columns until it is asked for.
    """

    summary: reactive[str] = reactive("")
    """What is in the pane, in a few words."""

    by_hand: bool | None = None
    _columns = FOLDS_UNDER

    def __init__(self, pane: str, side: Literal["left", "right"], title: str, *, under: int = FOLDS_UNDER) -> None:
        super().__init__(classes=side)
        self._under = under
        self._pane = pane
        self.side = side
        self._title = title

    @property
    def folded(self) -> bool:
        """Whether the pane is folded now."""
        if self.by_hand is not None:
            return self.by_hand
        return self.side == "right" and self._columns < self._under

    def on_mount(self) -> None:
        """Fold or unfold as the window wants it."""
        self.fit(self.app.size.width)

    def fit(self, columns: int | None = None) -> None:
        """Fold or unfold as a window of so many columns wants it; the same as before by default."""
        self._columns = self._columns if columns is None else columns
        if self.parent is not None:
            for pane in self.parent.query(self._pane):
                pane.set_class(self.folded, "-folded")
            self.set_class(self.folded, "-shown")
            if isinstance(self.parent, Widget):
                self.parent.set_class(self.folded, f"-{self.side}-folded")

    def fold(self, folded: bool) -> None:
        """Fold or unfold by hand; the window has no say from now on."""
        self.by_hand = folded
        self.fit()

    async def on_click(self) -> None:
        """Unfold, as the key does: the app remembers it."""
        await self.run_action(f"app.fold('{self.side}')")

    def render(self) -> Content:
        """``▸ title: summary    ] unfolds``."""
        key = f"  {KEYS[self.side]} unfolds " if self.size.width >= WITH_WORDS else f" {KEYS[self.side]} "
        room = max(self.size.width - cell_len(key), 1)
        words = f"▸ {self._title}" + (f": {self.summary}" if self.summary else "")
        text = harmless(words, room)
        return Content.assemble((text, "bold"), " " * (room - cell_len(text)), (key, "$foreground 60%"))
