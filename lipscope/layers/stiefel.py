"""Matrices with orthonormal columns, trained where they live: on the Stiefel manifold.

The free matrix A is kept at r U, U with orthonormal columns, by replacing U after every step of the optimiser. Nothing
is differentiated through an iteration, and however long the training, A is never further from r U than one step, so
that one Cholesky factorisation brings it back in float32.

For the gradient G of U, that of A is (G - U G^T U) / (2 r): in the canonical metric of the manifold (Edelman, Arias &
Smith, *The Geometry of Algorithms with Orthogonality Constraints*, SIAM J. Matrix Anal. Appl. 1998, section 2.4.4), and
what the first columns of a free *square* matrix r [U, V] get through its polar factor, whatever V is. The length r
grows with every step, because steps are orthogonal to A, and divides the gradients. So both move U alike, and learning
rates carry over from published code, which trains square matrices through Bjorck's iteration.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


def orthonormalize(columns: Tensor) -> Tensor:
    """The orthonormal basis A R^-1 of the columns of A, R upper triangular with a positive diagonal.

    R^T is the Cholesky factor of A^T A where that is within 1/2 of a multiple of I, so that cond(A)^2 <= 3 and the
    basis is orthonormal up to a few roundings (Yamamoto et al., *Roundoff error analysis of the CholeskyQR2
    algorithm*, ETNA 2015). It comes from reflections, twice as slow and stable for every A, elsewhere.

    Args:
        columns: (batch, n, m), m <= n.
    """
    gram = columns.mT @ columns
    square = length(columns).square()
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    if bool((torch.linalg.matrix_norm(gram - square * identity) <= square.flatten() / 2).all()):
        factor = torch.linalg.cholesky(gram)
        basis: Tensor = torch.linalg.solve_triangular(factor.mT, columns, upper=True, left=False)
        return basis
    basis, triangle = torch.linalg.qr(columns)
    return torch.where(triangle.diagonal(dim1=1, dim2=2).unsqueeze(1) < 0, -basis, basis)


def orthonormalize_nearby(columns: Tensor) -> Tensor:
    """:func:`orthonormalize` for a training step: no value comes back to the host, so that a GPU never waits.

    A step D of the canonical metric leaves U^T D skew, so that A^T A = r^2 I + D^T D: no singular value falls below r,
    and the Cholesky factorisation succeeds. One step of Newton and Schulz, U (3 I - U^T U) / 2, then squares the error
    of about cond(A)^2 roundings that it leaves. A matrix for which even that is too little becomes NaN, which
    the training reports as diverged.

    Args:
        columns: (batch, n, m), m <= n, of condition below 1,000 in float32.
    """
    factor, _ = torch.linalg.cholesky_ex(columns.mT @ columns)
    basis = torch.linalg.solve_triangular(factor.mT, columns, upper=True, left=False)
    return torch.baddbmm(basis, basis, basis.mT @ basis, beta=1.5, alpha=-0.5)


def length(columns: Tensor) -> Tensor:
    """The root mean square of the singular values, (batch, 1, 1): r for A = r U."""
    norms: Tensor = torch.linalg.matrix_norm(columns, keepdim=True)
    return norms / math.sqrt(max(columns.shape[-1], 1))


class OrthonormalColumns(nn.Module):
    """A batch of free matrices that stand for matrices with orthonormal columns.

    Args:
        count, rows, columns: the shape of ``free``; columns <= rows.
        generator: of the initial values, uniform among the matrices with orthonormal columns.
    """

    def __init__(self, count: int, rows: int, columns: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.free = nn.Parameter(orthonormalize(torch.randn(count, rows, columns, generator=generator)))

    def forward(self) -> Tensor:
        """(count, rows, columns) in float32, orthonormal; in training the free matrices are moved there."""
        with torch.autocast(self.free.device.type, enabled=False):
            with torch.no_grad():
                size = length(self.free)
                basis = orthonormalize_nearby(self.free) if self.training else orthonormalize(self.free)
                if self.training:
                    self.free.copy_(size * basis)
            result: Tensor = _AlongTheManifold.apply(self.free, basis, size)
            return result

    def exact(self) -> Tensor:
        """The same in float64, orthonormal up to rounding."""
        return orthonormalize(self.free.detach().double())


class _AlongTheManifold(torch.autograd.Function):
    """A -> U for A = r U, with the gradient (G - U G^T U) / (2 r) in place of the derivative."""

    @staticmethod
    def forward(ctx: Any, free: Tensor, basis: Tensor, size: Tensor) -> Tensor:
        ctx.save_for_backward(basis, size)
        return basis.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        basis, size = ctx.saved_tensors
        return torch.baddbmm(gradient, basis, gradient.mT @ basis, alpha=-1) / (2 * size), None, None
