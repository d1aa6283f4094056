from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipscope.errors import UsageError
from lipscope.layers.contract import LinearLayer
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.heads import Head, LastLayerNormalized, OrthogonalHead
from lipscope.layers.last_layers import HEADS
from lipscope.records import Shape
from tests import dense
from tests.always import always
from tests.layers.contract import Case, LinearLayerContract, noise
from tests.layers.test_soc import skew_kernel

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def lln(weight: torch.Tensor) -> LastLayerNormalized:
    layer = LastLayerNormalized(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(noise(len(weight), seed=7))
    return layer.requires_grad_(False)


def orthogonal(features: int, classes: int, norm: float = 1.0, terms: int = 12) -> OrthogonalHead:
    layer = OrthogonalHead(features, classes, terms)
    with torch.no_grad():
        layer.conv.kernel.copy_(skew_kernel(max(features, classes), 1, norm))
        layer.conv.bias.copy_(noise(classes, seed=8))
    return layer.requires_grad_(False).eval()


def unit_rows(classes: int, features: int) -> torch.Tensor:
    rows = noise(classes, features)
    return rows / rows.norm(dim=1, keepdim=True)


def exact_distance_squared(left: torch.Tensor, right: torch.Tensor) -> Fraction:
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return sum(((Fraction(a) - Fraction(b)) ** 2 for a, b in pairs), Fraction(0))


def check_pairs(layer: Head, rows: torch.Tensor, tightness: float | None = None) -> None:
    """Every pair's constant covers the exact distance of the two rows of the matrix."""
    pairs = layer.pair_bounds()
    assert pairs.dtype == torch.float64
    assert pairs.shape == (len(rows), len(rows))
    assert not pairs.diagonal().any()
    for i in range(len(rows)):
        for j in range(len(rows)):
            bound, exact = Fraction(float(pairs[i, j])), exact_distance_squared(rows[i], rows[j])
            assert bound**2 >= exact
            if tightness is not None:
                assert bound**2 <= exact * Fraction(1 + tightness) ** 2


class TestLastLayerNormalized(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "unit rows": (lambda: lln(unit_rows(10, 16)), (16,)),
        "more classes": (lambda: lln(unit_rows(9, 4)), (4,)),
        "as stored": (lambda: lln(3 * noise(3, 5)), (5,)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer.weight.double().numpy()

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer.bias.double().numpy()

    def test_pairs_cover_the_exact_distances(self, layer: Head, shape: Shape) -> None:
        check_pairs(layer, layer.weight, tightness=1e-13)

    def test_the_bound_is_the_norm(self, layer: Head, shape: Shape) -> None:
        assert layer.bound(shape).value <= dense.norm(self.dense(layer, shape)) * (1 + 1e-12)


@always(rows=arrays(np.float32, (3, 4), elements=SINGLE))
def test_pairs_cover_the_exact_distances_of_any_stored_rows(rows: np.ndarray) -> None:
    check_pairs(lln(torch.from_numpy(rows)), torch.from_numpy(rows), tightness=1e-13)


@always(row=arrays(np.float32, (6,), elements=SINGLE), steps=st.integers(1, 3), place=st.integers(0, 5))
def test_nearly_equal_rows_do_not_cancel(row: np.ndarray, steps: int, place: int) -> None:
    other = row.copy()
    for _ in range(steps):
        other[place] = np.nextafter(other[place], np.float32(-1))
    rows = torch.from_numpy(np.stack([row, other]))
    check_pairs(lln(rows), rows, tightness=1e-13)


def test_equal_rows_have_the_constant_zero() -> None:
    rows = unit_rows(1, 8).repeat(3, 1)
    assert not lln(rows).pair_bounds().any()


def test_orthonormal_rows_are_the_square_root_of_two_apart() -> None:
    pairs = lln(torch.eye(3, 5)).pair_bounds()
    off_diagonal = pairs[~torch.eye(3, dtype=torch.bool)]
    assert bool((off_diagonal >= math.sqrt(2)).all())
    assert bool((off_diagonal <= math.sqrt(2) * (1 + 1e-14)).all())


def test_training_normalises_the_rows_and_freezing_stores_them() -> None:
    layer = LastLayerNormalized(16, 10)
    layer.make_trainable(torch.Generator().manual_seed(0))
    assert not torch.allclose(layer.weight.norm(dim=1), torch.ones(10), atol=1e-3)
    rows = layer.rows().detach().clone()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(10))
    layer(noise(2, 16, dtype=torch.float32)).sum().backward()
    assert layer.weight.grad is not None
    check_pairs(layer, rows)
    layer.freeze()
    assert torch.equal(layer.weight, rows)
    assert torch.equal(layer.rows(), rows)


def test_training_rows_stay_float32_under_autocast() -> None:
    layer = LastLayerNormalized(16, 10)
    layer.make_trainable(torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = layer.rows()
    assert rows.dtype == torch.float32
    assert torch.equal(rows, layer.rows())


def not_skew() -> OrthogonalHead:
    layer = orthogonal(8, 5, norm=1.5)
    layer.conv.kernel[2, 3] *= 1.01
    return layer


class TestOrthogonalHead(LinearLayerContract):
    cases: ClassVar[dict[str, Case]] = {
        "fewer classes": (lambda: orthogonal(12, 4), (12,)),
        "as many": (lambda: orthogonal(6, 6), (6,)),
        "more classes": (lambda: orthogonal(4, 9), (4,)),
        "larger norm": (lambda: orthogonal(8, 5, norm=3.0), (8,)),
        "expanding": (lambda: orthogonal(8, 5, norm=5.0), (8,)),
        "not skew": (not_skew, (8,)),
    }

    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        matrix = dense.series(layer.conv.kernel[:, :, 0, 0].double().numpy(), layer.conv.terms)
        return matrix[: layer.classes, : shape[0]]

    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        return layer.conv.bias.double().numpy()

    def test_pairs_cover_the_distances_of_the_rows(self, layer: Head, shape: Shape) -> None:
        rows, pairs = self.dense(layer, shape), layer.pair_bounds()
        distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        assert bool((pairs.numpy() >= distances * (1 - dense.ROUNDING)).all())
        assert not pairs.diagonal().any()

    def test_the_claim_of_gradient_norm_preservation(self, layer: Head, shape: Shape) -> None:
        """A head claims nothing: it mostly cuts classes, and radii use the pairs."""
        assert not layer.gradient_norm_preserving


def test_orthogonal_pairs_are_the_square_root_of_two_when_the_kernel_is_skew() -> None:
    pairs = orthogonal(12, 4).pair_bounds()
    off_diagonal = pairs[~torch.eye(4, dtype=torch.bool)]
    assert bool((off_diagonal > math.sqrt(2)).all())
    assert bool((off_diagonal < math.sqrt(2) * (1 + 1e-14)).all())
    assert float(not_skew().pair_bounds().max()) > 1.5 * math.sqrt(2)


@pytest.mark.parametrize("family", CONVOLUTIONS)
@pytest.mark.parametrize(("features", "classes"), [(12, 4), (6, 6)])
def test_the_orthogonal_head_of_every_family_has_orthonormal_rows(family: str, features: int, classes: int) -> None:
    made = HEADS["orthogonal"](features, classes, 12, family)
    made.make_trainable(torch.Generator().manual_seed(0))
    for _ in range(20):  # power iterations, of the family that has them
        made(noise(2, features, dtype=torch.float32))
    made.eval().freeze()
    made_of = CONVOLUTIONS[CONVOLUTIONS[family].head or family]
    assert made.kind == f"orthogonal ({made_of.title} 1x1)"
    rows = made.linear(torch.eye(features, dtype=torch.float64)).detach().mT
    np.testing.assert_allclose(rows @ rows.mT, np.eye(classes), rtol=0, atol=1e-6)
    check = made.pair_bounds()
    distances = torch.cdist(rows, rows)
    assert bool((check + 1e-9 * torch.eye(classes) >= distances * (1 - dense.ROUNDING)).all())
    assert float(check.max()) <= math.sqrt(2) * (1 + 1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_heads_by_name(name: str) -> None:
    made = HEADS[name](12, 4, 8, "soc")
    assert made.output_shape((12,)) == (4,)
    assert made.classes == 4


def test_unknown_head() -> None:
    with pytest.raises(UsageError, match="softmax"):
        HEADS["softmax"]


@pytest.mark.parametrize("name", HEADS)
def test_trainable_heads_freeze_to_the_function_that_they_were(name: str) -> None:
    made = HEADS[name](12, 4, 12, "soc")
    made.make_trainable(torch.Generator().manual_seed(0))
    made.train()
    for _ in range(50):
        made(noise(2, 12, dtype=torch.float32))
    made.eval()
    x = noise(5, 12, dtype=torch.float32)
    before = made(x)
    made.freeze()
    torch.testing.assert_close(made(x), before, rtol=1e-3, atol=1e-3)
    assert set(made.state_dict()) == set(HEADS[name](12, 4, 12, "soc").state_dict())
