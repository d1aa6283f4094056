"""What a command prints: answers go to stdout, narration to stderr, both through one seam.

Control characters in names and messages are written as escapes there, so that no file, server or path can drive the
terminal, and a reader that has gone (``| head``) ends no command.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

from lipscope.visible import visible

LONGEST = 2000
"""Characters of a line on stderr; the middle of a longer one, with a name of thousands of characters, is left out."""


def say(text: object, *, end: str = "\n") -> None:
    """An answer on stdout: lines of text, or one line for anything else, such as a path.

    Raises:
        OSError: stdout leads to a full disk.
    """
    _write(sys.stdout, (visible(text, keep="\n\t") if isinstance(text, str) else visible(str(text))) + end)


def narrate(text: object) -> None:
    """One line on stderr.

    Raises:
        OSError: stderr leads to a full disk.
    """
    line = f"lipscope: {visible(str(text))}"
    complain(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}")


def complain(text: str) -> None:
    """Lines on stderr, as they are.

    Raises:
        OSError: stderr leads to a full disk.
    """
    _write(sys.stderr, visible(text, keep="\n") + "\n")


def _write(stream: TextIO | None, text: str) -> None:
    # None where it was closed.
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # A reader that has enough, or a terminal that was closed: nobody waits for the rest.
        gone = isinstance(error, BrokenPipeError) or (error.errno == errno.EIO and stream is sys.stderr)
        if not gone:
            raise
        silence(stream)


def silence(stream: TextIO) -> None:
    """Let go of what is still to be written, and of all that follows."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
