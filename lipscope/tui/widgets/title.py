"""The line at the top of every screen: which file, and what is known of it."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from lipscope.tui.overview.answers import STYLES, Answer
from lipscope.tui.text import harmless
from lipscope.version import __version__

WORDS = {
    "proved": "PROVED",
    "bounded": "BOUNDED",
    "violated": "VIOLATED",
    "not-proved": "NOT PROVED",
    "pending": "NO VERDICT",
}


def title_line(answer: Answer, path: object, width: int, *, active: bool, training: bool = False) -> Content:
    """``lipscope 0.1.0  runs/a/model.safetensors        PROVED``; while the analysis runs there is no verdict yet."""
    pending = answer.status == "pending" and active
    verdict = ("TRAINING" if training else "CHECKING") if pending else WORDS[answer.status]
    program, word = f" lipscope {__version__}  ", f"  {verdict} "
    room = width - cell_len(program) - cell_len(word)
    shown = harmless(path, room, keep="end") if room > 1 else ""
    gap = " " * max(room - cell_len(shown), 0)
    return Content.assemble((program, "bold $text-primary"), shown, gap, (word, f"bold {STYLES[answer.status]}"))
