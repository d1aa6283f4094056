import numpy as np
from hypothesis import strategies as st

from lipscope.files.matrices import Kernel
from lipscope.tui.layers.kernel_map import UNKNOWN, block_for, painted
from tests.always import always


def kernel(values) -> Kernel:
    matrix = np.array([values], np.float32)
    return Kernel("fc", "fc.weight", matrix.shape[1:], taps=matrix, scale=float(np.nanmax(np.abs(matrix))))


def test_positive_is_bright_negative_dark_and_what_is_no_number_red():
    drawn = painted(kernel([[1.0, 0.25, 0.0], [-1.0, -0.25, np.nan]]), 0, 1, 3)
    assert drawn[:, 1, 2].tolist() == list(UNKNOWN)
    assert (drawn[0] == drawn[1])[[0, 0, 0, 1, 1], [0, 1, 2, 0, 1]].all()
    assert drawn[0, 0].tolist() == [255, 191, 128]
    assert drawn[0, 1, :2].tolist() == [0, 64]


sides = st.integers(1, 300)


@always(rows=sides, columns=sides, tall=st.integers(1, 60), wide=st.integers(1, 200))
def test_a_picture_fits_and_no_finer_one_would(rows, columns, tall, wide):
    drawn = painted(kernel(np.ones((rows, columns))), 0, tall, wide)
    assert drawn.shape[1] <= 2 * tall
    assert drawn.shape[2] <= wide
    down, across = block_for((rows, columns), tall, wide)
    assert down == 1 or -(-rows // (down - 1)) > 2 * tall
    assert across == 1 or -(-columns // (across - 1)) > wide
