"""The list of what can be opened: over the app as a dialog, or alone where no model was named."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widgets import Input

from lipscope.files.checkpoint import SUFFIX
from lipscope.files.found import Found, found, verdict_of
from lipscope.files.kept_analysis import Cache
from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.keys.motion import focus
from lipscope.tui.numerals import size_text
from lipscope.tui.overview.answers import SIGNS, STYLES
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.watch import SECONDS
from lipscope.version import __version__
from lipscope.visible import duration, harmless

ROOMY = 80
"""Columns for age and size beside the name."""

WITH_WORDS = 60
"""Columns for the word of a verdict beside its sign."""

Choice = tuple[Path, bool]
"""What is opened, and whether as the second of two models."""


def found_line(one: Found, now: float, width: int) -> list[tuple[str, str]]:
    """Verdict, accuracy, age, size, path."""
    verdict = f"{SIGNS.get(one.verdict, '–')} "
    if width >= WITH_WORDS:
        verdict += f"{one.verdict.replace('-', ' '):11}"
    age = duration(max(now - one.modified, 0.0))
    details = f"{one.rates or one.standing:16} "
    if width >= ROOMY:
        details += f"{age:>12} {size_text(one.size) if one.size else '':>8}  "
    shown = one.path if width >= ROOMY else str(one.path).removesuffix(SUFFIX)
    path = harmless(shown, max(width - len(verdict) - len(details), 8), keep="end")
    return [(verdict, STYLES.get(one.verdict, STYLES["pending"])), (details, "$foreground 60%"), (path, "bold")]


def found_heading(width: int) -> str:
    """The names of the columns."""
    verdict = f"{'verdict':11}" if width >= WITH_WORDS else ""
    return f"  {verdict}{'clean / claimed':16} " + (f"{'age':>12} {'size':>8}  " if width >= ROOMY else "") + "file"


@dataclass
class Listed(Message):
    """What can be opened by now, with the verdicts of kept analyses."""

    found: list[Found]


class OpenScreen(Dialog[Choice | None]):
    """Files and runs, looked at again while they are shown; enter opens one, b opens it beside the one that is open.

    ``alone`` says that nothing is open yet, so that nothing can be opened beside it.
    """

    BINDINGS = bindings_of("Open", MOVES)

    def __init__(self, folders: Sequence[Path], recent: Sequence[Path], cache: Cache | None, *, alone: bool) -> None:
        super().__init__()
        self._folders, self._recent, self._cache, self._alone = folders, recent, cache, alone
        self._found: list[Found] = found(folders, recent)
        self._gone = threading.Event()
        self._where = ", ".join(harmless(folder, 40) for folder in folders)

    def compose(self) -> ComposeResult:
        """The list, and a line for another path."""
        entry = Input(placeholder="path of a .safetensors file or of a run", id="open-path", compact=True)
        entry.display = False
        nothing = Notice("", id="open-nothing", classes="")
        title, others, leaves = "open a model or a run", "b as B, ", "closes"
        if self._alone:
            title, others, leaves = f"lipscope {__version__}: {title}", "", "quits"
        keys = f"enter opens, {others}/ types a path, esc {leaves}"
        self.set_class(self._alone, "-alone")
        yield self.box(LongList(id="open-list"), nothing, entry, id="open", title=title, keys=keys)

    def on_mount(self) -> None:
        """List what is here; the verdicts, and what changes, come from a thread."""
        self._list()
        focus(self.query_one(LongList))
        threading.Thread(target=self._look, name="lipscope-found", daemon=True).start()

    def on_unmount(self) -> None:
        """Let the thread end."""
        self._gone.set()

    def _look(self) -> None:
        verdicts: dict[tuple[Path, float, int], str] = {}
        while True:
            started = time.monotonic()
            try:
                listed = found(self._folders, self._recent)
            except OSError:  # something went away while it was looked at: the next look will tell
                listed = list(self._found)
            for place, one in enumerate(listed):
                key = (one.path, one.modified, one.size)
                if key not in verdicts:
                    model = one.path / f"model{SUFFIX}" if one.path.is_dir() else one.path
                    verdicts[key] = "" if self._cache is None else verdict_of(model, self._cache)
                listed[place] = replace(one, verdict=verdicts[key])
            # Keys have nine tenths of the time also where there are many runs to read.
            pause = max(SECONDS, 9 * (time.monotonic() - started))
            if not self.post_message(Listed(listed)) or self._gone.wait(pause):
                return

    @on(Listed)
    def _told(self, message: Listed) -> None:
        if message.found != self._found:
            place = self.query_one(LongList).place
            chosen = self._found[place].path if 0 <= place < len(self._found) else None
            self._found = message.found
            self._list(next((k for k, one in enumerate(self._found) if one.path == chosen), place))

    def _list(self, place: int = 0) -> None:
        now = time.time()
        words = "" if self._found else f"Nothing in {self._where}: `lipscope train` makes one, / opens a path."
        self.query_one("#open-nothing", Notice).show(words)
        self.query_one(LongList).show(
            len(self._found), lambda place, width: found_line(self._found[place], now, width),
            found_heading, place=min(max(place, 0), max(len(self._found) - 1, 0)),
        )  # fmt: skip

    @on(LongList.Entered, "#open-list")
    def _entered(self) -> None:
        self.action_open()

    def action_open(self, second: bool = False) -> None:
        """The file under the cursor, alone or beside the one that is open."""
        if (one := self.query_one(LongList).under(self._found)) is not None:
            self.dismiss((one.path, second and not self._alone))

    def action_type(self) -> None:
        """Type another path."""
        entry = self.query_one("#open-path", Input)
        entry.display = True
        focus(entry)

    @on(Input.Submitted, "#open-path")
    def _typed(self, message: Input.Submitted) -> None:
        path = Path(message.value.strip()).expanduser()
        if path.is_file() or (path / f"model{SUFFIX}").is_file():
            self.dismiss((path, False))
        else:
            self.notify(f"there is no model {harmless(path, 60, keep='end')}", severity="warning", markup=False)


class StartApp(App[Path | None]):
    """The list alone; its result is what to open."""

    TITLE = "lipscope"
    CSS_PATH = "../app.tcss"

    def __init__(self, folders: Sequence[Path], recent: Sequence[Path], cache: Cache | None, theme: str | None) -> None:
        super().__init__()
        self._list = OpenScreen(folders, recent, cache, alone=True)
        self._theme = theme

    def on_mount(self) -> None:
        """Show the list; what is chosen ends the app."""
        if self._theme is not None:
            self.theme = self._theme
        self.push_screen(self._list, lambda choice: self.exit(None if choice is None else choice[0]))
