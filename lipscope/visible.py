"""The one function that makes text from elsewhere harmless for a terminal.

File names, tensor names, metadata and what servers answer are data: shown as they are, never obeyed.
"""

from __future__ import annotations

import re
import unicodedata

SET_OFF = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that end a line, drive a terminal, reorder a line, or hide what a paste contains."""

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


def cut(text: str, width: int) -> str:
    r"""Text from a file: visible characters on one line, and not too many of them.

    >>> cut("a\x1b[31m", 40), cut("conv1.weight", 6)
    ('a\\x1b[31m', 'conv1…')
    """
    harmless = visible(text[: width + 1])
    return harmless if len(harmless) <= width else harmless[: width - 1] + "…"


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
