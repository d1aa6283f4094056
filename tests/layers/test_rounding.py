"""The proved rounding error of single layers against fifty digits (docs/soundness.md, theorem 1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from mpmath import mp, mpf
from torch import Tensor

from lipscope.bounds.rounding import FLOAT32, FLOAT64, Arithmetic
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.contract import UNBOUNDED, LipschitzLayer, Rounding
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import LeakyReLU, PReLU, ReLU, elu, softplus
from lipscope.layers.groupsort import GroupSort, MaxMin
from lipscope.layers.heads import Head, LastLayerNormalized, LinearHead, OrthogonalHead
from lipscope.layers.householder import TRIGONOMETRIC_ROUNDOFFS, HouseHolder1, HouseHolder2
from lipscope.layers.joints import Sum
from lipscope.layers.linear import Linear
from lipscope.layers.pooling import AveragePool2d, GlobalAveragePool, L2Pool2d, MaxPool2d
from lipscope.layers.prepared import FormedMatrix, Prepared
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.residual import Residual
from lipscope.layers.soc import SOCConv2d
from lipscope.records import Shape
from tests.always import always
from tests.certification import fifty_digits
from tests.layers.contract import noise
from tests.layers.test_soc import soc

TYPES = {FLOAT64: torch.float64, FLOAT32: torch.float32}


def share(layer: LipschitzLayer, x: Tensor, arithmetic: Arithmetic) -> float:
    """The error of the layer on x, a batch of one, over its proved bound."""
    x = x.to(TYPES[arithmetic])
    exact = fifty_digits.exactly(x[0])
    norm = float(fifty_digits.length(exact)) * (1 + 1e-12)
    with torch.inference_mode():
        computed = layer(x)[0]
    rounding = layer.rounding(tuple(x.shape[1:]), norm, arithmetic)
    if not computed.isfinite().all():
        assert rounding.error == math.inf
        return 0.0
    assert fifty_digits.length(fifty_digits.exactly(computed)) <= rounding.norm
    error = fifty_digits.length(fifty_digits.exactly(computed) - fifty_digits.apply(layer, exact))
    if rounding.error == 0.0:
        assert error == 0
        return 0.0
    return float(error / rounding.error)


def biased(layer: Head, seed: int) -> LipschitzLayer:
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(noise(*parameter.shape, seed=seed + number))
    return layer.eval().requires_grad_(False)


def formed(layer: SOCConv2d, shape: Shape) -> LipschitzLayer:
    """Evaluated by the product with one matrix."""
    prepared = layer.prepared(shape, 10**6)
    assert isinstance(prepared, Prepared)
    assert isinstance(prepared.series, FormedMatrix)
    return prepared


def plain(seed: int, inputs: int, **options: Any) -> Conv2d:
    """A convolution of 2 channels with a bias."""
    return Conv2d(noise(2, inputs, 3, 2, seed=seed).float(), noise(2, seed=seed + 9).float(), **options)


def normalizing(seed: int, channels: int = 3) -> BatchNorm:
    """A batch norm in float64; the variance of its first channel is only just positive."""
    variance = noise(channels, seed=seed).abs()
    variance[0] = -0.9e-5
    mean, gamma, beta = (noise(channels, seed=seed + k) for k in (1, 2, 3))
    return BatchNorm(mean, variance, gamma, beta, 1e-5).eval()


LAYERS: dict[str, tuple[Callable[[int], LipschitzLayer], Shape]] = {
    "normalisation": (lambda seed: Normalize((0.4914, -3.0), (0.2507, 7.3)), (2, 2, 2)),
    "flatten": (lambda seed: Flatten(), (2, 2, 2)),
    "MaxMin": (lambda seed: MaxMin(), (4, 2, 2)),
    "GroupSort": (lambda seed: GroupSort(4), (8, 2, 1)),
    "SOC 1x1": (lambda seed: soc(2, 4, 1, norm=1.0, seed=seed), (2, 1, 1)),
    "SOC 3x3, dense": (lambda seed: soc(2, 2, 3, seed=seed), (2, 2, 2)),
    "SOC 3x3, on a map": (lambda seed: soc(2, 2, 3, seed=seed), (2, 3, 4)),
    "SOC 3x3, stride 2": (lambda seed: soc(1, 2, 3, stride=2, seed=seed), (1, 6, 4)),
    "SOC 3x3, dense, as one matrix": (lambda seed: formed(soc(2, 2, 3, seed=seed), (2, 2, 2)), (2, 2, 2)),
    "SOC 3x3, as one matrix": (lambda seed: formed(soc(2, 2, 3, seed=seed), (2, 3, 4)), (2, 3, 4)),
    "SOC 3x3, stride 2, as one matrix": (lambda seed: formed(soc(1, 2, 3, 2, seed=seed), (1, 6, 4)), (1, 6, 4)),
    "LLN": (lambda seed: biased(LastLayerNormalized(5, 3), seed), (5,)),
    "linear head": (lambda seed: biased(LinearHead(5, 3), seed), (5,)),
    "linear": (lambda seed: Linear(noise(3, 5, seed=seed).float(), noise(3, seed=seed + 9).float()), (5,)),
    "linear in float64": (lambda seed: Linear(noise(3, 5, seed=seed)), (5,)),
    "convolution": (lambda seed: plain(seed, 2, padding=(1, 1)), (2, 3, 4)),
    "convolution, stride 2": (lambda seed: plain(seed, 2, stride=(2, 2), padding=(1, 0)), (2, 4, 4)),
    "convolution, wrapped": (lambda seed: plain(seed, 2, padding=(2, 2), padding_mode="circular"), (2, 2, 2)),
    "convolution, groups": (lambda seed: plain(seed, 1, groups=2), (2, 3, 3)),
    "convolution in float64": (lambda seed: Conv2d(noise(2, 2, 1, 1, seed=seed), noise(2, seed=seed)), (2, 2, 2)),
    "batch norm": (lambda seed: normalizing(seed).float(), (3, 2, 2)),
    "batch norm in float64": (normalizing, (3, 2, 2)),
    "ReLU": (lambda seed: ReLU(), (2, 2, 2)),
    "leaky ReLU": (lambda seed: LeakyReLU(-0.3), (2, 2, 2)),
    "average pool": (lambda seed: AveragePool2d((3, 2), (2, 1), (1, 1)), (2, 4, 4)),
    "global average pool": (lambda seed: GlobalAveragePool(), (2, 5, 3)),
    "max pool": (lambda seed: MaxPool2d((3, 3), (1, 2), (1, 1)), (2, 4, 4)),
    "l2 pool": (lambda seed: L2Pool2d((2, 3), (1, 2)), (2, 4, 5)),
    "residual sum": (
        lambda seed: Residual(
            [
                ("a", Conv2d(noise(2, 2, 3, 3, seed=seed), padding=(1, 1))),
                ("b", ReLU()),
                ("c", soc(2, 2, 3, seed=seed)),
            ],
            [("d", normalizing(seed, 2).float())],
        ),
        (2, 3, 3),
    ),
    "residual sum with the identity": (lambda seed: Residual([("a", soc(2, 2, 3, seed=seed))]), (2, 3, 3)),
    "orthogonal head": (lambda seed: biased(OrthogonalHead(4, 3), seed), (4,)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e-41])
def test_the_error_of_a_layer_is_within_its_bound(name: str, arithmetic: Arithmetic, scale: float) -> None:
    make, shape = LAYERS[name]
    shares = [share(make(seed), scale * noise(1, *shape, seed=50 + seed), arithmetic) for seed in range(4)]
    assert max(shares) <= 1
    if name not in ("flatten", "MaxMin", "GroupSort", "ReLU", "max pool") and scale == 1.0:
        # The bound is no fantasy: the error is there, and not lost in it.
        # Of a matrix that is formed every row is off on its own, and the worst case is that all point the same way.
        assert max(shares) > 1e-6


@pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
def test_the_worst_product_and_the_worst_sum_nearly_reach_their_bounds(arithmetic: Arithmetic) -> None:
    """1 + u is what rounding to nearest hates most."""
    number = torch.tensor(1 + 1.4 * math.sqrt(arithmetic.unit_roundoff), dtype=TYPES[arithmetic])
    with mp.workdps(50):
        error = abs(mpf(float(number)) ** 2 - mpf(float(number.square())))
    bound = arithmetic.products(1, float(number), float(number), 1)
    assert 0.01 * bound < error <= bound
    shifted = Rounding(0.0, 1.0).shifted(arithmetic.unit_roundoff, 1, arithmetic)
    sum_error = arithmetic.unit_roundoff  # 1 + u rounds to 1
    assert sum_error <= shifted.error <= 1.01 * sum_error


def seam_angles(layer: HouseHolder1 | HouseHolder2, seam: int) -> float:
    """The exact angle of a seam of the first pair."""
    theta = [mpf(float(angle[0])) for angle in layer.parameters()]
    if isinstance(layer, HouseHolder1):
        return float(theta[0] / 2 + seam * mp.pi)
    first, second, third = theta
    ends = (mpf(0), second / 2, (second + third) / 2, mp.pi + third / 2)
    return float(first / 2 + ends[seam % 4])


@always(
    order=st.sampled_from([HouseHolder1, HouseHolder2]),
    angles=st.lists(
        st.one_of(
            st.floats(0, 2 * math.pi),
            st.sampled_from([0.0, math.pi / 2, math.pi, 1.5 * math.pi, 2 * math.pi, 7.0, -1.0, 1e-30, 1e9]),
        ),
        min_size=3, max_size=3,
    ),
    seam=st.integers(0, 3),
    steps=st.integers(-40, 40),
    exponent=st.one_of(st.integers(-30, 30), st.sampled_from([-126, -140, 100, 120])),
    arithmetic=st.sampled_from([FLOAT64, FLOAT32]),
)  # fmt: skip
def test_the_householder_bounds_hold_on_their_seams(
    order: type[HouseHolder1 | HouseHolder2], angles: list[float], seam: int, steps: int, exponent: int,
    arithmetic: Arithmetic,
) -> None:  # fmt: skip
    layer = order(2).requires_grad_(False)
    for parameter, angle in zip(layer.parameters(), angles, strict=False):
        parameter.fill_(angle)
    direction = seam_angles(layer, seam) + steps * arithmetic.unit_roundoff
    pair = torch.tensor([math.cos(direction), math.sin(direction)], dtype=torch.float64) * 2.0**exponent
    assert share(layer, pair.reshape(1, 2, 1, 1), arithmetic) <= 1


def test_wrong_pieces_are_chosen_near_seams_so_the_test_above_means_something() -> None:
    layer = HouseHolder1(2).requires_grad_(False)
    layer.theta.fill_(1.0)
    wrong = 0
    for steps in range(-200, 200):
        direction = 0.5 + steps * 2.0**-54
        x, y = math.cos(direction), math.sin(direction)
        chosen = torch.tensor(x).double() * torch.sin(torch.tensor(0.5).double()) > torch.tensor(
            y
        ).double() * torch.cos(torch.tensor(0.5).double())
        with mp.workdps(50):
            wrong += bool(chosen) != (mpf(x) * mp.sin(mpf(0.5)) - mpf(y) * mp.cos(mpf(0.5)) > 0)
    assert wrong > 0


@pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
@pytest.mark.parametrize("name", ["sin", "cos", "atan2"])
def test_the_trigonometry_of_torch_is_as_good_as_assumed(name: str, arithmetic: Arithmetic) -> None:
    """Whole tensors take vector instructions, single numbers the C library: both, over the range that can occur."""
    generator, dtype = np.random.default_rng(5), TYPES[arithmetic]
    count, allowed = 1500, TRIGONOMETRIC_ROUNDOFFS * arithmetic.unit_roundoff
    exponents = generator.uniform(-37, 37, (2, count))
    wide = torch.from_numpy(generator.choice([-1.0, 1.0], (2, count)) * 10**exponents).to(dtype)
    narrow = torch.from_numpy(generator.uniform(-13, 13, (2, count))).to(dtype)
    a, b = torch.cat([wide, narrow], dim=1)
    inputs = (a, b) if name == "atan2" else (a,)
    function = getattr(torch, name)
    computed = {i: [number] for i, number in enumerate(function(*inputs).tolist())}
    for i in range(0, len(a), 50):
        computed[i].append(float(function(*(column[i] for column in inputs))))
    with mp.workdps(80):
        for i, numbers in computed.items():
            exact = getattr(mp, name)(*(mpf(float(column[i])) for column in inputs))
            for number in numbers:
                assert abs(mpf(number) - exact) <= allowed * (mp.pi if name == "atan2" else 1)


def test_a_float32_sum_longer_than_its_precision_proves_nothing() -> None:
    assert FLOAT32.products(2**23, 1.0, 1.0, 1) == math.inf
    assert math.isfinite(FLOAT64.products(2**23, 1.0, 1.0, 1))


def test_what_may_overflow_proves_nothing() -> None:
    layer = soc(2, 2, 3)
    assert layer.rounding((2, 3, 3), 1e38, FLOAT32).error == math.inf
    assert math.isfinite(layer.rounding((2, 3, 3), 1e38, FLOAT64).error)
    assert Normalize((0.0,), (1e-310,)).rounding((1, 2, 2), 1.0, FLOAT64) == UNBOUNDED


def test_a_stored_number_that_float32_cannot_hold_proves_nothing_however_small_the_input() -> None:
    huge = 1e39 * torch.ones(2, 2, dtype=torch.float64)
    for layer in (Linear(huge), Conv2d(huge[..., None, None]), PReLU(huge[0]), elu(1e39, 1e-39),
                  elu(1.0, input_scale=1e39), softplus(1e39)):  # fmt: skip
        shape = (2, 1, 1) if isinstance(layer, Conv2d) else (2,)
        assert not layer(-torch.eye(2).clamp(max=1e-3).reshape(2, *shape)).isfinite().all()
        assert layer.rounding(shape, 1e-3, FLOAT32).error == math.inf
    assert Sum((1e39,)).rounded([Rounding(0.0, 1e-3)], 2, FLOAT32).error == math.inf
    assert Sum((1.0, 1.0)).rounded([Rounding(1e308, 1e308)] * 2, 2, FLOAT64).error == math.inf


def test_a_layer_that_says_nothing_proves_nothing() -> None:
    class Silent(Flatten):
        rounding = LipschitzLayer.rounding

    assert Silent().rounding((2, 2, 2), 1.0, FLOAT64) == UNBOUNDED


def test_the_error_grows_with_the_norm_and_the_terms() -> None:
    layer = soc(2, 2, 3)
    errors = [layer.rounding((2, 3, 3), norm, FLOAT64).error for norm in (0.0, 1.0, 2.0, 1e6)]
    assert errors == sorted(errors)
    assert errors[2] < 2.1 * errors[1] + 1e-300
    more = SOCConv2d(2, 2, 3, terms=20).eval()
    more.load_state_dict(layer.state_dict())
    assert more.linear_rounding((2, 3, 3), 1.0, FLOAT64) > layer.linear_rounding((2, 3, 3), 1.0, FLOAT64)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("scale", [1e-37, 1e-39, 1e-44])
def test_flushing_to_zero_is_paid_for(name: str, scale: float) -> None:
    make, shape = LAYERS[name]
    layer = make(1)
    x = (scale * noise(1, *shape)).float()
    exact = fifty_digits.exactly(x[0])
    rounding = layer.rounding(shape, float(fifty_digits.length(exact)) * (1 + 1e-12), FLOAT32)
    assert torch.set_flush_denormal(True)
    try:
        with torch.inference_mode():
            computed = layer(x)[0]
    finally:
        torch.set_flush_denormal(False)
    error = fifty_digits.length(fifty_digits.exactly(computed) - fifty_digits.apply(layer, exact))
    assert error <= rounding.error + (0 if rounding.error else 1e-37 * math.sqrt(x.numel()))


def test_weights_that_float64_cannot_scale_prove_nothing() -> None:
    ones = torch.ones(2, dtype=torch.float64)
    layer = BatchNorm(ones, 1e-306 * ones, ones, ones, 0.0)
    assert layer.rounding((2, 1, 1), 1.0, FLOAT64) == UNBOUNDED
    assert L2Pool2d((2, 2), (2, 2)).rounding((1, 2, 2), 1e160, FLOAT64).error == math.inf
    assert AveragePool2d((2, 2), (2, 2)).rounding((1, 2, 2), 2.0**999, FLOAT64).error == math.inf
    assert Linear(1e-200 * noise(2, 2), 1e-200 * ones).rounding((2,), 1.0, FLOAT64).norm >= 1.4e-200
