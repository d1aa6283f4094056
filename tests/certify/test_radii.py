from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipscope.certify.radii import certified_radii
from lipscope.errors import LipscopeError
from tests.always import always

DIAMETER = 55.4

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
