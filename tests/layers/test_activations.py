from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from lipscope.layers.activations import ACTIVATIONS, activation, group_size
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.groupsort import GroupActivation, GroupSort, MaxMin
from lipscope.layers.householder import HouseHolder1, HouseHolder2
from lipscope.records import Shape
from tests.always import always
from tests.layers.contract import Case, LayerContract, noise

TURN = 2 * math.pi
ANGLES = st.one_of(st.floats(0, TURN), st.sampled_from([0.0, math.pi / 2, math.pi, 3 * math.pi / 2, TURN]))
COORDINATES = st.floats(-1e3, 1e3, allow_subnormal=False)


def householder1(channels: int, seed: int = 0) -> HouseHolder1:
    layer = HouseHolder1(channels)
    with torch.no_grad():
        layer.theta.copy_(noise(channels // 2, seed=seed) * 3)
    return layer


def householder2(channels: int, seed: int = 0) -> HouseHolder2:
    layer = HouseHolder2(channels)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for theta in (layer.theta0, layer.theta1, layer.theta2):
            theta.copy_(torch.rand(channels // 2, generator=generator) * TURN)
    return layer


def one_pair(theta0: float, theta1: float, theta2: float) -> HouseHolder2:
    """Order 2 on one pair, with angles in float64 so that the boundaries are where they are said to be."""
    layer = HouseHolder2(2).double().requires_grad_(False)
    for parameter, value in ((layer.theta0, theta0), (layer.theta1, theta1), (layer.theta2, theta2)):
        parameter.fill_(value)
    return layer


def reflect(x: float, y: float, angle: float) -> tuple[float, float]:
    return x * math.cos(angle) + y * math.sin(angle), x * math.sin(angle) - y * math.cos(angle)


def order_1(x: float, y: float, theta: float) -> tuple[float, float]:
    """As defined: reflect in the line at theta / 2 when x sin(theta/2) - y cos(theta/2) > 0."""
    return reflect(x, y, theta) if x * math.sin(theta / 2) - y * math.cos(theta / 2) > 0 else (x, y)


def order_2(x: float, y: float, theta: tuple[float, float, float]) -> tuple[float, float]:
    """As defined: four sectors whose boundaries are half the running sums of theta1 .. theta4."""
    theta0, theta1, theta2 = theta
    phi = (math.atan2(y, x) - theta0 / 2) % TURN
    running = np.cumsum([theta1, theta2, TURN - theta1, TURN - theta2]) / 2
    sector = int(np.searchsorted(running, phi, side="right"))
    if sector == 0:
        return x, y
    if sector == 1:
        return reflect(x, y, theta0 + theta1)
    if sector == 2:
        cosine, sine = math.cos(theta2), math.sin(theta2)
        return x * cosine + y * sine, -x * sine + y * cosine
    return reflect(x, y, theta0)


def on_one_pair(layer: GroupActivation, x: float, y: float) -> tuple[float, float]:
    result = layer(torch.tensor([[x, y]], dtype=torch.float64))
    return float(result[0, 0]), float(result[0, 1])


def outside() -> HouseHolder2:
    """Angles that a training left outside [0, 2 pi], which the layer clamps."""
    layer = HouseHolder2(4)
    with torch.no_grad():
        layer.theta0.copy_(torch.tensor([-1.0, 8.0]))
        layer.theta1.copy_(torch.tensor([7.0, -0.5]))
        layer.theta2.copy_(torch.tensor([-3.0, 6.5]))
    return layer


class PairContract(LayerContract):
    def test_the_bound_is_exactly_one(self, layer: LipschitzLayer, shape: Shape) -> None:
        assert layer.bound(shape).value == 1.0

    def test_pairs_are_the_two_halves_of_the_channels(self, layer: GroupActivation, shape: Shape) -> None:
        x = noise(2, *shape)
        half = shape[0] // 2
        first, second = layer.groups((x[:, :half], x[:, half:]))
        assert torch.equal(layer(x), torch.cat([first, second], dim=1))
        lengths = torch.hypot(x[:, :half], x[:, half:])
        torch.testing.assert_close(torch.hypot(first, second), lengths, rtol=1e-13, atol=1e-13)

    def test_half_precision_stays_half_precision(self, layer: GroupActivation, shape: Shape) -> None:
        x = noise(2, *shape, dtype=torch.bfloat16)
        assert layer(x).dtype == torch.bfloat16
        torch.testing.assert_close(layer(x).double(), layer(x.double()), rtol=0.03, atol=0.03)

    def test_odd_channels_are_refused(self, layer: GroupActivation, shape: Shape) -> None:
        with pytest.raises(ValueError, match="cannot be put in groups of 2"):
            layer.output_shape((3, 2, 2))


class TestMaxMin(PairContract):
    cases: ClassVar[dict[str, Case]] = {
        "image": (MaxMin, (4, 2, 3)),
        "row": (MaxMin, (6,)),
        "one pair": (MaxMin, (2, 1, 1)),
    }


class TestGroupSort(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "pairs": (lambda: GroupSort(2), (4, 2, 3)),
        "threes": (lambda: GroupSort(3), (6, 2, 2)),
        "fours of a row": (lambda: GroupSort(4), (8,)),
        "all channels": (lambda: GroupSort(5), (5, 2, 1)),
    }

    def test_every_group_is_sorted(self, layer: GroupSort, shape: Shape) -> None:
        x = noise(2, *shape)
        result = layer(x).numpy()
        count = shape[0] // layer.group_size
        for first in range(count):
            ascending = np.sort(x.numpy()[:, first::count], axis=1)
            np.testing.assert_array_equal(result[:, first::count], ascending[:, ::-1])

    def test_channels_that_do_not_divide_are_refused(self, layer: GroupSort, shape: Shape) -> None:
        with pytest.raises(ValueError, match=f"groups of {layer.group_size}"):
            layer.output_shape((layer.group_size + 1, 2, 2))


def test_sorting_pairs_is_maxmin() -> None:
    x = noise(3, 6, 4, 4)
    assert torch.equal(GroupSort(2)(x), MaxMin()(x))


class TestHouseHolder1(PairContract):
    cases: ClassVar[dict[str, Case]] = {
        "image": (lambda: householder1(4), (4, 2, 3)),
        "row": (lambda: householder1(6, seed=1), (6,)),
        "initial": (lambda: HouseHolder1(4), (4, 2, 2)),
    }


class TestHouseHolder2(PairContract):
    cases: ClassVar[dict[str, Case]] = {
        "image": (lambda: householder2(4), (4, 2, 3)),
        "row": (lambda: householder2(6, seed=1), (6,)),
        "initial": (lambda: HouseHolder2(4), (4, 2, 2)),
        "beyond the range": (outside, (4, 2, 2)),
    }


def test_maxmin_by_hand() -> None:
    x = torch.tensor([[1.0, -2.0, 5.0, 3.0]])
    assert MaxMin()(x).tolist() == [[5.0, 3.0, 1.0, -2.0]]


@always(x=COORDINATES, y=COORDINATES)
def test_the_initial_householder_activations_sort_each_pair(x: float, y: float) -> None:
    """As MaxMin does, with the smaller number first."""
    larger, smaller = on_one_pair(MaxMin(), x, y)
    for layer in (HouseHolder1(2).double(), HouseHolder2(2).double()):
        first, second = on_one_pair(layer.requires_grad_(False), x, y)
        tolerance = 1e-6 * (abs(x) + abs(y))
        assert (first, second) == pytest.approx((smaller, larger), abs=tolerance)


@always(x=COORDINATES, y=COORDINATES)
def test_order_2_begins_as_order_1(x: float, y: float) -> None:
    first = HouseHolder1(2).double().requires_grad_(False)
    first.theta.fill_(math.pi / 2)
    second = one_pair(math.pi / 2, math.pi, 0.0)
    assert on_one_pair(second, x, y) == pytest.approx(on_one_pair(first, x, y), abs=1e-12 * (abs(x) + abs(y)))


@always(x=COORDINATES, y=COORDINATES, theta=st.floats(-10, 10))
def test_order_1_against_its_definition(x: float, y: float, theta: float) -> None:
    layer = HouseHolder1(2).double().requires_grad_(False)
    layer.theta.fill_(theta)
    assert on_one_pair(layer, x, y) == pytest.approx(order_1(x, y, theta), abs=1e-12 * (abs(x) + abs(y)))


@always(x=COORDINATES, y=COORDINATES, theta=st.tuples(ANGLES, ANGLES, ANGLES))
def test_order_2_against_its_definition(x: float, y: float, theta: tuple[float, float, float]) -> None:
    found = on_one_pair(one_pair(*theta), x, y)
    # Where two pieces meet they agree, so a boundary that rounding moves changes the result by rounding.
    assert found == pytest.approx(order_2(x, y, theta), abs=1e-11 * (abs(x) + abs(y)))


@always(theta=st.tuples(ANGLES, ANGLES, ANGLES), angle=st.floats(-TURN, TURN), length=st.floats(1e-3, 1e3))
def test_order_2_is_continuous_across_every_boundary(
    theta: tuple[float, float, float], angle: float, length: float
) -> None:
    layer, (theta0, theta1, theta2) = one_pair(*theta), theta
    boundaries = [0.0, theta1 / 2, (theta1 + theta2) / 2, math.pi + theta2 / 2, TURN]
    for boundary in [*boundaries, angle]:
        ray = theta0 / 2 + boundary
        sides = [
            on_one_pair(layer, length * math.cos(ray + step), length * math.sin(ray + step))
            for step in (-1e-9, -1e-15, 0.0, 1e-15, 1e-9)
        ]
        for (ax, ay), (bx, by) in pairwise(sides):
            assert math.hypot(ax - bx, ay - by) <= length * 1e-8


@always(
    a=st.tuples(COORDINATES, COORDINATES),
    b=st.tuples(COORDINATES, COORDINATES),
    theta=st.tuples(ANGLES, ANGLES, ANGLES),
)
def test_no_pair_of_points_moves_apart(
    a: tuple[float, float], b: tuple[float, float], theta: tuple[float, float, float]
) -> None:
    first = HouseHolder1(2).double().requires_grad_(False)
    first.theta.fill_(theta[0])
    distance, size = math.dist(a, b), math.hypot(*a) + math.hypot(*b)
    for layer in (MaxMin(), first, one_pair(*theta)):
        moved = math.dist(on_one_pair(layer, *a), on_one_pair(layer, *b))
        assert moved <= distance + 1e-13 * size
        assert math.hypot(*on_one_pair(layer, *a)) == pytest.approx(math.hypot(*a), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("theta0", [0.0, 1.0, 7.0])
@pytest.mark.parametrize("theta1", [-1.0, 0.0, 1.0, TURN, 7.0])
@pytest.mark.parametrize("theta2", [-1.0, 0.0, 1.0, TURN, 7.0])
def test_stored_angles_at_the_ends_of_their_range_leave_no_gap(theta0: float, theta1: float, theta2: float) -> None:
    """float32 holds 2 pi only as something larger; taken at its word the pieces would be 2e-7 apart."""
    layer = HouseHolder2(2).requires_grad_(False)
    for parameter, value in ((layer.theta0, theta0), (layer.theta1, theta1), (layer.theta2, theta2)):
        parameter.fill_(value)
    held = [min(max(float(torch.tensor(value)), 0.0), TURN) for value in (theta0, theta1, theta2)]
    for boundary in (0.0, held[1] / 2, (held[1] + held[2]) / 2, math.pi + held[2] / 2, TURN):
        for step in (1e-6, 1e-7, 1e-8, 1e-9):
            a, b = (
                (math.cos(angle), math.sin(angle))
                for angle in (held[0] / 2 + boundary - step, held[0] / 2 + boundary + step)
            )
            assert math.dist(on_one_pair(layer, *a), on_one_pair(layer, *b)) <= math.dist(a, b) + 1e-14


def seam_rays(theta0: Tensor) -> Tensor:
    """float32 points on and beside the ray at theta0 / 2, where phi is 0 and 2 pi: (2, pairs, points)."""
    angle = theta0.double()[:, None] / 2 + torch.linspace(-4, 4, 33).double() * torch.finfo(torch.float32).eps
    return torch.stack([torch.cos(angle), torch.sin(angle)]).float()


def test_in_float32_phi_can_round_to_a_full_turn() -> None:
    """The reason why the last sector must be closed; if this ever fails the seam tests below test nothing."""
    theta0 = torch.rand(200, generator=torch.Generator().manual_seed(0)) * TURN
    x, y = seam_rays(theta0)
    phi = torch.remainder(torch.atan2(y, x) - theta0[:, None] / 2, TURN)
    assert bool((phi >= torch.tensor(TURN)).any())


@pytest.mark.parametrize(("theta1", "theta2"), [(math.pi, 0.0), (1.0, 2.0), (TURN, TURN), (0.0, 0.0), (5.0, 0.3)])
def test_seam_rays_in_float32_keep_their_length(theta1: float, theta2: float) -> None:
    theta0 = torch.rand(200, generator=torch.Generator().manual_seed(0)) * TURN
    layer = HouseHolder2(400).requires_grad_(False)
    layer.theta0.copy_(theta0)
    layer.theta1.fill_(theta1)
    layer.theta2.fill_(theta2)
    rays = seam_rays(theta0)
    points = torch.cat([rays[0], rays[1]]).T.contiguous()
    result = layer(points)
    lengths = torch.hypot(result[:, :200], result[:, 200:])
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0, atol=1e-6)
    # The ray itself is left alone by the first piece and by the last.
    torch.testing.assert_close(result, points, rtol=0, atol=5e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_axes_and_zero_are_on_no_dangerous_ray(dtype: torch.dtype) -> None:
    layer = householder2(200, seed=3).requires_grad_(False)
    for x, y in ((0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (-1.0, -0.0)):
        points = torch.cat([torch.full((1, 100), x), torch.full((1, 100), y)], dim=1).to(dtype)
        result = layer(points).double()
        lengths = torch.hypot(result[:, :100], result[:, 100:])
        torch.testing.assert_close(lengths, torch.full_like(lengths, math.hypot(x, y)), rtol=0.02, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_finite_at_zero_and_on_boundaries(name: str) -> None:
    layer = activation(name, 4)
    x = torch.tensor([[0.0, 1.0, 0.0, 1.0]], requires_grad=True)
    layer(x).sum().backward()
    for gradient in (x.grad, *(parameter.grad for parameter in layer.parameters())):
        assert gradient is not None
        assert bool(torch.isfinite(gradient).all())


def test_the_angles_learn() -> None:
    for layer in (householder1(4), householder2(4)):
        layer(noise(8, 4, 3, 3, dtype=torch.float32)).pow(3).sum().backward()
        assert all(float(p.grad.abs().max()) > 0 for p in layer.parameters())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_name(name: str) -> None:
    assert activation(name, 8).output_shape((8, 2, 2)) == (8, 2, 2)


@pytest.mark.parametrize(
    "name", ["groupsort", "groupsort1", "groupsort01", "groupsort-2", "groupsort99999", "hh3", "relu"]
)
def test_names_that_do_not_exist(name: str) -> None:
    assert group_size(name) is None
    with pytest.raises(KeyError, match=name):
        activation(name, 8)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_groupsort_by_name(size: int) -> None:
    layer = activation(f"groupsort{size}", 24)
    assert isinstance(layer, GroupSort)
    assert (layer.group_size, layer.kind) == (size, f"GroupSort {size}")
