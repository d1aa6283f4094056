from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch

from lipscope.bounds.rounding import FLOAT32
from lipscope.layers.block import Block, Node
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import PReLU, ReLU, sigmoid
from lipscope.layers.joints import Concatenation, Part, Sum
from lipscope.layers.linear import Linear
from lipscope.layers.reshape import Flatten
from tests.layers.contract import Case, LayerContract, noise


def conv(out: int, taken: int, seed: int) -> Conv2d:
    return Conv2d(0.2 * noise(out, taken, 3, 3, seed=seed), noise(out, seed=seed), padding=(1, 1))


def residual() -> Block:
    nodes = [Node("a", ("input",), conv(2, 2, 1)), Node("b", ("a",), ReLU())]
    return Block([*nodes, Node("sum", ("b", "input"), Sum((0.5, 1.0)))])


def dense_block() -> Block:
    """As in a DenseNet: everything before is concatenated, twice."""
    return Block(
        [
            Node("a", ("input",), conv(2, 2, 1)),
            Node("cat", ("input", "a"), Concatenation()),
            Node("b", ("cat",), conv(2, 4, 2)),
            Node("s", ("b",), sigmoid()),
            Node("out", ("cat", "s"), Concatenation()),
        ]
    )


def coupling(scale: float = 1.0) -> Block:
    """(x_1, x_2 + f(x_1)), f linear of norm ``scale``."""
    weight = scale * torch.eye(2, dtype=torch.float64)
    return Block(
        [
            Node("left", ("input",), Part(0, 2)),
            Node("right", ("input",), Part(2, 4)),
            Node("f", ("left",), Linear(weight)),
            Node("moved", ("right", "f"), Sum((1.0, 1.0))),
            Node("out", ("left", "moved"), Concatenation()),
        ]
    )


class TestBlock(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "residual": (residual, (2, 3, 4)),
        "dense": (dense_block, (2, 3, 3)),
        "coupling": (coupling, (4,)),
    }

    def test_float32_stays_within_the_rounding_bound(self, layer, shape) -> None:
        x = noise(1, *shape).float()
        rounding = layer.rounding(shape, float(x.double().norm()) * (1 + 1e-12), FLOAT32)
        assert float((layer(x).double() - layer(x.double())).norm()) <= rounding.error
        assert float(layer(x.double()).norm()) <= rounding.norm


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_a_coupling_has_the_norm_of_its_matrix(scale: float) -> None:
    matrix = np.array([[1, 0], [scale, 1]])
    exact = float(np.linalg.norm(matrix, 2))
    assert exact * (1 - 1e-14) <= coupling(scale).bound((4,)).value <= exact * (1 + 1e-9)


def test_parting_and_joining_is_an_isometry_exactly() -> None:
    layer = Block(
        [
            Node("left", ("input",), Part(0, 1)),
            Node("right", ("input",), Part(1, 4)),
            Node("out", ("right", "left"), Concatenation()),
        ]
    )
    assert layer.bound((4, 2, 2)).value == 1.0
    assert layer(torch.arange(4.0)[None]).tolist() == [[1.0, 2.0, 3.0, 0.0]]


def test_two_equal_branches_that_are_concatenated_have_the_root_of_2() -> None:
    layer = Block([Node("r", ("input",), ReLU()), Node("out", ("input", "r"), Concatenation())])
    assert math.sqrt(2) <= layer.bound((3,)).value <= math.sqrt(2) * (1 + 1e-9)


def test_the_root_of_3_is_not_rounded_down() -> None:
    layer = Block([Node("three", ("input",) * 3, Concatenation()), Node("out", ("three",), Flatten())])
    assert 3 <= Fraction(layer.bound((1, 2, 2)).value) ** 2 <= 3 + Fraction(1, 10**9)


@pytest.mark.parametrize("seed", range(20))
def test_products_and_sums_of_constants_are_rounded_up(seed: int) -> None:
    numbers = 1 + torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    one, two, three = numbers[:3].float()
    chain = Block(
        [
            Node("one", ("input",), PReLU(one[None])),
            Node("two", ("one",), PReLU(two[None])),
            Node("three", ("two",), PReLU(three[None])),
        ]
    )
    exact = math.prod(Fraction(float(number)) for number in (one, two, three))
    assert exact <= Fraction(chain.bound((1, 2, 2)).value) <= exact * (1 + Fraction(1, 10**9))
    factors = (float(numbers[3]), float(numbers[4]))
    exact = Fraction(factors[0]) + Fraction(factors[1])
    found = Fraction(Block([Node("sum", ("input", "input"), Sum(factors))]).bound((1, 2, 2)).value)
    assert exact <= found <= exact * (1 + Fraction(1, 10**9))


def test_factors_count_with_their_size() -> None:
    layer = Block([Node("r", ("input",), ReLU()), Node("out", ("input", "r"), Sum((0.5, -2.0)))])
    assert 2.5 <= layer.bound((3,)).value <= 2.5 * (1 + 1e-9)
    assert layer(torch.ones(1, 3)).tolist() == [[-1.5] * 3]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([Node("a", ("b",), ReLU())], "'b' comes before"),
        ([Node("a", ("input",), ReLU()), Node("a", ("a",), ReLU())], "cannot be made"),
        ([Node("a", ("input",), ReLU()), Node("b", ("input",), ReLU())], "not used"),
        ([Node("a", ("input", "input"), ReLU())], "takes one value"),
        ([], "needs layers"),
    ],
)
def test_graphs_that_cannot_be(nodes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Block(nodes)


def test_shapes_that_do_not_go_together_name_the_step() -> None:
    layer = Block([Node("a", ("input",), conv(3, 2, 1)), Node("out", ("a", "input"), Sum((1.0, 1.0)))])
    with pytest.raises(ValueError, match="different shapes"):
        layer.output_shape((2, 4, 4))
    with pytest.raises(ValueError, match="a: expects 2 channels"):
        layer.output_shape((5, 4, 4))
