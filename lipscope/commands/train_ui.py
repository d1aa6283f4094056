"""``lipscope train --ui``: the training in a child process, the app on its run folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

import click

from lipscope.commands.messages import complain, narrate, say
from lipscope.errors import LipscopeError, UsageError, typed
from lipscope.files.run_log import read_run
from lipscope.system import STOPPED, interrupt, new_group

SAID = 20
"""Lines of the child's narration that are kept."""


def require_terminal() -> None:
    """Refuse where there is no place for the app.

    Raises:
        UsageError: no terminal, or one of several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "--ui is for one process", why="torchrun started several",
            next_step="follow the run folder from another terminal with `lipscope inspect`",
        )  # fmt: skip
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("--ui needs a terminal", next_step="leave it out")


def train_and_show(folder: Path, arguments: list[str], data_dir: Path | None) -> None:
    """Train in a child process and show the run until the user quits; then the training is saved and stopped.

    Args:
        folder: of the run; it has been made.
        arguments: of the child, after ``lipscope train``.
        data_dir: where data sets are looked for.

    Raises:
        LipscopeError: the training failed.
        click.Abort: it was stopped before its end.
    """
    from lipscope.commands.app import leave_at_once, means_for, run_app
    from lipscope.tui.app import InspectApp
    from lipscope.tui.config import read_config
    from lipscope.tui.work.run_watch import MODEL, Child

    training = Training(arguments)
    try:
        app = InspectApp(
            folder / MODEL, analyse=means_for(data_dir, None), config=read_config(), screen="training", run=folder,
            child=Child(training.said, training.code),
        )  # fmt: skip
        run_app(app)
    finally:
        code = training.stop()
    progress = read_run(folder).progress
    # The signal may have met a training that had just ended.
    if progress is not None and progress.status == "finished":
        say(folder / MODEL)
        if app.busy:
            leave_at_once(0)
    elif code in STOPPED:
        raise click.Abort
    else:
        raise LipscopeError(
            "the training failed", where=str(folder), why=f"exit code {code}",
            next_step=f"{typed('train', '--resume', folder)} shows why",
        )  # fmt: skip


class Training:
    """A ``lipscope train`` in a process of its own, whose narration is kept.

    Args:
        arguments: after ``lipscope train``.
    """

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lipscope", "train", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
            **new_group(),
        )
        assert self._process.stderr is not None
        self._lines: deque[str] = deque(maxlen=SAID)
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def said(self) -> tuple[str, ...]:
        """The last lines that it narrated."""
        return tuple(self._lines)

    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """Ask it to save and stop, wait until it has, and repeat what it said last; a further Ctrl-C ends it at once.

        Returns:
            its exit code.
        """
        if self.code() is None:
            interrupt(self._process)
            narrate("saving and stopping the training; Ctrl-C stops it without saving")
        while True:
            try:
                code = self._process.wait()
                break
            except KeyboardInterrupt:
                self._process.kill()
        self._reader.join()
        for line in self.said()[-3:]:
            if not (code in STOPPED and line.endswith("interrupted")):  # this process says it as well
                complain(line)
        return code

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            if line.strip():
                self._lines.append(line.rstrip("\n"))
