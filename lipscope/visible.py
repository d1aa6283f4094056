"""What makes text from elsewhere harmless for a terminal.

File names, tensor names, metadata and what servers answer are data: shown as they are, never obeyed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

SET_OFF = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that end a line, drive a terminal, reorder a line, or hide what a paste contains."""

PILED_UP = SET_OFF | {"Co", "Cn", "Mc", "Mn", "Me"}
"""Those too that have no cell of their own: they pile up on another one, or nobody knows how wide they are."""

FILLERS = "\u115f\u1160\u3164\uffa0"
"""Letters that look like nothing."""

LINE = 200
"""Cells; the longest text from elsewhere that is shown in one line, unless a place asks for less."""

ASCII_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def visible(text: str, keep: str = "") -> str:
    r"""The text with every control and format character written as an escape.

    Args:
        text: from anywhere.
        keep: control characters that stay, e.g. the line ends of a text of ours.

    >>> visible("conv\x1b[31m\n"), visible("a\nb\u202e", keep="\n")
    ('conv\\x1b[31m\\n', 'a\nb\\u202e')
    """
    if text.isprintable():
        return text
    if text.isascii():
        return ASCII_CONTROLS.sub(lambda found: found[0] if found[0] in keep else escaped(found[0]), text)
    return "".join(
        letter if letter in keep or unicodedata.category(letter) not in SET_OFF else escaped(letter) for letter in text
    )


def escaped(character: str) -> str:
    r"""One character by its number.

    >>> escaped("\x1b"), escaped("\n"), escaped("\u202e")
    ('\\x1b', '\\n', '\\u202e')
    """
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def harmless(value: object, width: int = LINE, *, keep: Literal["start", "end"] = "start") -> str:
    r"""The text in visible characters, on one line, at most ``width`` cells wide.

    Control, format, combining and unassigned characters are written as escapes, so that two different texts
    look different and none can drive the terminal. What is cut off leaves an ellipsis. The work is bounded by
    ``width``, not by the length of the text. The result is plain: hand it on as such, not as markup.

    Args:
        value: a string, or anything whose ``str`` is meant.
        width: cells, at least 1.
        keep: which end survives a cut; names are told apart by their end.

    >>> harmless("conv\x1b[31m\n[red]")
    'conv\\x1b[31m\\n[red]'
    >>> harmless("stage1.block1.conv.kernel", 12, keep="end")
    '…conv.kernel'
    """
    text = value if isinstance(value, str) else str(value)
    # Every character takes at least one cell once escaped, so no more than width + 1 of them matter.
    part = text[: width + 1] if keep == "start" else text[-width - 1 :]
    if part.isascii() and part.isprintable():  # nearly every name: nothing to escape, one cell each
        if len(text) <= width:
            return text
        return part[: width - 1] + "…" if keep == "start" else "…" + part[len(part) - width + 1 :]
    pieces = [_visible(character) for character in part]
    if len(part) == len(text) and sum(map(_cells, pieces)) <= width:
        return "".join(pieces)
    kept: list[str] = []
    room = width - 1
    for piece in pieces if keep == "start" else reversed(pieces):
        room -= _cells(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…" if keep == "start" else "…" + "".join(reversed(kept))


def _visible(character: str) -> str:
    seen = unicodedata.category(character) not in PILED_UP and character not in FILLERS
    return character if seen else escaped(character)


def _cells(piece: str) -> int:
    """Or fewer: of symbols that are newer than its tables, a terminal may think either."""
    symbols = (character > "\u2600" and unicodedata.category(character) in ("So", "No") for character in piece)
    wide = (unicodedata.east_asian_width(character) in "WF" for character in piece)
    return len(piece) + sum(map(max, symbols, wide))


FORMULAS = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""


def cell(value: object) -> object:
    r"""The cell of a CSV file: numbers stay numbers, and no text drives a terminal or becomes a formula.

    Before what could be one stands an apostrophe, which spreadsheets do not show.

    >>> cell("=1+1"), cell("a\x1b"), cell(-1)
    ("'=1+1", 'a\\x1b', -1)
    """
    if not isinstance(value, str):
        return value
    text = visible(value, keep="\n")
    return f"'{text}" if text.startswith(FORMULAS) else text


def counted(number: int, what: str) -> str:
    """A number of things in words.

    >>> counted(1, "image"), counted(10_000, "attacked image")
    ('1 image', '10,000 attacked images')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration at the precision that matters.

    >>> duration(3.21), duration(42), duration(600), duration(9000)
    ('3.2 s', '42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
