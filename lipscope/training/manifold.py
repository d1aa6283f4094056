"""Descent on orthogonal matrices where they live, and Adam for everything else.

A step turns a matrix W by a fixed angle: with M the momentum of the gradients, Z its part tangent to the matrices with
orthonormal rows or columns, and U the orthogonal factor of Z,

    W <- W - (angle) U,

so that every singular direction of Z moves alike, however small its gradient (Jordan et al., *Muon*, 2024; on the
manifold: Bernstein, *Modular Manifolds*, 2025). Every few steps one Newton iteration makes its rows or columns
orthonormal again. Nothing of this is trusted by a bound: what is stored is proved from its own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that takes singular values from nearly 0 to about 1 in a few iterations (Jordan et al.)."""

ITERATIONS = 4
"""Of that polynomial."""

TINY = 1e-12
"""The least that is divided by: a norm may be 0."""

RETURN_EVERY = 4
"""Steps between two returns to the manifold: an angle t leaves it by t^2 / 2 a step."""

RATIO = 1 / 5
"""Of Adam's learning rate to the angle."""

MOMENTUM = 0.95
BETAS = (0.9, 0.98)


class ManifoldDescent(torch.optim.Optimizer):
    """One optimiser for a net of orthogonal matrices, biases and a head.

    Args:
        matrices: parameters with orthonormal rows or columns when flattened to (out, rest).
        others: all other parameters.
        lr: the angle of a step, in radians.
    """

    def __init__(self, matrices: Iterable[Tensor], others: Iterable[Tensor], lr: float) -> None:
        groups = [{"params": list(matrices), "orthogonal": True}, {"params": list(others), "orthogonal": False}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move = _turn if group["orthogonal"] else _adam
                    move(parameter, parameter.grad, self.state[parameter], group)


def _turn(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["step"], state["momentum"] = 0, torch.zeros_like(parameter)
    state["step"] += 1
    momentum = state["momentum"].mul_(MOMENTUM).add_(gradient)
    matrix = parameter.flatten(1)
    towards = tangent(gradient.add(momentum, alpha=MOMENTUM).flatten(1), matrix)
    matrix.sub_(group["lr"] * orthogonal_factor(towards))
    if state["step"] % RETURN_EVERY == 0:
        matrix.copy_(returned(matrix))


def _adam(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["step"] = 0
        state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    state["step"] += 1
    state["mean"].lerp_(gradient, 1 - BETAS[0])
    state["square"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    mean = state["mean"] / (1 - BETAS[0] ** state["step"])
    root = (state["square"] / (1 - BETAS[1] ** state["step"])).sqrt_().add_(1e-8)
    parameter.addcdiv_(mean, root, value=-group["lr"] * RATIO)


def tangent(direction: Tensor, matrix: Tensor) -> Tensor:
    """M - sym(M W^T) W for orthonormal rows, M - W sym(W^T M) for orthonormal columns, in bfloat16.

    Args:
        direction, matrix: (m, n).
    """
    small = direction.to(torch.bfloat16)
    frame = matrix.to(torch.bfloat16)
    if matrix.shape[0] > matrix.shape[1]:
        small, frame = small.mT, frame.mT
    product = small @ frame.mT
    result = small - (product + product.mT).mul_(0.5) @ frame
    return result if matrix.shape[0] <= matrix.shape[1] else result.mT


def orthogonal_factor(matrix: Tensor) -> Tensor:
    """Nearly U V^T of the singular value decomposition U S V^T: all singular values between about 0.7 and 1.2.

    Args:
        matrix: (m, n), computed in bfloat16.

    Returns:
        (m, n) float32.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    wide = (wide / (torch.linalg.vector_norm(wide, dtype=torch.float32) + TINY)).to(torch.bfloat16)
    gram = wide @ wide.mT
    # sqrt(||X X^T||_F) lies between the largest singular value of X and its Frobenius norm, near the former where many
    # are alike: one iteration less than from the latter, which keeps what is squared from under- and overflowing.
    scale = torch.linalg.vector_norm(gram, dtype=torch.float32).clamp_min_(TINY).rsqrt_()
    factor, gram = wide * scale.to(wide.dtype), gram * scale.square().to(wide.dtype)
    first, third, fifth = COEFFICIENTS
    for iteration in range(ITERATIONS):
        gram = factor @ factor.mT if iteration else gram
        factor = first * factor + (third * gram + fifth * (gram @ gram)) @ factor
    result: Tensor = factor.float()
    return result if matrix.shape[0] <= matrix.shape[1] else result.mT


def returned(matrix: Tensor) -> Tensor:
    """W - (W W^T - I) W / 2 or its transpose's: one Newton iteration towards orthonormal rows or columns.

    Args:
        matrix: (m, n) float32, near the manifold. The correction is small, so its own rounding to bfloat16 does not
            matter.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
    excess = wide @ wide.mT
    excess.diagonal().sub_(1)
    correction = (excess.to(torch.bfloat16) @ wide.to(torch.bfloat16)).float()
    moved = wide - 0.5 * correction
    return moved if matrix.shape[0] <= matrix.shape[1] else moved.mT
