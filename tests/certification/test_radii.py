from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from lipscope.certification.budget import TIMES_PAID
from lipscope.certification.radii import Pairs, Radii, radius_of
from lipscope.certification.radii import certified_radii as radii_of_pairs
from lipscope.errors import LipscopeError
from tests.always import always

DIAMETER = 55.4


def certified_radii(
    logits: Tensor,
    constants: Tensor,
    lipschitz: float,
    largest: float,
    errors: Tensor | None = None,
    settled: Tensor | None = None,
) -> Radii:
    """With no rounding errors and no settled pairs unless they are given."""
    constants = constants.double()
    errors = torch.zeros_like(constants) if errors is None else errors.double()
    settled = torch.full_like(constants, math.nan) if settled is None else settled.double()
    return radii_of_pairs(logits, Pairs(constants, errors, settled, lipschitz, largest))


LOGITS = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))


def by_hand(logits: list[float], constants: np.ndarray, lipschitz: float, largest: float) -> tuple[int, float]:
    """(predicted, radius): one class at a time."""
    predicted = max(range(len(logits)), key=lambda i: (logits[i], -i))
    radius = largest
    for i, logit in enumerate(logits):
        if i == predicted:
            continue
        margin = logits[predicted] - logit
        if margin == 0:
            radius = 0.0
        elif constants[predicted, i] * lipschitz > 0:
            radius = min(radius, margin / (constants[predicted, i] * lipschitz))
    return predicted, radius


@always(
    logits=arrays(np.float64, (3, 5), elements=LOGITS),
    constants=arrays(np.float64, (5, 5), elements=st.one_of(st.just(0.0), st.floats(1e-3, 10))),
    lipschitz=st.floats(1e-2, 100),
)
def test_every_pair_is_considered(logits: np.ndarray, constants: np.ndarray, lipschitz: float) -> None:
    found = certified_radii(torch.from_numpy(logits), torch.from_numpy(constants), lipschitz, DIAMETER)
    for row in range(3):
        predicted, radius = by_hand(logits[row].tolist(), constants, lipschitz, DIAMETER)
        assert int(found.predicted[row]) == predicted
        assert float(found.radius[row]) == pytest.approx(radius, rel=1e-14, abs=0)
        runner_up = int(found.runner_up[row])
        assert runner_up != predicted
        assert float(found.margin[row]) == logits[row, predicted] - logits[row, runner_up]
        quotient = float(found.margin[row]) / max(constants[predicted, runner_up] * lipschitz, 1e-300)
        assert min(quotient, DIAMETER) == pytest.approx(radius, rel=1e-14, abs=0)


def equal_constants(classes: int, value: float = math.sqrt(2)) -> torch.Tensor:
    return torch.full((classes, classes), value, dtype=torch.float64).fill_diagonal_(0.0)


def test_the_runner_up_is_not_the_second_largest_logit() -> None:
    logits = torch.tensor([[1.0, 0.9, 0.5]])
    constants = torch.tensor([[0.0, 0.1, 2.0], [0.1, 0.0, 2.0], [2.0, 2.0, 0.0]])
    found = certified_radii(logits, constants, 1.0, DIAMETER)
    assert int(found.runner_up[0]) == 2
    assert float(found.radius[0]) == pytest.approx(0.25, rel=1e-14)
    assert float(found.margin[0]) == 0.5


@pytest.mark.parametrize(
    "logits", [[2.0, 2.0, 1.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-0.0, 0.0, -1.0], [1e30, 1e30, 0.0]]
)
def test_ties_have_radius_zero(logits: list[float]) -> None:
    found = certified_radii(torch.tensor([logits]), equal_constants(3), 0.01, DIAMETER)
    assert float(found.radius[0]) == 0.0
    assert float(found.margin[0]) == 0.0
    assert int(found.runner_up[0]) != int(found.predicted[0])


