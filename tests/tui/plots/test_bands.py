from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from lipscope.files.results import read_results, results_path
from lipscope.tui.plots.bands import CERTIFIED, NOT, STYLES, WRONG, band_bar, counts, sure_style
from lipscope.tui.radii.area import area
from lipscope.tui.radii.classes import class_line, class_rows
from tests.always import always
from tests.tui.conftest import write_radii


@always(
    certified=st.integers(0, 100),
    not_certified=st.integers(0, 100),
    wrong=st.integers(0, 100),
    width=st.integers(6, 80),
)
def test_a_bar_is_as_wide_as_told_and_in_order(certified, not_certified, wrong, width):
    text = "".join(part for part, _ in band_bar(certified, not_certified, wrong, width))
    assert len(text) == width
    signs = [sign for sign in text if sign in (CERTIFIED, NOT, WRONG)]
    assert signs == sorted(signs, key=(CERTIFIED, NOT, WRONG).index)


def test_the_area_is_as_high_as_the_rates():
    cells = area(np.array([0.75, 0.25]), 0.75, 8)
    columns = ["".join(row[k][0] for row in cells) for k in (0, 1)]
    assert columns == [2 * WRONG + 6 * CERTIFIED, 2 * WRONG + 4 * NOT + 2 * CERTIFIED]


def test_a_claimed_share_is_not_drawn_in_the_colour_of_what_is_proved(model):
    write_radii(model, claimed=True)
    claimed = read_results(results_path(model))
    eps = Fraction(36, 255)
    shares = counts(claimed, eps)
    sure = sure_style(claimed)
    runs = [*band_bar(*shares, 40, sure), *class_line(class_rows(claimed, eps)[0], 60, sure)]
    runs += [cell for row in area(np.array([0.5]), 0.75, 8, sure) for cell in row]
    assert any(sign == CERTIFIED for text, _ in runs for sign in text)
    assert not any("success" in style for _, style in runs)
    assert sure_style(replace(claimed, standing="proved")) == STYLES[CERTIFIED]
