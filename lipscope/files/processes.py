"""Whether the process that wrote a file is still there: the operating system knows, so nobody has to wait for news."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lipscope.system import began, is_gone


@dataclass(frozen=True)
class Process:
    """A process on some machine.

    Args:
        number: its id there.
        host: the machine's name.
        began: when, on the system's own clock; 0 where that is not known. A number is given again, a number and a time
            are not.
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
    return Process(os.getpid(), platform.node(), began(os.getpid()))


def has_ended(process: Process) -> bool:
    """Whether the process is known to be gone; false where this machine cannot know.

    >>> has_ended(this_process())
    False
    """
    if process.host != platform.node():
        return False
    if is_gone(process.number):
        return True
    return bool(process.began) and began(process.number) not in (0, process.began)