@pytest.mark.parametrize("offset", [-3e38, -1e9, -1e6, 0.0, 1e6, 1e9])
def test_the_class_is_masked_by_its_index_whatever_the_logits(offset: float) -> None:
    """A mask by subtracting 1e6 would take the predicted class for its own runner-up here."""
    logits = torch.tensor([[offset, offset - abs(offset) / 4 - 64]], dtype=torch.float64)
    found = certified_radii(logits, equal_constants(2, 1e300), 1.0, DIAMETER)
    assert int(found.predicted[0]) == 0
    assert int(found.runner_up[0]) == 1
    assert float(found.radius[0]) == pytest.approx((abs(offset) / 4 + 64) / 1e300)


def test_hugely_different_logits_do_not_overflow_into_certainty() -> None:
    logits = torch.tensor([[1.7e308, -1.7e308, 1.69e308]], dtype=torch.float64)
    found = certified_radii(logits, equal_constants(3, 1e307), 1.0, DIAMETER)
    assert float(found.radius[0]) == pytest.approx(0.1)
    assert int(found.runner_up[0]) == 2


def test_equal_rows_decide_nothing_unless_they_tie() -> None:
    """f_0 - f_1 is constant: it certifies all of pixel space when positive, and nothing when zero."""
    constants = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    found = certified_radii(torch.tensor([[3.0, 2.0, 1.0], [2.0, 2.0, 1.0]]), constants, 1.0, DIAMETER)
    assert found.radius.tolist() == [pytest.approx(2.0, rel=1e-14), 0.0]
    assert found.runner_up.tolist() == [2, 1]
    alone = certified_radii(torch.tensor([[3.0, 2.0]]), torch.zeros(2, 2), 1.0, DIAMETER)
    assert alone.radius.tolist() == [DIAMETER]
    assert alone.runner_up.tolist() == [1]
    assert alone.margin.tolist() == [1.0]


def test_no_radius_exceeds_the_diameter_of_pixel_space() -> None:
    found = certified_radii(torch.tensor([[1e9, 0.0]]), equal_constants(2), 1e-3, DIAMETER)
    assert float(found.radius[0]) == DIAMETER


def test_radii_are_inversely_proportional_to_the_constant() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    once, twice = (certified_radii(logits, equal_constants(4), factor, DIAMETER).radius for factor in (1.0, 2.0))
    assert torch.equal(once, 2 * twice)


def test_the_diagonal_is_ignored() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    expected = certified_radii(logits, equal_constants(4), 1.0, DIAMETER).radius
    for value in (1e9, 1e-9, math.inf):
        constants = equal_constants(4).fill_diagonal_(value)
        assert torch.equal(certified_radii(logits, constants, 1.0, DIAMETER).radius, expected)


def test_an_infinite_constant_certifies_nothing() -> None:
    found = certified_radii(torch.tensor([[5.0, 0.0]]), equal_constants(2, math.inf), 1.0, DIAMETER)
    assert float(found.radius[0]) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_logits_that_are_not_finite_raise(bad: float, dtype: torch.dtype) -> None:
    logits = torch.zeros(3, 4, dtype=dtype)
    logits[1, 2] = bad
    with pytest.raises(LipscopeError, match="NaN or infinite"):
        certified_radii(logits, equal_constants(4), 1.0, DIAMETER)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_radii_are_float64_from_the_logits_as_they_are(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1.1, 0.3, -0.7]]).to(dtype)
    found = certified_radii(logits, equal_constants(3).float(), 3.0, DIAMETER)
    assert found.radius.dtype == found.margin.dtype == torch.float64
    assert found.predicted.dtype == found.runner_up.dtype == torch.int64
    a, b = (float(value) for value in logits[0, :2])
    assert float(found.radius[0]) == pytest.approx((a - b) / (3 * float(np.float32(math.sqrt(2)))), rel=1e-15)


def test_the_arguments_are_left_alone() -> None:
    logits, constants = torch.tensor([[1.0, 2.0]], dtype=torch.float64), equal_constants(2)
    before = logits.clone(), constants.clone()
    certified_radii(logits, constants, 1.0, DIAMETER)
    assert torch.equal(logits, before[0])
    assert torch.equal(constants, before[1])


