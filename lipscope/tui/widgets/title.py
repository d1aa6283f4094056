"""The line at the top of every screen: which file, and what is known of it."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from lipscope.tui.overview.answers import STYLES
from lipscope.tui.overview.facts import Headline
from lipscope.tui.text import harmless
from lipscope.version import __version__

WORDS = {
    "proved": "PROVED",
    "bounded": "BOUNDED",
    "violated": "VIOLATED",
    "not-proved": "NOT PROVED",
    "pending": "NO VERDICT",
}


class TitleLine(Widget):
    """The program, the file and the verdict's word."""

    def __init__(self, path: object) -> None:
        super().__init__()
        self._path = path
        self._word, self._status = "", "pending"

    def show(self, headline: Headline, path: object, *, active: bool, training: bool = False) -> None:
        """Show another verdict, or another file; while the analysis runs there is none yet."""
        self._path, self._status = path, headline.status
        pending = headline.status == "pending" and active
        self._word = ("TRAINING" if training else "CHECKING") if pending else WORDS[headline.status]
        self.refresh()

    def render(self) -> Content:
        """``lipscope 0.1.0  runs/a/model.safetensors        PROVED``."""
        program = f" lipscope {__version__}  "
        word = f"  {self._word} "
        room = self.size.width - cell_len(program) - cell_len(word)
        path = harmless(self._path, room, keep="end") if room > 1 else ""
        gap = " " * max(room - cell_len(path), 0)
        return Content.assemble((program, "bold $text-primary"), path, gap, (word, f"bold {STYLES[self._status]}"))
