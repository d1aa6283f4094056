import numpy as np
from hypothesis import strategies as st

from lipscope.tui.layers.heat import NEGATIVE, POSITIVE, SMALLEST_TILE, character, level, tile, together
from tests.always import always


def test_every_level_has_a_character_of_its_own():
    drawn = [character(step) for step in (-128, *range(-5, -1), 0, 1, *range(2, 6))]
    assert len(set(drawn)) == len(drawn)
    assert drawn == ["?", *reversed(NEGATIVE), " ", ".", *POSITIVE]


@always(share=st.floats(-1, 1, width=32), scale=st.floats(0.1, 10))
def test_the_level_is_the_power_of_two_below_the_magnitude(share, scale):
    value = np.float32(share * scale)
    step = int(level(np.array([value]), scale)[0])
    magnitude = abs(float(value)) / scale
    expected = 0 if value == 0 else 1 + sum(magnitude * scale >= part * scale for part in (1 / 16, 1 / 8, 1 / 4, 1 / 2))
    assert step == (expected if value >= 0 else -expected)


sides = st.integers(1, 300)


@always(rows=sides, columns=sides, tall=st.integers(1, 60), wide=st.integers(1, 200))
def test_a_tile_fits_and_no_finer_one_would(rows, columns, tall, wide):
    drawing = tile((rows, columns), tall, wide)
    down, across = drawing.block
    assert -(-rows // down) <= tall
    assert -(-columns // across) * drawing.wide <= wide
    assert down == 1 or -(-rows // (down - 1)) > tall
    assert drawing.wide == 1 or across <= down


@always(
    rows=sides, columns=sides, grid=st.sampled_from([(1, 3), (3, 3), (5, 5)]),
    tall=st.integers(1, 60), wide=st.integers(1, 200),
)  # fmt: skip
def test_all_taps_together_fit_or_are_not_drawn_together(rows, columns, grid, tall, wide):
    drawing = together((rows, columns), grid, tall, wide)
    if drawing is not None:
        down, across = drawing.block
        assert grid[0] * -(-rows // down) + grid[0] - 1 <= tall
        assert grid[1] * -(-columns // across) * drawing.wide + grid[1] - 1 <= wide
    elif rows > SMALLEST_TILE[0] and columns > SMALLEST_TILE[1]:
        assert tall < 5 * grid[0] or wide < 9 * grid[1]