def test_every_radius_is_at_most_the_exact_quotient():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(300, 4, generator=generator)
    pairs = torch.rand(4, 4, generator=generator, dtype=torch.float64) + 0.5
    lipschitz = 1 / 0.2507
    radii = certified_radii(logits, pairs, lipschitz, 1e9)
    for row, radius, own in zip(logits.tolist(), radii.radius.tolist(), radii.predicted.tolist(), strict=True):
        exact = min(
            (Fraction(row[own]) - Fraction(row[i])) / (Fraction(float(pairs[own, i])) * Fraction(lipschitz))
            for i in range(4)
            if i != own
        )
        assert Fraction(radius) <= exact
        assert radius >= float(exact) * (1 - 1e-14) - 1e-300


ORDINARY = st.floats(-1e6, 1e6)
WILD = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e150, max_value=1e150)


def matrix(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(3, 3)


@always(
    logits=st.one_of(st.lists(ORDINARY, min_size=3, max_size=3), st.lists(WILD, min_size=3, max_size=3)),
    errors=st.lists(st.one_of(st.just(0.0), st.floats(0, 1e-3), st.floats(0, 1e150)), min_size=9, max_size=9),
    bounds=st.lists(st.one_of(st.just(0.0), st.floats(0, 2), st.floats(5e-324, 1e100)), min_size=9, max_size=9),
    lipschitz=st.floats(1e-3, 1e3),
)
def test_no_rounding_of_the_quotient_helps(
    logits: list[float], errors: list[float], bounds: list[float], lipschitz: float
) -> None:
    largest = 55.0
    found = certified_radii(
        torch.tensor([logits], dtype=torch.float64), matrix(bounds), lipschitz, largest, matrix(errors)
    )
    (radius,), (predicted,) = found.radius.tolist(), found.predicted.tolist()
    assert 0 <= radius <= largest
    for i in set(range(3)) - {predicted}:
        margin = Fraction(logits[predicted]) - Fraction(logits[i]) - TIMES_PAID * Fraction(errors[3 * predicted + i])
        constant = Fraction(bounds[3 * predicted + i]) * Fraction(lipschitz)
        if margin <= 0:
            assert radius == 0
        elif constant:
            assert Fraction(radius) <= margin / constant


def test_an_infinite_error_certifies_nothing() -> None:
    ones = torch.ones(3, 3)
    assert certified_radii(torch.tensor([[3.0, 2.0, 1.0]]), ones, 1.0, 9.0, ones * math.inf).radius == 0


def test_the_sign_of_a_settled_difference_decides_alone() -> None:
    """Classes 0 and 1 have equal rows: neither the computed margin nor its error matters between them."""
    logits, ones = torch.tensor([[2.0, 2.0 - 1e-9, 0.0]], dtype=torch.float64), torch.ones(3, 3)
    constants = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    for difference, radius in ((1e-30, 1.0), (0.0, 0.0), (-1e-30, 0.0)):
        settled = torch.full((3, 3), math.nan)
        settled[0, 1], settled[1, 0] = difference, -difference
        found = certified_radii(logits, constants, 1.0, DIAMETER, 0.5 * ones, settled)
        assert found.radius.tolist() == [pytest.approx(radius, rel=1e-12)]
        assert found.runner_up.tolist() == [2 if radius else 1]
        assert found.margin.tolist() == [2.0 if radius else pytest.approx(difference)]


def test_the_radius_follows_from_the_margin_that_is_kept() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(50, 4, generator=generator).double()
    constants = torch.rand(4, 4, generator=generator).double() + 0.5
    settled = torch.full((4, 4), math.nan).double()
    settled[0, 1], settled[1, 0] = 0.25, -0.25
    pairs = Pairs(constants, constants * 1e-3, settled, 2.0, DIAMETER)
    found = radii_of_pairs(logits, pairs)
    assert torch.equal(radius_of(found.margin, found.predicted, found.runner_up, pairs), found.radius)
