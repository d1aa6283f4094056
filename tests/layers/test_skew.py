from __future__ import annotations

import numpy as np
import pytest
import torch

from lipscope.bounds.convolution import every_size_bound, unfolding_bound
from lipscope.layers.skew import CORRECTION, SkewKernel, conjugate_kernel, is_skew
from tests import dense
from tests.layers.contract import noise


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("image", [(1, 1), (2, 2), (3, 5)])
def test_conjugate_kernel_is_the_transposed_operator(kernel_size: int, image: tuple[int, int]) -> None:
    kernel = noise(2, 2, kernel_size, kernel_size)
    matrix = dense.zero_padded_matrix(kernel.numpy(), *image)
    transposed = dense.zero_padded_matrix(conjugate_kernel(kernel).numpy(), *image)
    np.testing.assert_array_equal(transposed, matrix.T)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_skew_kernels_are_skew_matrices(kernel_size: int) -> None:
    free = noise(3, 3, kernel_size, kernel_size)
    kernel = free - conjugate_kernel(free)
    assert is_skew(kernel)
    matrix = dense.zero_padded_matrix(kernel.numpy(), 4, 5)
    np.testing.assert_array_equal(matrix, -matrix.T)


def test_is_skew_is_exact() -> None:
    free = noise(3, 3, 3, 3, dtype=torch.float32)
    kernel = free - conjugate_kernel(free)
    assert is_skew(kernel)
    for place in [(0, 1, 0, 2), (1, 1, 0, 0), (2, 0, 1, 1)]:
        nudged = kernel.clone()
        nudged[place] = torch.nextafter(nudged[place], torch.tensor(9.0))
        assert not is_skew(nudged)
    centre = kernel.clone()
    centre[1, 1, 1, 1] = 1e-45
    assert not is_skew(centre)
    assert not is_skew(kernel.masked_fill(kernel == kernel.max(), float("nan")))


def test_negative_zero_is_zero() -> None:
    assert is_skew(torch.zeros(2, 2, 3, 3))
    assert is_skew(-torch.zeros(2, 2, 3, 3))


def parametrized(channels: int, kernel_size: int, steps: int, seed: int = 0) -> tuple[SkewKernel, torch.Tensor]:
    torch.manual_seed(seed)
    step = SkewKernel(channels, kernel_size).train()
    free = noise(channels, channels, kernel_size, kernel_size, seed=seed, dtype=torch.float32)
    for _ in range(steps):
        step(free)
    return step, free


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("steps", [0, 1, 100])
def test_training_kernels_are_exactly_skew_from_the_first_step(kernel_size: int, steps: int) -> None:
    step, free = parametrized(6, kernel_size, steps)
    assert is_skew(step(free).detach())
    assert is_skew(step.eval()(free).detach())


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_settled_kernels_have_the_norm_of_the_paper(kernel_size: int, seed: int) -> None:
    """Divided by the smallest of the four unfolding norms, times the correction: at most about 0.7 * 3, or 1."""
    step, free = parametrized(5, kernel_size, 20, seed)
    step.eval()
    step.settle(free, iterations=300)
    kernel = step(free).double()
    height = kernel_size
    unfoldings = [
        kernel.flatten(1),
        kernel.transpose(0, 1).flatten(1),
        kernel.permute(0, 2, 1, 3).reshape(5 * height, -1),
        kernel.permute(0, 3, 1, 2).reshape(5 * height, -1),
    ]
    smallest = min(dense.norm(matrix.numpy()) for matrix in unfoldings)
    assert smallest == pytest.approx(CORRECTION[kernel_size], rel=1e-4)
    assert every_size_bound(kernel) <= unfolding_bound(kernel) * 1.02
    assert unfolding_bound(kernel) <= CORRECTION[kernel_size] * kernel_size * (1 + 2e-4)


def test_the_estimate_of_training_lies_below_the_norm() -> None:
    step, free = parametrized(5, 3, 3)
    assert unfolding_bound(step(free).detach()) > CORRECTION[3] * 3


def test_evaluation_leaves_the_estimate_alone_and_training_moves_it() -> None:
    step, free = parametrized(5, 3, 1)
    before = step.wide.clone()
    step.eval()(free)
    assert torch.equal(step.wide, before)
    step.train()(free)
    assert not torch.equal(step.wide, before)


def test_autocast_does_not_touch_the_kernel() -> None:
    step, free = parametrized(6, 3, 5)
    step.eval()
    plain = step(free)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = step(free)
        half = step(free.bfloat16())
    assert under.dtype == half.dtype == torch.float32
    assert torch.equal(under, plain)
    assert is_skew(half.detach())


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradients_are_those_of_the_normalised_kernel(kernel_size: int) -> None:
    step, free = parametrized(4, kernel_size, 3)
    step.eval()
    step.settle(free, iterations=300)
    weights, direction = (noise(*free.shape, seed=seed, dtype=torch.float32) for seed in (5, 6))

    def value(point: torch.Tensor) -> torch.Tensor:
        return (step(point) * weights).sum()

    leaf = free.clone().requires_grad_()
    value(leaf).backward()
    h = 1e-2
    difference = float(value(free + h * direction) - value(free - h * direction)) / (2 * h)
    assert float((leaf.grad * direction).sum()) == pytest.approx(difference, rel=1e-2)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_is_that_of_the_least_norm_with_its_vectors_fixed(kernel_size: int, training: bool) -> None:
    step, free = parametrized(4, kernel_size, 2)
    step.train(training)
    weights, leaf = noise(*free.shape, seed=5).float(), free.clone().requires_grad_(True)
    kernel = step(leaf)
    (found,) = torch.autograd.grad((kernel * weights).sum(), leaf)
    skew = free - conjugate_kernel(free)
    wide, square = skew.flatten(1), skew.permute(0, 2, 1, 3).reshape(4 * kernel_size, -1)
    pairs = []
    for matrix, right in ((wide, step.wide), (square, step.square)):
        left = matrix @ right
        if training:
            # The step left M^T left at length 1 in right: its left vector is the solution of that.
            left = torch.linalg.lstsq(matrix.mT, right).solution
        pairs.append((left / left.norm(), right.clone()))
    truth_leaf = free.clone().requires_grad_(True)
    truth_skew = truth_leaf - conjugate_kernel(truth_leaf)
    matrices = (truth_skew.flatten(1), truth_skew.permute(0, 2, 1, 3).reshape(4 * kernel_size, -1))
    norms = [left @ (matrix @ right) for matrix, (left, right) in zip(matrices, pairs, strict=True)]
    truth = truth_skew * (CORRECTION[kernel_size] / torch.stack(norms).min())
    torch.testing.assert_close(kernel, truth, rtol=1e-4, atol=1e-5)
    (expected,) = torch.autograd.grad((truth * weights).sum(), truth_leaf)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
