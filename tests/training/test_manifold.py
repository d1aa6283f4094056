from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from lipscope.layers.pointwise import nearest_orthogonal
from lipscope.training.manifold import RETURN_EVERY, ManifoldDescent, orthogonal_factor, returned, tangent
from tests.layers.contract import noise

SHAPES = [(12, 12), (6, 14), (14, 6)]


def orthonormal(shape: tuple[int, int], seed: int = 0) -> Tensor:
    return nearest_orthogonal(noise(*shape, seed=seed)).float()


def defect(matrix: Tensor) -> float:
    """||W W^T - I|| over the smaller side."""
    wide = matrix.double() if matrix.shape[0] <= matrix.shape[1] else matrix.double().mT
    return float(torch.linalg.matrix_norm(wide @ wide.mT - torch.eye(len(wide), dtype=torch.float64), 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tangent_leaves_the_manifold_only_in_second_order(shape) -> None:
    matrix = orthonormal(shape).double()
    direction = tangent(noise(*shape, seed=1), matrix).double()
    direction /= torch.linalg.matrix_norm(direction, 2)
    for length in (0.1, 0.01):
        # bfloat16 gives the tangent an error of some 2^-8 of the step.
        assert defect(matrix + length * direction) < 2 * length**2 + length * 2**-5


@pytest.mark.parametrize("shape", SHAPES)
def test_the_orthogonal_factor_moves_all_directions_alike(shape) -> None:
    matrix = noise(*shape, seed=2).float()
    factor = orthogonal_factor(matrix)
    singular = torch.linalg.svdvals(factor)
    assert 0.5 < float(singular.min()) < float(singular.max()) < 1.3
    true = nearest_orthogonal(matrix.double()).float()
    # The same singular vectors: the product with the true factor is nearly symmetric and positive.
    product = factor @ true.mT if shape[0] <= shape[1] else factor.mT @ true
    assert float((product - product.mT).norm()) < 0.05 * float(product.norm())


@pytest.mark.parametrize("exponent", range(-44, 19, 2))
@pytest.mark.parametrize("shape", SHAPES)
def test_however_small_or_large_a_gradient_is_its_factor_is_no_longer_than_a_step(shape, exponent) -> None:
    """A momentum that dies away passes through every size."""
    singular = torch.linalg.svdvals(orthogonal_factor(10.0**exponent * noise(*shape, seed=2).float()))
    assert float(singular.max()) < 1.3
    if exponent >= -12:
        assert float(singular.min()) > 0.5


@pytest.mark.parametrize("shape", SHAPES)
def test_the_return_goes_to_the_nearest_orthogonal_matrix(shape) -> None:
    moved = orthonormal(shape) + 0.003 * noise(*shape, seed=3).float()
    before = defect(moved)
    for _ in range(3):
        moved = returned(moved)
    assert before > 0.01
    assert defect(moved) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_it_finds_the_orthogonal_matrix_that_a_linear_function_is_largest_at(shape) -> None:
    """max tr(A^T W) over orthonormal W is the sum of the singular values of A, at its orthogonal factor."""
    target = noise(*shape, seed=4).float()
    start = orthonormal(shape, seed=5)
    if shape[0] == shape[1] and torch.linalg.det(target) * torch.linalg.det(start) < 0:
        # A path on the manifold cannot change the sign of the determinant.
        start[0] *= -1
    weight = torch.nn.Parameter(start)
    optimizer = ManifoldDescent([weight], [], lr=0.05)
    steps = 400
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        (-(weight * target).sum()).backward()
        optimizer.step()
    best = float(torch.linalg.svdvals(target).sum())
    assert float((weight.detach() * target).sum()) > (1 - 2e-3) * best
    assert defect(weight.detach()) < 1e-3


def test_a_step_turns_by_the_angle() -> None:
    weight = torch.nn.Parameter(orthonormal((16, 16)))
    before = weight.detach().clone()
    optimizer = ManifoldDescent([weight], [], lr=0.01)
    (weight * noise(16, 16, seed=6).float()).sum().backward()
    optimizer.step()
    singular = torch.linalg.svdvals(weight.detach() - before)
    assert 0.003 < float(singular.median()) < 0.013


def test_many_steps_stay_near_the_manifold() -> None:
    weight = torch.nn.Parameter(orthonormal((8, 8)))
    optimizer = ManifoldDescent([weight], [], lr=0.05)
    for step in range(20 * RETURN_EVERY):
        optimizer.zero_grad()
        (weight * noise(8, 8, seed=step).float()).sum().backward()
        optimizer.step()
    assert defect(weight.detach()) < 0.05


def test_everything_else_is_moved_by_adam() -> None:
    start = noise(5, seed=7).float()
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizer = ManifoldDescent([], [ours], lr=0.3)
    reference = torch.optim.Adam([theirs], lr=0.3 / 5, betas=(0.9, 0.98))
    for step in range(10):
        for parameter, moved in ((ours, optimizer), (theirs, reference)):
            moved.zero_grad()
            (parameter * noise(5, seed=step).float()).sum().backward()
            moved.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_state_that_is_saved_and_loaded_goes_on_alike() -> None:
    def steps(weight: torch.nn.Parameter, optimizer: ManifoldDescent, numbers: range) -> None:
        for step in numbers:
            optimizer.zero_grad()
            (weight * noise(6, 4, seed=step).float()).sum().backward()
            optimizer.step()

    weight = torch.nn.Parameter(orthonormal((6, 4)))
    optimizer = ManifoldDescent([weight], [], lr=0.02)
    steps(weight, optimizer, range(5))
    again = torch.nn.Parameter(weight.detach().clone())
    resumed = ManifoldDescent([again], [], lr=0.02)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(weight, optimizer, range(5, 11))
    steps(again, resumed, range(5, 11))
    assert torch.equal(weight, again)
    assert math.isfinite(float(weight.detach().sum()))
