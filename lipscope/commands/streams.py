"""stdin, stdout and stderr as they come: in any encoding, closed, or led to a reader that goes."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from contextlib import suppress

PLAIN = "lipscope.plain"
"""The name of the error handler of the codecs."""

TWINS = {
    **dict.fromkeys("█▇▆▉▊▙▛▜▟", "#"),
    **dict.fromkeys("▄▅▌▋▀▐▖▗▘▚▝▞", "="),
    **dict.fromkeys("▁▂▃▏▎▍", "-"),
    **dict.fromkeys("–—−─━╌", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
    **{"…": "~", "×": "x", "·": ".", "•": "*", "σ": "s", "≤": "<=", "≥": ">=", "→": "->", "←": "<-", "±": "+-"},
}
"""Characters of ours that an encoding may lack; one column for one, wherever they stand in columns."""


def prepare() -> None:
    """Make the three streams usable, whatever they are; once, before anything is opened or printed."""
    # A file that is opened while one of them is closed would take its number, and get what others print.
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    codecs.register_error(PLAIN, plain)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(ValueError):
                stream.reconfigure(errors=PLAIN)


def plain(error: UnicodeError) -> tuple[str, int]:
    """The error handler: what an encoding lacks as its twin, as its letter without accents, else as ``?``.

    >>> codecs.register_error(PLAIN, plain)
    >>> "36 █▌ – Größe 😀".encode("ascii", PLAIN)
    b'36 #= - Grosse ?'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_twin, error.object[error.start : error.end])), error.end


def _twin(character: str) -> str:
    if character in TWINS:
        return TWINS[character]
    letters = unicodedata.normalize("NFKD", character.replace("ß", "ss"))
    return letters.encode("ascii", "ignore").decode() or "?"
