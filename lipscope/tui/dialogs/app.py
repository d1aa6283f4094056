"""The part of the app that opens what lies over the screens: dialogs, words under the mouse, the command palette."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import SystemCommand
from textual.screen import Screen

from lipscope.tui.dialogs.copy import copy, copy_cell
from lipscope.tui.front import FrontApp
from lipscope.tui.keys.bindings import DIALOGS, MOVES, described
from lipscope.tui.registry import SCREENS, entry

if TYPE_CHECKING:
    from lipscope.tui.config import Config


class DialogApp(FrontApp):
    """The actions that open dialogs."""

    wanted: tuple[Path, Path | None] | None  # what is opened next, once this app has ended
    _path: Path
    _config: Config

    def action_open(self) -> None:
        """Choose another file or run, or the second of two."""
        from lipscope.tui.start.screen import OpenScreen

        folders = [Path("runs"), Path("checkpoints"), self._path.parent]
        self.push_screen(
            OpenScreen(folders, self._remembered.recent, self.session.means.cache, alone=False), self._open_chosen
        )  # fmt: skip

    def _open_chosen(self, choice: tuple[Path, bool] | None) -> None:
        if choice is not None:
            path, second = choice
            self.wanted = (self._path, path) if second else (path, None)
            self.exit()

    def action_about(self) -> None:
        """What the file is, and what it claims."""
        from lipscope.tui.dialogs.help import about_file

        self.push_screen(about_file(self.state))

    def action_help(self) -> None:
        """Show the keys."""
        from lipscope.tui.dialogs.help import every_key

        self.push_screen(every_key(self._config.keys, self.size.width))

    def action_help_here(self) -> None:
        """Explain the pane in focus, word by word, and list the keys of its screen."""
        from lipscope.tui.dialogs.glossary import glossaries
        from lipscope.tui.dialogs.help import about_pane

        words = next(glossaries(self.focused or self.front), {})
        self.push_screen(about_pane(entry(self.front_id), words, self._config.keys, self.size.width))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """What the mouse rests on explains itself."""
        from lipscope.tui.dialogs.glossary import explained
        from lipscope.tui.widgets.chart import Chart

        widget = event.widget
        if widget is not None and self.front is not None and not isinstance(widget, Chart):
            offset = event.get_content_offset(widget)
            words = explained(widget, offset.x, offset.y) if offset is not None else None
            if words is not None and words != widget.tooltip:
                widget.tooltip = words

    def action_copy(self) -> None:
        """Copy what is selected."""
        front = self.front
        copy(self, front.copied() if front is not None else "")

    def action_copy_cell(self) -> None:
        """Choose one value of what is selected, and copy it alone."""
        front = self.front
        copy_cell(self, front.cells() if front is not None else {})

    def action_export(self) -> None:
        """Ask where to write what is shown, and write it."""
        from lipscope.tui.dialogs.export import open_export

        screen = entry(self.front_id)
        open_export(self, self.state, screen, self.front)

    async def action_report(self) -> None:
        """Write a whole report into the working directory, as Markdown and as HTML."""
        from lipscope.tui.dialogs.report import write_report

        await write_report(self)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: the table of bindings, and Textual's own themes and screenshots."""
        for scope, binding in described():
            if scope not in (*DIALOGS, MOVES) and binding.action != "command_palette":
                name = f"{scope}: {binding.description}" if scope != "Everywhere" else binding.description
                yield SystemCommand(name, binding.tooltip, partial(self._command, scope, binding.action))
        for command in super().get_system_commands(screen):
            if command.title in {"Theme", "Screenshot"}:
                yield command

    async def _command(self, scope: str, action: str) -> None:
        if scope == "Everywhere":
            await self.run_action(action)
            return
        await self.action_show_tab(next(screen.id for screen in SCREENS if screen.title == scope))
        front = self.front
        if front is not None:
            await self.run_action(action, front)
