"""Text that comes from a file is data: shown as it is, never obeyed, and never longer than its place."""

from __future__ import annotations

import unicodedata
from typing import Literal

from rich.cells import get_character_cell_size

from lipscope.visible import SET_OFF, escaped, visible

LINE = 200
"""Cells; the longest text from a file that is shown anywhere, unless a widget asks for less."""

ESCAPED = SET_OFF | {"Co", "Cn", "Mn", "Me"}
"""Unicode categories that move the cursor, reorder the line, or pile up on one cell."""

Fact = tuple[str, str]
"""A label and its value, both harmless."""

COPIED = 2**16
"""Characters that are copied at most."""


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


def pasteable(text: str) -> str:
    r"""The text with all its letters, and nothing in it that a paste could set off: no control or format characters.

    Tabs stay, between the cells of a row. Beyond :data:`COPIED` characters it is cut, as terminals would refuse it.

    >>> pasteable("a\tb\nrm -rf\x1b")
    'a\tb\\nrm -rf\\x1b'
    """
    part = text if len(text) <= COPIED else text[: COPIED - 1] + "…"
    return visible(part, keep="\t")


def _visible(character: str) -> str:
    if unicodedata.category(character) not in ESCAPED and get_character_cell_size(character) > 0:
        return character
    return escaped(character)


def _cells(piece: str) -> int:
    return sum(get_character_cell_size(character) for character in piece)
