"""The app of ``lipscope inspect``: it paints the header at once and fills in what threads find out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from textual import on
from textual.app import App, ComposeResult, SystemCommand
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, TabbedContent, TabPane

from lipscope.checkpoint import read_header
from lipscope.errors import CheckpointError, LipscopeError
from lipscope.records import LayerReport
from lipscope.tui.bindings import bindings_of, described
from lipscope.tui.facts import headline
from lipscope.tui.panes import Focusing, Pane, Stepping
from lipscope.tui.registry import SCREENS
from lipscope.tui.state import Phase, State
from lipscope.tui.widgets.progress import ProgressLine
from lipscope.tui.widgets.title import TitleLine
from lipscope.tui.worker import Analyse, Analysed, AnalysisEnded, Crashed, Hashed, ResultsRead, Work

REPAINT_SECONDS = 0.05
"""Events closer together than this are painted together."""


class InspectApp(App[None]):
    """Shows one checkpoint.

    Args:
        path: the model; its header is read here, before there is a screen.
        analyse: yields the analysis of the file at a path, step by step; runs in a thread.

    Raises:
        CheckpointError: the header cannot be read.
    """

    TITLE = "lipscope"
    CSS_PATH = "app.tcss"
    BINDINGS = bindings_of("Everywhere")
    ENABLE_COMMAND_PALETTE = True
    ALLOW_SELECT = False  # ctrl+c quits; the terminal's own selection (shift + mouse) copies
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares an instance variable
        (0, "-narrow"),
        (76, "-medium"),
        (100, "-wide"),
        (160, "-very-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (23, "-tall"),
        (32, "-very-tall"),
    ]

    def __init__(self, path: Path, *, analyse: Analyse) -> None:
        super().__init__()
        self.animation_level = "none"  # over SSH every frame of an animation is a delay
        self._path = path
        self._analyse = analyse
        self._work: Work | None = None
        self._layers: dict[str, LayerReport] = {}
        self._repaint_pending = False
        self.state = State(read_header(path))
        self.crash: BaseException | None = None

    @property
    def _open(self) -> bool:
        """Whether there is a screen to work on: a timer or a callback may come after the user has quit."""
        return bool(self.screen_stack) and self.screen_stack[0].is_attached

    @property
    def busy(self) -> bool:
        """Whether a thread is still at work."""
        return self._work is not None and self._work.alive

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run until the user quits; never waits for a computation.

        Raises:
            BaseException: what a thread raised unforeseen; it was shown in the app meanwhile.
        """
        super().run(*args, **kwargs)
        if self.crash is not None:
            raise self.crash

    def compose(self) -> ComposeResult:
        """The overview; the other screens come after the first paint."""
        yield TitleLine(self._path)
        with TabbedContent(initial=SCREENS[0].id):
            first, *others = SCREENS
            with TabPane(first.label, id=first.id):
                yield first.load()()
            for screen in others:
                yield TabPane(screen.label, id=screen.id)
        with Vertical(id="bottom"):
            yield ProgressLine()
            yield Footer(compact=True)

    def on_mount(self) -> None:
        """Paint the header, then go on with the rest."""
        self.query_one(TabbedContent).query_one("ContentTabs").can_focus = False
        self._repaint()
        self._focus_main()
        self.call_after_refresh(self._complete)

    async def _complete(self) -> None:
        """What the first paint did without: the other screens, and the threads."""
        for screen in SCREENS[1:]:
            if self._open:
                await self.query_one(f"#{screen.id}", TabPane).mount(screen.load()())  # imports numpy and plotext
        if self._open:
            self._focus_main()
            self._start()

    def _start(self) -> None:
        """Start the threads, behind those of an earlier start, which are cancelled."""
        if self._work is not None:
            self._work.cancel()
        self._layers = {}
        self._work = Work(self._path, self._analyse, self.post_message, after=self._work)
        self._work.start()
        self._set(State(self.state.header))

    def on_unmount(self) -> None:
        """Let the threads end at their next event; nothing waits for them."""
        if self._work is not None:
            self._work.cancel()

    # What the threads say

    @on(Analysed)
    def _analysed(self, message: Analysed) -> None:
        if message.work is not self._work or not self.state.phase.active:
            return
        event = message.event
        if event.layer is not None:
            self._layers[event.layer.name] = event.layer
        self._set(
            replace(
                self.state,
                phase=Phase.RUNNING,
                verdict=event.verdict or self.state.verdict,
                done=event.done,
                total=event.total,
                doing=event.doing,
            )
        )

    @on(AnalysisEnded)
    def _analysis_ended(self, message: AnalysisEnded) -> None:
        if message.work is not self._work or not self.state.phase.active:
            return
        phase = Phase.DONE if message.failure is None else Phase.FAILED
        self._set(replace(self.state, phase=phase, seconds=message.seconds, failure=message.failure))

    @on(ResultsRead)
    def _results_read(self, message: ResultsRead) -> None:
        if message.work is self._work:
            self._set(replace(self.state, results=message.results))

    @on(Hashed)
    def _hashed(self, message: Hashed) -> None:
        if message.work is self._work:
            self._set(replace(self.state, sha256=message.sha256))

    @on(Crashed)
    def _crashed(self, message: Crashed) -> None:
        self.crash = self.crash or message.error
        self._fail(
            LipscopeError(
                f"{type(message.error).__name__}: {message.error}",
                why="an error in lipscope itself, not in the file",
                next_step="quit to see the traceback, and report it",
            )
        )

    def _fail(self, failure: LipscopeError) -> None:
        self._set(replace(self.state, phase=Phase.FAILED, failure=failure))

    # Painting

    def _set(self, state: State) -> None:
        """Take another state, and paint it soon: together with those that follow at once."""
        phase_before, self.state = self.state.phase, state
        if state.phase is not phase_before:
            self.refresh_bindings()
        if not self._repaint_pending:
            self._repaint_pending = True
            self.set_timer(REPAINT_SECONDS, self._repaint)

    def _repaint(self) -> None:
        self._repaint_pending = False
        if not self._open:
            return
        self.state = state = replace(self.state, layers=dict(self._layers))
        base = self.screen_stack[0]
        base.query_one(TitleLine).show(headline(state), active=state.phase.active)
        base.query_one(ProgressLine).show(state)
        for pane in self._panes():
            pane.show(state)

    def _panes(self) -> Iterable[Pane]:
        """The screens that are complete."""
        tabs = self.screen_stack[0].query(TabPane)
        return (pane for tab in tabs for pane in tab.children if isinstance(pane, Pane) and pane.is_mounted)

    def _front(self) -> Widget | None:
        """The screen in front, once it is complete."""
        tab = self.screen_stack[0].query_one(TabbedContent).active_pane
        return next((pane for pane in tab.children if pane.is_mounted), None) if tab is not None else None

    def _focus_main(self) -> None:
        front = self._front()
        if isinstance(front, Focusing):
            front.focus_main()
        elif front is not None:
            front.focus()

    # Actions

    @on(TabbedContent.TabActivated)
    def _tab_activated(self) -> None:
        if self._open:
            self._focus_main()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Cancel is offered while there is something to cancel."""
        return self.state.phase.active if action == "cancel" else True

    def action_show_tab(self, tab: str) -> None:
        """Bring a screen to the front."""
        self.screen_stack[0].query_one(TabbedContent).active = tab

    def action_cancel(self) -> None:
        """Stop the analysis."""
        if self._work is not None:
            self._work.cancel()
            self._set(replace(self.state, phase=Phase.CANCELLED))

    def action_reload(self) -> None:
        """Read the file again, from the start."""
        try:
            header = read_header(self._path)
        except CheckpointError as failure:
            if self._work is not None:
                self._work.cancel()
            self._fail(failure)
            return
        self.state = State(header)
        self._start()

    def action_help(self) -> None:
        """Show the keys."""
        from lipscope.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen())

    async def action_back(self) -> None:
        """Step out: first inside the screen in front, then to the overview."""
        front = self._front()
        if not isinstance(front, Stepping) or not front.step_back():
            self.action_show_tab(SCREENS[0].id)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: the table of bindings, and Textual's own themes and screenshots."""
        for scope, binding in described():
            if scope != "Help" and binding.action != "command_palette":
                name = f"{scope}: {binding.description}" if scope != "Everywhere" else binding.description
                yield SystemCommand(name, binding.tooltip, partial(self._command, scope, binding.action))
        for command in super().get_system_commands(screen):
            if command.title in {"Theme", "Screenshot"}:
                yield command

    async def _command(self, scope: str, action: str) -> None:
        if scope == "Everywhere":
            await self.run_action(action)
            return
        self.action_show_tab(next(screen.id for screen in SCREENS if screen.title == scope))
        front = self._front()
        if front is not None:
            await self.run_action(action, front)
