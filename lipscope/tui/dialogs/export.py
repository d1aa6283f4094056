"""The export dialog: which format, and where to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from textual import on
from textual.app import App, ComposeResult
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from lipscope.tui.dialogs.dialog import Dialog
from lipscope.tui.dialogs.formats import FORMATS, as_csv, as_json, free_path, write
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.panes import Pane
from lipscope.tui.registry import ScreenEntry
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.work.state import State
from lipscope.visible import harmless


class ExportScreen(Dialog[Path | None]):
    """A list of formats and a line for the path; enter writes."""

    BINDINGS = bindings_of("Export")

    def __init__(self, contents: Mapping[str, Callable[[], str]], suggest: Callable[[str], Path]) -> None:
        super().__init__()
        self._contents = contents
        self._suggest = suggest
        self._format = next(iter(contents))
        self._replace: Path | None = None

    def compose(self) -> ComposeResult:
        """Formats above, the path below, a complaint under it."""
        kinds = (Option(f"{name.upper():5s} {FORMATS[name]}", id=name) for name in self._contents)
        yield self.box(
            OptionList(*kinds, id="export-format"),
            Input(str(self._suggest(self._format)), id="export-path", compact=True),
            Notice("", id="export-complaint", classes="complaint"),
            id="export", title="export what is shown", keys="enter writes, tab edits the path, esc closes",
        )  # fmt: skip

    @on(OptionList.OptionHighlighted)
    def _format_changed(self, message: OptionList.OptionHighlighted) -> None:
        name = str(message.option_id)
        if name != self._format:
            entry = self.query_one("#export-path", Input)
            typed = Path(entry.value)
            untouched = entry.value == str(self._suggest(self._format))
            self._format = name
            entry.value = str(self._suggest(name) if untouched else typed.with_suffix(f".{name}"))

    @on(OptionList.OptionSelected)
    @on(Input.Submitted)
    def _write(self) -> None:
        path = Path(self.query_one("#export-path", Input).value).expanduser()
        if not path.name or path.is_dir():
            self._complain("that is a folder: add a file name")
            return
        if path.exists() and path != self._replace:
            self._replace = path
            self._complain("there is such a file: enter again replaces it")
            return
        if complaint := write(path, self._contents[self._format]()):
            self._complain(complaint)
        else:
            self.dismiss(path)

    @on(Input.Changed)
    def _typed(self) -> None:
        self._replace = None
        self._complain("")

    def _complain(self, text: str) -> None:
        self.query_one("#export-complaint", Notice).show(harmless(text))


def open_export(app: App[None], state: State, screen: ScreenEntry, pane: Pane | None) -> None:
    """Ask for format and place of what is shown, and say where it went.

    The picture is taken before the dialog covers the window.
    """
    picture = app.export_screenshot(title=f"lipscope inspect {harmless(state.header.path.name, 60)}")
    contents: dict[str, Callable[[], str]] = {"svg": lambda: picture}
    if pane is not None:
        sheet = pane.sheet()
        contents["json"] = lambda: as_json(sheet, screen, state)
        contents["csv"] = lambda: as_csv(sheet)

    def written(path: Path | None) -> None:
        if path is not None:
            app.notify(f"{harmless(path.absolute(), 120, keep='end')}", title="written", markup=False)

    def suggest(ending: str) -> Path:
        return free_path(Path(), state.header.path, screen.id, ending)

    app.push_screen(ExportScreen(contents, suggest), written)
