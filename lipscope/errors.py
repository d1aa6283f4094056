"""The errors a user can cause: what happened, where, why, and what to do next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar


def typed(*words: object) -> str:
    """A command line of lipscope as it is typed into a shell, in backquotes.

    >>> typed("train", "--resume", Path("my runs/a"))
    "`lipscope train --resume 'my runs/a'`"
    >>> typed("inspect", Path("-x.safetensors"))
    '`lipscope inspect ./-x.safetensors`'
    """
    texts = [f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words]
    return f"`{shlex.join(['lipscope', *texts])}`"


class LipscopeError(Exception):
    """An error that the command line prints as one line, without a traceback.

    Args:
        what: what went wrong, e.g. ``"the file is truncated"``.
        where: the file, option or layer it concerns.
        why: the detail that explains it; of an error of the system, what the system says.
        next_step: what the user can do.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "failed"

    def __init__(self, what: str, *, where: str = "", why: str | OSError = "", next_step: str = "") -> None:
        self.what = what
        self.where = where
        self.why = why if isinstance(why, str) else why.strerror or str(why)
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        """One line: ``where: what (why); next step``."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f" ({self.why})"
        if self.next_step:
            text += f"; {self.next_step}"
        return text

    def to_json(self) -> dict[str, dict[str, str]]:
        """The object that ``--json`` prints instead of a result."""
        return {
            "error": {
                "code": self.code,
                "what": self.what,
                "where": self.where,
                "why": self.why,
                "next": self.next_step,
            }
        }


class UsageError(LipscopeError):
    """The command line or the configuration asks for something that cannot be."""

    exit_code: ClassVar[int] = 2
    code: ClassVar[str] = "usage"


class DataError(LipscopeError):
    """A data set is missing, damaged, or not what its checksum says."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "data"


class CheckpointError(LipscopeError):
    """A checkpoint or results file cannot be read, or does not describe a model."""

    exit_code: ClassVar[int] = 4
    code: ClassVar[str] = "checkpoint"


class CheckFailedError(LipscopeError):
    """A check that the user asked for did not hold."""

    exit_code: ClassVar[int] = 5
    code: ClassVar[str] = "check-failed"
