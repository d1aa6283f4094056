import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lipscope.tui.plots.bands import CERTIFIED, NOT, WRONG, band_bar
from lipscope.tui.radii.area import area


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(6, 80))
def test_a_bar_is_as_wide_as_told_and_in_order(certified, not_certified, wrong, width):
    text = "".join(part for part, _ in band_bar(certified, not_certified, wrong, width))
    assert len(text) == width
    signs = [sign for sign in text if sign in (CERTIFIED, NOT, WRONG)]
    assert signs == sorted(signs, key=(CERTIFIED, NOT, WRONG).index)


def test_the_area_is_as_high_as_the_rates():
    cells = area(np.array([0.75, 0.25]), 0.75, 8)
    columns = ["".join(row[k][0] for row in cells) for k in (0, 1)]
    assert columns == [2 * WRONG + 6 * CERTIFIED, 2 * WRONG + 4 * NOT + 2 * CERTIFIED]
