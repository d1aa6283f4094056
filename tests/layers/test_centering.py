from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest

from lipscope.layers.centering import Centering
from lipscope.layers.contract import LinearLayer
from lipscope.records import Shape
from tests import dense
from tests.layers.contract import Case, LinearLayerContract


class TestCentering(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "pixels": (lambda: Centering((1, 2)), (2, 3, 2)),
        "channels": (lambda: Centering((0,)), (5,)),
        "apart": (lambda: Centering((0, 2)), (2, 3, 4)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        assert isinstance(layer, Centering)
        units = np.eye(math.prod(shape)).reshape(-1, *shape)
        return (
            (units - units.mean(axis=tuple(axis + 1 for axis in layer.axes), keepdims=True)).reshape(len(units), -1).T
        )

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return np.zeros(math.prod(shape))


def test_the_mean_of_one_number_leaves_nothing() -> None:
    assert Centering((1,)).bound((3, 1)).value == 0.0
    assert Centering((1,)).bound((3, 2)).value == 1.0


@pytest.mark.parametrize("axes", [(), (0, 0), (-1,)])
def test_axes_that_cannot_be(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="nothing is centred"):
        Centering(axes)
