from __future__ import annotations

import math
from typing import ClassVar

import mpmath
import pytest
import torch
from torch.nn import functional as F

from lipscope.bounds import slopes
from lipscope.bounds.rounding import FLOAT32, FLOAT64
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.elementwise import (
    LeakyReLU,
    PReLU,
    ReLU,
    absolute,
    clamp,
    elu,
    gelu,
    hardswish,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
)
from tests.layers.contract import Case, LayerContract, noise


class TestReLU(LayerContract):
    cases: ClassVar[dict[str, Case]] = {"image": (ReLU, (3, 4, 4)), "row": (ReLU, (9,))}

    def test_it_is_torchs(self, layer: LipschitzLayer, shape) -> None:
        x = noise(4, *shape)
        assert torch.equal(layer(x), torch.nn.ReLU()(x))
        assert layer.bound(shape).value == 1.0


class TestLeakyReLU(LayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "default": (lambda: LeakyReLU(0.01), (3, 4, 4)),
        "steep": (lambda: LeakyReLU(0.9), (9,)),
        "negative": (lambda: LeakyReLU(-0.5), (9,)),
        "absolute value": (lambda: LeakyReLU(-1.0), (9,)),
    }

    def test_it_is_torchs(self, layer: LipschitzLayer, shape) -> None:
        x = noise(4, *shape)
        assert torch.equal(layer(x), torch.nn.LeakyReLU(layer.slope)(x))
        assert layer.bound(shape).value == 1.0


@pytest.mark.parametrize("slope", [math.inf, math.nan])
def test_slopes_that_are_no_numbers_are_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        LeakyReLU(slope)


@pytest.mark.parametrize("scale", [-1.0, -1e-9, math.nan])
def test_an_exponential_that_grows_without_bound_is_refused(scale: float) -> None:
    """With alpha = -1 torch's CELU is 1 - exp(-x) for x < 0: its slope at -20 is exp(20), not 1."""
    with pytest.raises(ValueError, match="no Lipschitz constant"):
        elu(-1.0, input_scale=scale)


def test_what_underflows_on_the_way_and_is_multiplied_up_again_is_in_the_rounding_bound() -> None:
    """1e-308 x has few digits left, and alpha = 1e308 makes the loss an ordinary number."""
    layer, x = elu(1e308, input_scale=1e-308), torch.tensor([[-1.2345678e-6]], dtype=torch.float64)
    with mpmath.workdps(60):
        exact = mpmath.mpf(1e308) * mpmath.expm1(mpmath.mpf(1e-308) * mpmath.mpf(float(x)))
        error = float(abs(exact - mpmath.mpf(float(layer(x)))))
    assert 1e-17 < error <= layer.rounding((1,), 2e-6, FLOAT64).error


def test_a_steep_slope_is_the_bound() -> None:
    assert 2.0 <= LeakyReLU(-2.0).bound((3,)).value < 2.0 + 1e-12


TORCHS = {
    "absolute": (absolute, torch.abs),
    "relu6": (lambda: clamp(0.0, 6.0), torch.nn.ReLU6()),
    "hardtanh": (lambda: clamp(-0.5, math.inf), lambda x: x.clamp(min=-0.5)),
    "sigmoid": (sigmoid, torch.sigmoid),
    "tanh": (tanh, torch.tanh),
    "softplus": (lambda: softplus(2.5), torch.nn.Softplus(2.5)),
    "elu": (lambda: elu(1.5), torch.nn.ELU(1.5)),
    "selu": (lambda: elu(1.6732632423543772, 1.0507009873554805), torch.nn.SELU()),
    "celu": (lambda: elu(2.0, 1.0, 0.5), torch.nn.CELU(2.0)),
    "gelu": (lambda: gelu("none"), torch.nn.GELU()),
    "gelu tanh": (lambda: gelu("tanh"), torch.nn.GELU(approximate="tanh")),
    "silu": (silu, torch.nn.SiLU()),
    "hardswish": (hardswish, torch.nn.Hardswish()),
    "softsign": (softsign, torch.nn.Softsign()),
    "prelu": (
        lambda: PReLU(torch.tensor([0.3, -1.2, 0.0])),
        lambda x: F.prelu(x, torch.tensor([0.3, -1.2, 0.0]).double()),
    ),
}


