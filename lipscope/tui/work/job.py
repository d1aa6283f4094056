"""A command of lipscope that the app has started in a process of its own: certify or attack, followed line by line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lipscope.system import interrupt, new_group

LAST = 3
"""Lines that are kept of what it says."""


@dataclass(frozen=True)
class JobView:
    """Where it stands."""

    name: str  # of the command
    said: tuple[str, ...] = ()  # its last lines
    code: int | None = None  # how it ended; None while it runs


class Job:
    """Runs ``lipscope NAME ARGUMENTS``; what it says on stderr is handed over, and its end, for its :attr:`view`."""

    def __init__(self, name: str, arguments: Sequence[str], tell: Callable[[JobView], object]) -> None:
        self.view, self._tell = JobView(name), tell
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lipscope", name, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
            errors="replace", env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}, **new_group(),
        )  # fmt: skip
        threading.Thread(target=self._follow, name=f"lipscope-{name}", daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to stop; what it has kept so far stays."""
        if self.running:
            interrupt(self._process)

    def _follow(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        lines: deque[str] = deque(maxlen=LAST)
        with stream:
            for line in filter(str.strip, stream):
                lines.append(line.strip())
                self._tell(JobView(self.view.name, tuple(lines)))
        self._tell(JobView(self.view.name, tuple(lines), self._process.wait()))
