import itertools

import numpy as np
from hypothesis import strategies as st

from lipscope.tui.plots.canvas import braille, line, points, rows_of
from lipscope.tui.plots.range import Range
from tests.always import always


@always(value=st.floats(0, 1), rows=st.integers(1, 30))
def test_a_dot_lies_in_the_row_of_its_tick(value, rows):
    up = Range(0.0, 1.0)
    assert rows_of(np.array([value]), up, rows)[0] // 4 == rows - 1 - up.column(value, rows)


def test_a_line_has_no_holes():
    x = np.linspace(0, 1, 50)
    for step in (False, True):
        dots = line(x, np.exp(-9 * x), Range(0, 1), Range(0, 1), 40, 8, step=step)
        assert dots.any(axis=0).all()
        rows = [np.flatnonzero(column) for column in dots.T]
        assert all(b.max() >= a.min() - 1 and b.min() <= a.max() + 1 for a, b in itertools.pairwise(rows))


def test_a_broken_line_is_part_of_the_whole_one():
    x = np.linspace(0, 1, 50)
    whole = line(x, x, Range(0, 1), Range(0, 1), 40, 8)
    broken = line(x, x, Range(0, 1), Range(0, 1), 40, 8, gap=2)
    assert (broken <= whole).all()
    assert 0 < broken.sum() < whole.sum()


def test_points_beyond_the_axes_are_left_out():
    dots = points(np.array([0.5, 2.0]), np.array([0.5, 0.5]), Range(0, 1), Range(0, 1), 10, 4)
    assert dots.sum() == 1
    assert sum(letter != " " for row in braille(dots) for letter in row) == 1
