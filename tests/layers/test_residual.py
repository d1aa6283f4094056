from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import ReLU
from lipscope.layers.linear import Linear
from lipscope.layers.residual import Residual
from lipscope.records import Bound, Shape
from tests import dense
from tests.layers.contract import Case, LayerContract, noise


def conv(out: int, taken: int, seed: int, stride: int = 1) -> Conv2d:
    return Conv2d(noise(out, taken, 3, 3, seed=seed), noise(out, seed=seed), stride=(stride, stride), padding=(1, 1))


def block() -> Residual:
    return Residual([("a", conv(2, 2, 1)), ("b", ReLU()), ("c", conv(2, 2, 2))])


def narrowing() -> Residual:
    main = [("a", conv(4, 2, 1, stride=2)), ("b", ReLU())]
    return Residual(main, [("down", Conv2d(noise(4, 2, 1, 1, seed=3), stride=(2, 2)))])


class TestResidual(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "identity": (block, (2, 4, 3)),
        "projection": (narrowing, (2, 4, 4)),
        "nested": (lambda: Residual([("outer", block()), ("r", ReLU())]), (2, 3, 3)),
        "row": (lambda: Residual([("fc", Linear(noise(4, 4, seed=1)))]), (4,)),
    }


def test_a_linear_sum_against_its_matrix() -> None:
    """I + A of a matrix A that points along I: the bound is attained."""
    weight = 0.5 * torch.eye(4, dtype=torch.float64)
    layer = Residual([("fc", Linear(weight))])
    bound = layer.bound((4,)).value
    matrix = np.eye(4) + weight.numpy()
    assert dense.norm(matrix) <= bound <= dense.norm(matrix) * (1 + 1e-12)


def test_forward_is_the_sum_of_both_branches() -> None:
    layer, x = narrowing(), noise(3, 2, 4, 4)
    main = torch.relu(layer.main[0](x))
    torch.testing.assert_close(layer(x), main + layer.shortcut[0](x))


def test_parts_name_every_layer_with_its_shape() -> None:
    parts = [(name, shape) for name, _, shape in narrowing().parts((2, 4, 4))]
    assert parts == [("a", (2, 4, 4)), ("b", (4, 2, 2)), ("down", (2, 4, 4))]


def test_branches_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different shapes: \(4, 2, 2\) and \(2, 4, 4\)"):
        Residual([("a", conv(4, 2, 1, stride=2))]).output_shape((2, 4, 4))


def test_a_part_that_cannot_take_its_shape_is_named() -> None:
    with pytest.raises(ValueError, match="c: expects 3 channels"):
        Residual([("a", conv(2, 2, 1)), ("c", conv(2, 3, 2))]).output_shape((2, 4, 4))


class Unproved(LipschitzLayer):
    kind = "mystery"
    gradient_norm_preserving = False

    def forward(self, x):
        return x

    def bound(self, input_shape: Shape) -> Bound:
        return Bound.unproved("no rule")

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def test_without_the_proof_of_a_part_there_is_none() -> None:
    bound = Residual([("a", ReLU()), ("m", Unproved())]).bound((4,))
    assert (bound.proved, bound.reason) == (False, "inside the residual sum: no rule")


def test_the_sum_is_rounded_up() -> None:
    layer = Residual([("a", ReLU()), ("b", ReLU())], [("c", ReLU())])
    bounds = {"a": Bound(1.0, ""), "b": Bound(2.0**-60, ""), "c": Bound(1.0, "")}
    assert layer.bound_from(bounds, (4,)).value > 1.0


def test_numbers_keep_their_names_in_files() -> None:
    assert list(narrowing().state_dict()) == ["main.0.weight", "main.0.bias", "shortcut.0.weight"]
