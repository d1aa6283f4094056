from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from lipscope.layers.stiefel import OrthonormalColumns, length, orthonormalize, orthonormalize_nearby
from tests.layers.contract import noise


def polar(columns: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns."""
    left, _, right = torch.linalg.svd(columns, full_matrices=False)
    return left @ right


def identity_of(basis: Tensor) -> Tensor:
    return torch.eye(basis.shape[-1], dtype=basis.dtype).expand(len(basis), -1, -1)


@pytest.mark.parametrize("shape", [(3, 5, 2), (1, 4, 4), (2, 1, 1), (0, 4, 2), (2, 3, 0)])
def test_the_basis_is_orthonormal_and_spans_the_columns(shape: tuple[int, int, int]) -> None:
    columns = noise(*shape)
    basis = orthonormalize(columns)
    torch.testing.assert_close(basis.mT @ basis, identity_of(basis), rtol=0, atol=1e-9)
    torch.testing.assert_close(basis @ (basis.mT @ columns), columns, rtol=0, atol=1e-9)


@pytest.mark.parametrize("condition", [1.2, 10.0, 1e4, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_basis_is_orthonormal_however_the_columns_lie(condition: float, dtype: torch.dtype) -> None:
    columns = polar(noise(2, 20, 8)) * torch.logspace(0, -math.log10(condition), 8, dtype=torch.float64)
    basis = orthonormalize((columns @ polar(noise(2, 8, 8, seed=1))).to(dtype)).double()
    torch.testing.assert_close(basis.mT @ basis, identity_of(basis), rtol=0, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("condition", [1.0, 2.0, 30.0, 300.0])
def test_a_training_step_orthonormalises_without_a_look_at_the_values(condition: float) -> None:
    columns = polar(noise(2, 20, 8)) * torch.logspace(0, -math.log10(condition), 8, dtype=torch.float64)
    columns = (columns @ polar(noise(2, 8, 8, seed=1))).float()
    basis = orthonormalize_nearby(columns)
    torch.testing.assert_close(basis.mT @ basis, identity_of(basis), rtol=0, atol=1e-4 if condition > 100 else 2e-6)
    torch.testing.assert_close(basis, orthonormalize(columns), rtol=0, atol=1e-5 * condition)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_steps_of_any_size_stay_within_reach_of_a_cholesky_factorisation(size: float) -> None:
    layer = OrthonormalColumns(2, 12, 5, torch.Generator().manual_seed(0))
    for seed in range(20):
        basis = layer()
        torch.testing.assert_close(basis.mT @ basis, identity_of(basis), rtol=0, atol=1e-5)
        (basis * noise(2, 12, 5, seed=seed).float()).sum().backward()
        assert layer.free.grad is not None
        with torch.no_grad():
            layer.free -= size * layer.free.grad
        layer.free.grad = None


def test_both_ways_give_the_basis_with_a_positive_triangle() -> None:
    near = polar(noise(1, 6, 4)) + 0.05 * noise(1, 6, 4, seed=1)
    together = orthonormalize(torch.cat([near, noise(1, 6, 4, seed=2)]))
    torch.testing.assert_close(together[:1], orthonormalize(near), rtol=0, atol=1e-13)
    assert bool(((together[:1].mT @ near).diagonal(dim1=1, dim2=2) > 0).all())


def test_the_initial_matrices_are_orthonormal_and_depend_on_the_generator_alone() -> None:
    first, second, other = (OrthonormalColumns(2, 6, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first.free.mT @ first.free, identity_of(first.free), rtol=0, atol=1e-6)
    assert torch.equal(first.free, second.free)
    assert not torch.allclose(first.free, other.free, atol=0.1)


def test_no_direction_is_preferred_by_the_initial_matrices() -> None:
    """QR alone would leave the diagonal of the first rows negative throughout."""
    square = OrthonormalColumns(2000, 2, 2, torch.Generator().manual_seed(0)).free.detach()
    assert float(square.mean(0).abs().max()) < 0.06


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 4, 4), (1, 6, 1)])
@pytest.mark.parametrize("size", [0.5, 3.0])
def test_gradients_are_those_that_columns_of_a_square_matrix_get_through_its_polar_factor(
    size: float, shape: tuple[int, int, int]
) -> None:
    """Against finite differences of a singular value decomposition, in float64."""
    count, rows, columns = shape
    square = polar(noise(count, rows, rows))
    weight = noise(*shape, seed=1)
    layer = OrthonormalColumns(*shape).double()
    with torch.no_grad():
        layer.free.copy_(size * square[:, :, :columns])
    basis = layer()
    torch.testing.assert_close(basis.detach(), square[:, :, :columns], rtol=0, atol=1e-13)
    (basis * weight).sum().backward()
    assert layer.free.grad is not None
    for seed in range(5):
        step = noise(*shape, seed=seed + 2)
        whole = torch.cat([step, torch.zeros(count, rows, rows - columns, dtype=step.dtype)], dim=2)
        change = polar(size * square + 1e-5 * whole) - polar(size * square - 1e-5 * whole)
        slope = float((layer.free.grad * step).sum())
        assert slope == pytest.approx(float((change[:, :, :columns] * weight).sum()) / 2e-5, rel=1e-7, abs=1e-8)


def test_gradients_do_not_depend_on_where_the_free_matrix_was_left() -> None:
    layer = OrthonormalColumns(1, 5, 3, torch.Generator().manual_seed(0))
    weight = noise(1, 5, 3, seed=1, dtype=torch.float32)
    with torch.no_grad():
        layer.free.add_(0.1 * noise(1, 5, 3, seed=2, dtype=torch.float32))
    (layer() * weight).sum().backward()
    assert layer.free.grad is not None
    moved, before = layer.free.detach().clone(), layer.free.grad.clone()
    layer.zero_grad()
    (layer() * weight).sum().backward()
    torch.testing.assert_close(layer.free.detach(), moved, rtol=0, atol=1e-6)
    torch.testing.assert_close(layer.free.grad, before, rtol=0, atol=1e-6)
    tangent = moved.mT @ before
    torch.testing.assert_close(tangent, -tangent.mT, rtol=0, atol=1e-6)


def test_training_keeps_the_columns_orthonormal_at_a_growing_length_and_evaluation_leaves_them() -> None:
    layer = OrthonormalColumns(2, 6, 3, torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
    weight, lengths, losses = noise(2, 6, 3, seed=1, dtype=torch.float32), [], []
    for _ in range(60):
        loss = (layer() * weight).sum()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        far = layer.free.detach().clone()
        basis = layer.eval()().detach()
        assert torch.equal(layer.free, far)
        torch.testing.assert_close(basis.mT @ basis, identity_of(basis), rtol=0, atol=1e-5)
        lengths.append(float(length(far).mean()))
        layer.train()
    assert all(after > before * (1 - 1e-6) for before, after in itertools.pairwise(lengths))
    assert lengths[-1] > 1.1 * lengths[0]
    # The minimum of <U, W> is minus the sum of the singular values of W.
    assert losses[-1] == pytest.approx(-float(torch.linalg.svdvals(weight).sum()), rel=1e-2)
    assert losses[-1] < losses[0]


def test_the_computation_is_float32_under_autocast_and_exact_in_float64() -> None:
    layer = OrthonormalColumns(1, 6, 3).eval()
    plain = layer()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(), plain)
    exact = layer.exact()
    torch.testing.assert_close(exact.mT @ exact, identity_of(exact), rtol=0, atol=1e-14)
    torch.testing.assert_close(exact.float(), plain, rtol=0, atol=1e-6)


def test_what_is_not_finite_stays_so() -> None:
    assert not bool(orthonormalize(torch.full((1, 3, 2), math.nan)).isfinite().any())
