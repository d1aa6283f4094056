"""The app of ``lipscope inspect``: it paints the header at once and fills in what threads find out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import TabPane

from lipscope.system import STOPPED
from lipscope.tui.config import Config
from lipscope.tui.dialogs.app import DialogApp
from lipscope.tui.keys.bindings import MOVES, bindings_of
from lipscope.tui.keys.footer import KeysLine
from lipscope.tui.keys.motion import TWICE, go
from lipscope.tui.overview.answers import answer
from lipscope.tui.panes import Pane, Wanted
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.results import changed_words
from lipscope.tui.settings import Remembered
from lipscope.tui.widgets.drawn import Drawn
from lipscope.tui.widgets.entry import TypedAhead
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.widgets.progress import ProgressLine
from lipscope.tui.widgets.tabs import ScreenTabs
from lipscope.tui.widgets.title import title_line
from lipscope.tui.work.job import Job, JobView
from lipscope.tui.work.run_watch import Child
from lipscope.tui.work.session import Session
from lipscope.tui.work.worker import Analyse, Means
from lipscope.visible import harmless

REPAINT_SECONDS = 0.05
"""Events closer together than this are painted together."""

AFTER_FIRST_PAINT = 0.05
"""Seconds until the threads begin."""

LONGEST_PAUSE = 2.0
"""Seconds between two paintings at most."""


class InspectApp(DialogApp):
    """Shows one checkpoint.

    ``analyse`` yields the analysis of the file at a path, step by step, in a thread, or is all means of the work; the
    folder ``run`` need not be there yet; ``child`` is its training, where this process has started it.

    Raises:
        CheckpointError: the header, or the description of the run, cannot be read.
    """

    TITLE = "lipscope"
    CSS_PATH = "app.tcss"
    BINDINGS = bindings_of("Everywhere", MOVES)
    ALLOW_SELECT = False  # ctrl+c quits; the terminal's own selection (shift + mouse) copies
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares an instance variable
        (0, "-narrow"),
        (80, "-medium"),
        (100, "-wide"),
        (160, "-very-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (23, "-tall"),
        (32, "-very-tall"),
    ]

    def __init__(
        self,
        path: Path,
        *,
        analyse: Analyse | Means,
        config: Config | None = None,
        screen: str | None = None,
        other: Path | None = None,
        run: Path | None = None,
        child: Child | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        super().__init__()
        self.wanted: tuple[Path, Path | None] | None = None
        self._remembered = remembered or Remembered()
        self.animation_level = "none"  # over SSH every frame of an animation is a delay
        self._path = path
        self._config = config or Config()
        self._first = SCREENS[0] if screen is None else entry(screen)
        self._screen_id = self._first.id
        self._repaint_pending, self._pause = False, REPAINT_SECONDS
        self._g_at = float("-inf")
        self._typed_ahead = TypedAhead()
        means = analyse if isinstance(analyse, Means) else Means(analyse)
        self._precedence = means.precedence
        self._job: Job | None = None
        folders = {"--data-dir": means.data_dir, "--keep": means.kept}
        self._folders = [word for name, folder in folders.items() if folder for word in (name, str(folder))]
        self.session = Session(path, means, hear=self._hear, changed=self._changed, run=run, child=child)
        self.other: Session | None = None
        if other is not None:
            self.other = Session(other, means, hear=self._hear, changed=self._changed, behind=self.session)

    @property
    def busy(self) -> bool:
        """Whether a thread still computes."""
        return any(session.busy for session in self._sessions)

    @property
    def settled(self) -> bool:
        """Whether all that can be computed now is computed, and the screens have been shown it."""
        active = any(session.phase.active for session in self._sessions)
        return not (active or self.busy or self._repaint_pending)

    @property
    def _sessions(self) -> tuple[Session, ...]:
        return (self.session,) if self.other is None else (self.session, self.other)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run until the user quits; never waits for a computation.

        Raises:
            BaseException: what a thread raised unforeseen; it was shown in the app meanwhile.
        """
        for name in ("COLUMNS", "LINES"):  # a shell that exports them would hold the app to one size
            os.environ.pop(name, None)
        result: Any = super().run(*args, **kwargs)
        for session in self._sessions:
            if session.crash is not None:
                raise session.crash
        return result

    def compose(self) -> ComposeResult:
        """The tabs; each screen is made when it comes to the front, the overview before the first paint."""
        yield Drawn(id="title")
        yield Notice("", id="changed", classes="")
        with ScreenTabs(initial=self._first.id):
            for screen in SCREENS:
                with TabPane(screen.label, id=screen.id):
                    if screen is self._first is SCREENS[0]:
                        yield self._made(screen)
        with Vertical(id="bottom"):
            yield ProgressLine()
            yield KeysLine()

    def on_mount(self) -> None:
        """Paint the header, then go on with the rest."""
        theme = self._remembered.theme or self._config.theme
        if theme is not None:
            self.theme = theme
        self.set_keymap(dict(self._config.keys))
        self._tabs.query_one("ContentTabs").can_focus = False
        self._repaint()
        self._focus_main()
        self.call_after_refresh(self._complete)

    async def _complete(self) -> None:
        """What the first paint did without: another screen than the overview, and the threads."""
        await self._make_front()
        if self._open:
            self._tabs.label(self.size.width)
            self._focus_main()
            self.set_timer(AFTER_FIRST_PAINT, self._begin)
        for complaint in self._config.complaints:
            self.notify(complaint, title="settings", severity="warning", timeout=10, markup=False)

    def _begin(self) -> None:
        """The threads: what is imported now would hold up a key that was typed already."""
        if self._open:
            for session in self._sessions:
                session.start()
            # What the other screens need is then there, numpy above all, when the first key asks for one.
            threading.Thread(target=lambda: [screen.load() for screen in SCREENS], daemon=True).start()

    def on_unmount(self) -> None:
        """Let the threads end at their next event, nothing waits for them; remember this session for the next."""
        theme = self.theme if self.theme != (self._config.theme or "textual-dark") else None
        folds = {**self._remembered.folds, **self._folds}
        replace(self._remembered, theme=theme, screen=self._screen_id, folds=folds).opened(self._path).keep()
        if self._job is not None:
            self._job.stop()
        for session in self._sessions:
            session.close()

    # Painting

    def _hear(self, news: Callable[..., None], *about: Any, **facts: Any) -> None:
        """What a thread tells, later and on the app's own; once its loop has closed nobody is left to tell."""
        with suppress(RuntimeError):
            self.call_later(news, *about, **facts)

    @on(Wanted)
    def _wanted(self, message: Wanted) -> None:
        message.ask(self.session)

    def _changed(self) -> None:
        """Paint the new state soon: together with those that follow at once."""
        if not self._repaint_pending and self._open:
            self._repaint_pending = True
            self.set_timer(self._pause, self._repaint)

    def _repaint(self) -> None:
        self._repaint_pending = False
        if not self._open:
            return
        started, state = time.monotonic(), self.state
        self.refresh_bindings()
        other = self.other.state if self.other is not None else None
        base = self.screen_stack[0]
        session = self.session
        base.query_one("#title", Drawn).show(lambda width, height: title_line(answer(state), session, width))
        words, live = changed_words(state)
        base.query_one("#changed", Notice).set_class(live, "-news").show(words)
        at_work = state if other is None or state.phase.active or not other.phase.active else other
        base.query_one(ProgressLine).show(at_work, self._job.view if self._job else None)
        self._tabs.dim(self.absent)
        self._behind = set(self._panes())
        self._show_front()
        # Keys have nine tenths of the time also where one painting is long.
        self._pause = min(max(REPAINT_SECONDS, 9 * (time.monotonic() - started)), LONGEST_PAUSE)

    # Keys and focus

    def on_key(self, event: events.Key) -> None:
        """Hand a key on to the entry that has opened since it was typed, before it means something here."""
        self._typed_ahead.hand_on(event, self.focused)

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Cancel is offered while there is something to cancel, swap while there are two."""
        busy = self._job is not None or any(one.phase.active for one in self._sessions)
        return {"cancel": busy, "swap": self.other is not None}.get(action, True)

    def exit(self, *args: Any, **kwargs: Any) -> None:
        """Leave; the threads end at their next step, and do not hold up what is left to do."""
        for session in self._sessions:
            session.close()
        super().exit(*args, **kwargs)

    def action_cancel(self) -> None:
        """Stop the analysis."""
        if self._job is not None:
            self._job.stop()
            return
        for session in self._sessions:
            if session.phase.active:
                session.cancel()

    def action_swap(self) -> None:
        """Of two models, show the other one."""
        if self.other is not None:
            self.session, self.other = self.other, self.session
            self._repaint()

    def action_start(self, command: str) -> None:
        """Certify or attack the model in a process of its own; the screens follow the results."""
        if self._job is not None:
            self.notify(f"{self._job.view.name} runs already; X stops it", markup=False)
            return
        force = ["--force"] if command == "certify" and self.state.results.certificates is not None else []
        arguments = [str(self.state.header.path), *force, *self._folders]
        self._job = Job(command, arguments, partial(self._hear, self._job_told))
        self._changed()

    def _job_told(self, view: JobView) -> None:
        if self._job is not None:
            self._job.view = view
        if view.code is not None:
            self._job = None
            words = {0: "done", 5: "a certificate was broken", **dict.fromkeys(STOPPED, "stopped")}
            said = words.get(view.code) or "; ".join(view.said) or f"exit code {view.code}"
            severity: Literal["information", "error"] = "information" if view.code in words else "error"
            self.notify(harmless(said, 300), title=view.name, severity=severity, timeout=10, markup=False)
        self._changed()

    def action_reload(self) -> None:
        """Read the file again, from the start."""
        for session in self._sessions:
            session.reload()

    def on_resize(self, event: events.Resize) -> None:
        """Fold, unfold and label as the new width wants it: the app's own size follows after the event."""
        for bar in self.screen_stack[0].query(FoldBar):
            bar.fit(event.size.width)
        self._tabs.label(event.size.width)

    def action_go(self, where: str) -> None:
        """Move where the focus is."""
        focused, front = self.screen.focused, self.front if self.screen is self.screen_stack[0] else None
        moving = front.moving() if front is not None and isinstance(focused, Pane | Panel | None) else None
        go(moving or focused or front, where)

    def action_go_first(self) -> None:
        """The first ``g`` waits for the second."""
        now = time.monotonic()
        if now - self._g_at <= TWICE:
            self._g_at = float("-inf")
            self.action_go("first")
        else:
            self._g_at = now
