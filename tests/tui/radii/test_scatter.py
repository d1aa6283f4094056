import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lipscope.tui.plots.blocks import Range
from lipscope.tui.radii.scatter import thinned


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), max_size=300), st.integers(1, 40), st.integers(1, 40))
def test_thinned_points_are_some_of_the_points_one_a_cell(pairs, columns, rows):
    x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    wide, high = Range(0.0, 1.0), Range(0.0, 2.0)
    kept = list(zip(*(part.tolist() for part in thinned(x, y, wide, high, columns, rows)), strict=True))
    assert set(kept) <= set(pairs)
    cells = [(int(a * columns), int(b / 2 * rows)) for a, b in kept]
    assert len(set(cells)) == len(cells)
    assert set(cells) == {(int(a * columns), int(b / 2 * rows)) for a, b in pairs}