@pytest.mark.parametrize("name", TORCHS)
def test_each_is_torchs_and_no_steeper_than_its_bound(name: str) -> None:
    make, reference = TORCHS[name]
    layer = make().eval().requires_grad_(False)
    x = torch.linspace(-30, 30, 30_003, dtype=torch.float64).reshape(-1, 3)
    # torch's softplus takes x itself from a threshold on, and jumps there by 2e-9.
    torch.testing.assert_close(layer(x), reference(x), rtol=1e-12, atol=3e-9 if name == "softplus" else 1e-12)
    place = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(layer(place).sum(), place)
    bound = layer.bound((3,))
    assert bound.proved
    steepest = float(slope.abs().max())
    assert steepest <= bound.value
    assert steepest >= bound.value * (1 - 1e-2)


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_what_float32_makes_of_it_is_within_the_rounding_bound(name: str, scale: float) -> None:
    layer = TORCHS[name][0]().eval().requires_grad_(False)
    x = (scale * noise(1, 3, 200)).float()
    exact = layer(x.double())
    rounding = layer.rounding((3, 200), float(x.double().norm()) * (1 + 1e-12), FLOAT32)
    assert float((layer(x).double() - exact).norm()) <= rounding.error + 1e-13
    assert float(exact.norm()) <= rounding.norm * (1 + 1e-12)


def _gelu_tanh(x):
    g = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(0.044715) * x**3)
    return x * (1 + mpmath.tanh(g)) / 2


EXACT = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(mpmath.mpf(2.5) * x)) / mpmath.mpf(2.5),
    "elu": lambda x: x if x > 0 else mpmath.mpf(1.5) * mpmath.expm1(x),
    "selu": lambda x: (
        mpmath.mpf(1.0507009873554805) * (x if x > 0 else mpmath.mpf(1.6732632423543772) * mpmath.expm1(x))
    ),
    "celu": lambda x: x if x > 0 else 2 * mpmath.expm1(x / 2),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "gelu tanh": _gelu_tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    "softsign": lambda x: x / (1 + abs(x)),
}


@pytest.mark.parametrize("name", EXACT)
def test_float64_errs_by_no_more_than_is_assumed_of_libraries(name: str) -> None:
    """Number by number, against 60 digits; whole tensors take vector instructions, single numbers the C library."""
    layer = TORCHS[name][0]()
    generator = torch.Generator().manual_seed(3)
    x = torch.cat([
        40 * torch.rand(400, generator=generator, dtype=torch.float64) - 20,
        10 ** (12 * torch.rand(100, generator=generator, dtype=torch.float64) - 10),
        -(10 ** (4 * torch.rand(100, generator=generator, dtype=torch.float64) - 2)),
    ])  # fmt: skip
    together = layer(x).tolist()
    with mpmath.workdps(60):
        for number, result in zip(x.tolist(), together, strict=True):
            exact = EXACT[name](mpmath.mpf(number))
            alone = float(layer(torch.tensor([number], dtype=torch.float64)))
            # Of one number: u (relative |x| + absolute) and underflow.
            allowed = layer.rounding((1,), abs(number), FLOAT64).error
            for found in (result, alone):
                assert abs(mpmath.mpf(found) - exact) <= allowed


def slope_of_gelu(x):
    """In interval arithmetic: Phi(x) + x phi(x)."""
    density = mpmath.iv.exp(-x * x / 2) / mpmath.iv.sqrt(2 * mpmath.iv.pi)
    return _normal(x) + x * density


def _normal(x):
    # erf rises: its values at the ends enclose it, computed to 30 digits.
    low, high = (mpmath.erf(mpmath.mpf(end) / mpmath.sqrt(2)) for end in (x.a, x.b))
    return (1 + mpmath.iv.mpf([low - mpmath.mpf("1e-20"), high + mpmath.mpf("1e-20")])) / 2


def slope_of_silu(x):
    s = 1 / (1 + mpmath.iv.exp(-x))
    return s + x * s * (1 - s)


def slope_of_gelu_tanh(x):
    c, a = mpmath.iv.sqrt(2 / mpmath.iv.pi), mpmath.iv.mpf("0.044715")
    e = mpmath.iv.exp(-2 * c * (x + a * x**3))
    t = (1 - e) / (1 + e)
    return (1 + t) / 2 + x / 2 * (1 - t * t) * c * (1 + 3 * a * x * x)


@pytest.mark.parametrize(
    ("slope", "bound"),
    [(slope_of_gelu, slopes.GELU), (slope_of_silu, slopes.SILU), (slope_of_gelu_tanh, slopes.GELU_TANH)],
)
def test_interval_arithmetic_proves_the_steepest_slopes(slope, bound: float) -> None:
    """f'(-x) = 1 - f'(x), so x >= 0 is enough; beyond 12 each f' - 1 is below 1e-3, as x times a tail."""
    with mpmath.workdps(30):
        waiting = [(mpmath.mpf(0), mpmath.mpf(12))]
        largest = mpmath.mpf(0)
        while waiting:
            low, high = waiting.pop()
            found = slope(mpmath.iv.mpf([low, high]))
            if found.b <= bound:
                continue
            assert found.a <= bound
            assert high - low > 1e-9
            middle = (low + high) / 2
            largest = max(largest, slope(mpmath.iv.mpf([middle, middle])).a)
            waiting += [(low, middle), (middle, high)]
        assert bound - 1e-4 < largest <= bound
