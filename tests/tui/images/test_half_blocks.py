import numpy as np
import pytest
from hypothesis import strategies as st

from lipscope.tui.images.half_blocks import UPPER, coloured_line, difference, fitting, plain_line, resized
from tests.always import always


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8)


@always(
    height=st.integers(1, 40), width=st.integers(1, 40), columns=st.integers(1, 250), rows=st.integers(1, 80)
)  # fmt: skip
def test_a_picture_fits_into_its_cells(height, width, columns, rows):
    tall, wide = fitting(height, width, columns, rows)
    assert 1 <= wide <= columns or wide == 1
    assert tall <= 2 * rows
    if columns >= width and 2 * rows >= height:
        assert tall % height == wide % width == 0
        assert tall // height == wide // width


def test_growing_repeats_pixels_and_shrinking_takes_means():
    image = random_image(4, 6)
    grown = resized(image, 8, 12)
    assert np.array_equal(grown, image.repeat(2, axis=1).repeat(2, axis=2))
    means = image.reshape(3, 2, 2, 3, 2).astype(float).mean(axis=(2, 4))
    assert np.abs(resized(image, 2, 3) - means).max() <= 0.5


@always(height=st.integers(1, 12), width=st.integers(1, 12), tall=st.integers(1, 24), wide=st.integers(1, 24))
def test_a_uniform_image_stays_uniform_at_every_size(height, width, tall, wide):
    image = np.full((3, height, width), 137, np.uint8)
    assert np.unique(resized(image, tall, wide)).tolist() == [137]


def test_every_cell_shows_its_two_pixels():
    image = random_image(6, 5)
    for line in range(3):
        for x, segment in enumerate(coloured_line(image, line)):
            assert segment.text == UPPER
            assert tuple(segment.style.color.triplet) == tuple(image[:, 2 * line, x])
            assert tuple(segment.style.bgcolor.triplet) == tuple(image[:, 2 * line + 1, x])


def test_the_last_line_of_an_odd_image_has_nothing_below():
    (segment,) = coloured_line(random_image(3, 1), 1)
    assert segment.style.bgcolor is None


@pytest.mark.parametrize("dark", [True, False])
def test_without_colours_ink_follows_the_light(dark):
    grey = np.linspace(0, 255, 20).astype(np.uint8)
    drawn = plain_line(np.broadcast_to(grey, (3, 2, 20)), 0, dark=dark)
    dots = [0 if letter == " " else (ord(letter) - 0x2800).bit_count() for letter in drawn]
    assert dots == sorted(dots, reverse=not dark)
    assert {dots[0], dots[-1]} == {0, 8}


def test_the_difference_is_magnified_around_grey():
    image = np.full((3, 2, 2), 100, np.uint8)
    changed = np.full((3, 2, 2), 100 / 255, np.float32)
    changed[0, 0, 0] += 0.05
    changed[1, 1, 1] -= 0.1
    picture, factor = difference(image, changed)
    assert factor == pytest.approx(5, rel=1e-5)
    assert picture[1, 1, 1] == 0
    assert abs(int(picture[0, 0, 0]) - 191) <= 1
    assert picture[2, 0, 1] in (127, 128)
    assert difference(image, (image / 255).astype(np.float32))[0].min() >= 126
