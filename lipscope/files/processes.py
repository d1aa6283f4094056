"""Whether the process that wrote a file is still there: the operating system knows, so nobody has to wait for news."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_FIELD = 21
"""In ``/proc/PID/stat``, counted from 0: when a process began. A number is given again, a number and a time are not."""


@dataclass(frozen=True)
class Process:
    """A process on some machine.

    Args:
        number: its id there.
        host: the machine's name.
        began: when, in ticks since the machine started; 0 where that is not known.
    """

    number: int
    host: str
    began: int

    def to_json(self) -> dict[str, Any]:
        """The object in a file."""
        return {"number": self.number, "host": self.host, "began": self.began}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Process:
        """The process of a file.

        Raises:
            KeyError, TypeError: it is none.
        """
        number, host, began = values["number"], values["host"], values["began"]
        if not (type(number) is int and 0 < number < 2**31 and isinstance(host, str) and type(began) is int):
            raise TypeError("not a process")
        return Process(number, host, began)


def this_process() -> Process:
    """The one that runs."""
    return Process(os.getpid(), platform.node(), _began(os.getpid()))


def has_ended(process: Process) -> bool:
    """Whether the process is known to be gone; false where this machine cannot know.

    >>> has_ended(this_process())
    False
    """
    if process.host != platform.node() or os.name != "posix":
        return False
    try:
        os.kill(process.number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is somebody else's, and there
    return bool(process.began) and _began(process.number) not in (0, process.began)


def _began(number: int) -> int:
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
        # The name, in brackets, may hold blanks and brackets.
        fields = text.rpartition(")")[2].split()
        # What has ended and waits to be asked for its exit code is gone too.
        return -1 if fields[0] == "Z" else int(fields[START_FIELD - 2])
    except (OSError, ValueError, IndexError):
        return 0
