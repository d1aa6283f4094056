"""The line at the top of every screen: which file, and what is known of it."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from lipscope.tui.overview.answers import STYLES, Answer
from lipscope.tui.work.session import Session
from lipscope.tui.work.state import Phase
from lipscope.version import __version__
from lipscope.visible import harmless


def title_line(answer: Answer, session: Session, width: int) -> Content:
    """``lipscope 0.1.0  runs/a/model.safetensors        PROVED``; what is going on where there is no verdict yet."""
    path, run = session.state.header.path, session.state.run
    said = answer.status.replace("-", " ").upper()
    if answer.status == "pending":
        training = session.phase is Phase.WAITING and not (run and run.ended)
        said = "TRAINING" if training else "CHECKING" if session.phase.active else "NO VERDICT"
    program, word = f" lipscope {__version__}  ", f"  {said} "
    room = width - cell_len(program) - cell_len(word)
    shown = harmless(path, room, keep="end") if room > 1 else ""
    gap = " " * max(room - cell_len(shown), 0)
    return Content.assemble((program, "bold $text-primary"), shown, gap, (word, f"bold {STYLES[answer.status]}"))
