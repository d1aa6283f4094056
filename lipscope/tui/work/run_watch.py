"""Following a run folder from a thread: what another process, or a child of this one, writes into it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import SUFFIX
from lipscope.files.run_log import DESCRIPTION, LAYERS, METRICS, PROGRESS, RunLog, Standing, read_run, standing_of
from lipscope.tui.work.watch import SECONDS, stamp_of

MODEL = "model" + SUFFIX


@dataclass(frozen=True)
class RunView:
    """A run folder at one moment, as the screens show it."""

    path: Path  # the folder
    log: RunLog | None = None  # what its files tell; None where they cannot be read
    standing: Standing = "not started"  # where the training stands
    silent: float = 0.0  # seconds since the last news, to the minute beyond the first; only while that matters
    model: bool = False  # whether there is a model to analyse
    error: LipscopeError | None = None  # why the folder cannot be read
    said: tuple[str, ...] = ()  # the last lines that the training said, where it is a child of this process

    @property
    def ended(self) -> bool:
        """Whether nobody trains here now."""
        return self.standing in ("stopped", "finished", "failed", "killed")


@dataclass(frozen=True)
class Child:
    """A training that this process has started."""

    said: Callable[[], tuple[str, ...]]  # its last lines so far
    code: Callable[[], int | None]  # how it ended; None while it runs


@dataclass
class RunWatch:
    """A thread that reads the folder whenever a file of it has changed."""

    path: Path
    tell: Callable[[RunView], object]
    look_every: float = SECONDS
    now: Callable[[], float] = time.time  # tells seconds since 1970
    child: Child | None = None  # the training, where this process has started it

    def __post_init__(self) -> None:
        self._stamps: tuple[object, ...] = ()
        self._view = RunView(self.path)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lipscope-run", daemon=True)

    def start(self) -> None:
        """Begin to look, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _follow(self) -> None:
        told: RunView | None = None
        while True:
            view = self.look()
            if view != told:
                told = view
                self.tell(view)
            if self._closed.wait(self.look_every):
                return

    def look(self) -> RunView:
        """The folder now; its files are read only where one of them has changed."""
        stamps = tuple(stamp_of(self.path / name) for name in (DESCRIPTION, METRICS, LAYERS, PROGRESS))
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._view = RunView(self.path, read_run(self.path))
            except CheckpointError as error:
                self._view = replace(self._view, error=error)
        view = replace(
            self._view, model=(self.path / MODEL).is_file(), said=self.child.said() if self.child else ()
        )  # fmt: skip
        if view.log is None:
            return view
        now = self.now()
        standing = self._standing(view.log, now)
        silent = max(now - view.log.written, 0.0) if standing in ("stalled", "not started") else 0.0
        return replace(view, standing=standing, silent=silent - silent % 60)

    def _standing(self, log: RunLog, now: float) -> Standing:
        code = self.child.code() if self.child is not None else None
        if self.child is None or log.finished:
            return standing_of(log, now)
        if code is None:
            # What an earlier session left behind says nothing about the child.
            found = standing_of(log, now)
            return "running" if found in ("stopped", "failed", "killed") else found
        return "stopped" if code == 130 else "failed"
