from __future__ import annotations

import numpy as np
import pytest
import torch

from lipscope.layers.soc import taylor_exponential
from lipscope.layers.tapwise import FEWEST_IMAGES, IMAGES_AT_A_TIME, tapwise_exponential
from tests import dense
from tests.layers.contract import noise


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize(("height", "width"), [(1, 4), (4, 1), (3, 3), (4, 7), (6, 2)])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_series_of_the_matrix(kernel_size: int, height: int, width: int, count: int) -> None:
    kernel, x = 0.2 * noise(3, 3, kernel_size, kernel_size, seed=1), noise(count, 3, height, width)
    inner = dense.zero_padded_matrix(kernel.numpy(), height, width)
    truth = x.flatten(1).numpy() @ dense.series(inner, 12).T
    np.testing.assert_allclose(tapwise_exponential(x, kernel, 12).flatten(1).numpy(), truth, rtol=1e-12, atol=1e-12)


def test_images_are_taken_in_groups_without_seeing_each_other() -> None:
    kernel, x = 0.1 * noise(2, 2, 3, 3), noise(IMAGES_AT_A_TIME + 5, 2, 4, 4)
    together = tapwise_exponential(x, kernel, 3)
    assert together.shape == x.shape
    torch.testing.assert_close(together[-1:], tapwise_exponential(x[-1:], kernel, 3), rtol=1e-13, atol=1e-13)


def test_float64_takes_this_way_unless_a_gradient_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, x = 0.1 * noise(2, 2, 3, 3), noise(FEWEST_IMAGES, 2, 4, 4)
    taken: list[torch.dtype] = []

    def spy(x: torch.Tensor, kernel: torch.Tensor, terms: int) -> torch.Tensor:
        taken.append(x.dtype)
        return tapwise_exponential(x, kernel, terms)

    monkeypatch.setattr("lipscope.layers.soc.tapwise_exponential", spy)
    with_gradient = taylor_exponential(x, kernel, 5)
    with torch.no_grad():
        taylor_exponential(x.float(), kernel.float(), 5)
        taylor_exponential(x[:1], kernel, 5)
        assert not taken
        torch.testing.assert_close(taylor_exponential(x, kernel, 5), with_gradient, rtol=1e-13, atol=1e-13)
    assert taken == [torch.float64]
