"""Where the names of curves stand."""

from __future__ import annotations

import numpy as np
import pytest

from lipscope.tui.plots.range import Range
from lipscope.tui.widgets.chart import Drawing, Series, _fill, _name_ends, _row

COLUMNS, ROWS, OVER, UP = 60, 12, Range(1.0, 10.0), Range(0.0, 1.0)


def drawn(*ends: float, until: float) -> list[str]:
    """Straight lines from 0.1 to these ends at this epoch, as text without braille."""
    x = np.array([1.0, until])
    series = [Series(f"line{k}", x, np.array([0.1, end])) for k, end in enumerate(ends)]
    drawing = Drawing(OVER, series, UP, named=True)
    cells = [[(" ", "")] * COLUMNS for _ in range(ROWS)]
    _fill(drawing, cells, COLUMNS, ROWS)
    _name_ends(drawing, cells, ROWS)
    return ["".join(letter for letter, _ in row) for row in cells]


def place(text: list[str], name: str) -> tuple[int, int]:
    ((row, column),) = ((k, line.index(name)) for k, line in enumerate(text) if name in line)
    return row, column


@pytest.mark.parametrize("ends", [(0.9, 0.3), (0.3, 0.9), (0.52, 0.48)])
def test_behind_the_end_of_a_line_that_goes_on_there_is_its_name(ends):
    text = drawn(*ends, until=5.0)
    assert [place(text, f"line{k}")[1] for k in range(2)] == [OVER.column(5.0, COLUMNS) + 2] * 2
    for k, end in enumerate(ends):
        assert abs(place(text, f"line{k}")[0] - _row(end, UP, ROWS)) <= (abs(ends[0] - ends[1]) < 0.1)


@pytest.mark.parametrize("ends", [(0.9, 0.3), (0.3, 0.9), (1.0, 0.0)])
def test_at_the_edge_the_highest_has_its_name_over_it_and_others_under_it(ends):
    text = drawn(*ends, until=10.0)
    rows = [place(text, f"line{k}")[0] for k in range(2)]
    at = [_row(end, UP, ROWS) for end in ends]
    high = int(ends[1] > ends[0])
    assert rows[high] == (at[high] - 1 if at[high] else at[high] + 1)
    assert rows[1 - high] == (at[1 - high] + 1 if at[1 - high] < ROWS - 1 else at[1 - high] - 1)


def test_lines_that_end_close_together_have_their_names_apart():
    text = drawn(0.6, 0.5, until=10.0)
    assert place(text, "line0")[0] < _row(0.6, UP, ROWS) < _row(0.5, UP, ROWS) < place(text, "line1")[0]
