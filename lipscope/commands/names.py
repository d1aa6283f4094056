"""Names of layers and tensors in a column: whole where a program or a file reads them, short on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from lipscope.visible import visible

WIDTH = 28
"""Columns for names on a terminal."""

LONGEST = 200
"""Characters of a name that are printed at most; no network in use has longer ones."""


@dataclass(frozen=True)
class Names:
    """How the names of one table are written.

    Args:
        prefix: what all of them begin with and none of the cells repeats; empty where there is no need.
        width: of the column.
        cells: the text for each name.
    """

    prefix: str
    width: int
    cells: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """The cell of a name, padded to the width of the column."""
        return self.cells[name].ljust(self.width)

    @property
    def above(self) -> list[str]:
        """The line for above the table, if there is one to write."""
        return [f"all names begin with {self.prefix}"] if self.prefix else []


def column_of(names: Iterable[str], *, whole: bool | None = None, width: int = WIDTH) -> Names:
    """The names of one table, visible on one line.

    Args:
        names: as the file has them.
        whole: nothing is cut; by default where stdout is no terminal.
        width: of the column at least, and on a terminal at most.

    >>> long = "base_model.model.encoder.layer.{}.attention.self.query.weight"
    >>> short = column_of([long.format(i) for i in (0, 11)], whole=False)
    >>> short.above
    ['all names begin with base_model.model.encoder.layer.']
    >>> list(short.cells.values())
    ['0.attention.s…f.query.weight', '11.attention.…f.query.weight']
    """
    given = {name: middle(visible(name[: 2 * LONGEST]), LONGEST) for name in names}
    if whole is None:
        whole = not sys.stdout.isatty()
    longest = max(map(len, given.values()), default=0)
    if whole or longest <= width:
        return Names("", max(width, longest), given)
    prefix = common_prefix(list(given.values()))
    return Names(prefix, width, {name: middle(text[len(prefix) :], width) for name, text in given.items()})


def common_prefix(names: Sequence[str]) -> str:
    """The parts, divided by dots, that all names begin with; empty for a single name.

    >>> common_prefix(["model.layer1.weight", "model.layer10.weight"]), common_prefix(["a.b"])
    ('model.', '')
    """
    if len(names) < 2:
        return ""
    # What the first and the last in order share, all between them share.
    pairs = zip(*(name.split(".")[:-1] for name in (min(names), max(names))), strict=False)
    return "".join(f"{one}." for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def middle(text: str, width: int) -> str:
    """The text with its middle left out where it is too long; names are told apart by their ends.

    >>> middle("encoder.layer.attention.weight", 20)
    'encoder.l…ion.weight'
    """
    if len(text) <= width:
        return text
    front = (width - 1) // 2
    return f"{text[:front]}…{text[len(text) - (width - 1 - front) :]}"
