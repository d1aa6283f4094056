"""Lanczos on the Gram operator: extreme singular values from inside, with residuals.

With W (outputs x inputs) and G = W W^T or W^T W, whichever is smaller, k steps from a random unit vector give a
k x k tridiagonal T. Its extreme eigenvalues approach those of G from inside; its eigenvalues weighted by the
squared first components of its eigenvectors are a quadrature of the spectral density (Ubaru, Chen & Saad, SIAM J.
Matrix Anal. 2017). Estimates, never bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.layers.contract import LinearOperator

COMPLETE = 1e-13
"""A residual this much smaller than the norm ends the recurrence at once: the Krylov space is complete."""

CONVERGED, FEWEST_STEPS = 1e-6, 8
"""After this many steps, a residual this much smaller than the norm ends the recurrence: what is left moves no
singular value in its fifth digit. The residual is reported."""


FIRST_LOOK, LOOKS = 24, 1.25
"""Where a run may end because its extremes have settled: after so many steps, and by this factor from then on."""


@dataclass(frozen=True)
class Quadrature:
    """Nodes and weights of one Lanczos run with the extreme pairs.

    Args:
        nodes: eigenvalues of T, ascending; estimates of eigenvalues of G.
        weights: squared first components, summing to 1.
        residuals: ||G y - theta y|| of each Ritz pair.
        steps: the size of T.
        top: the Ritz vector of the largest node, of unit length.
    """

    nodes: Tensor
    weights: Tensor
    residuals: Tensor
    steps: int
    top: Tensor


def gram_lanczos(
    operator: LinearOperator, steps: int, probes: int, seed: int = 0, settled: float = 0.0
) -> list[Quadrature]:
    """Run Lanczos with full reorthogonalisation from several random vectors at once.

    Args:
        operator: W; G is the smaller of W W^T and W^T W.
        steps: the largest size of T.
        probes: the number of starting vectors.
        seed: of the starting vectors.
        settled: end once the extreme singular values have moved by less than this, relative to the largest, since T
            was a fifth smaller.

    Raises:
        OverflowError: the products overflow float64.
    """
    narrow = operator if operator.shape[0] >= operator.shape[1] else operator.transpose()
    size = narrow.shape[1]
    steps = min(steps, size)
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(probes, size, generator=generator, dtype=operator.dtype)
    vector /= torch.linalg.vector_norm(vector, dim=1, keepdim=True)
    basis = torch.zeros(probes, steps, size, dtype=operator.dtype)
    diagonal = torch.zeros(probes, steps, dtype=operator.dtype)
    coupling = torch.zeros(probes, steps, dtype=operator.dtype)
    lengths = [steps] * probes
    look, before = FIRST_LOOK, torch.full((probes, 2), math.inf, dtype=torch.float64)
    for k in range(steps):
        basis[:, k] = vector
        image = narrow.rmatvec(narrow.matvec(vector))
        require_finite(image)
        diagonal[:, k] = (image * vector).sum(dim=1)
        for _ in range(2):
            # Twice is enough to be orthogonal to working precision (Giraud et al., 2005).
            image = image - torch.einsum("pks,pk->ps", basis, torch.einsum("pks,ps->pk", basis, image))
        norm = torch.linalg.vector_norm(image, dim=1)
        coupling[:, k] = norm
        scale = float(diagonal.abs().max())
        for probe in range(probes):
            small = CONVERGED if k + 1 >= FEWEST_STEPS else COMPLETE
            if float(norm[probe]) <= small * scale and lengths[probe] == steps:
                lengths[probe] = k + 1
        if max(lengths) <= k + 1:
            break
        if settled and k + 1 == look:
            after = _extremes(diagonal[:, : k + 1], coupling[:, : k + 1])
            if float((after - before).abs().max()) <= settled * float(after.max()):
                lengths = [min(length, k + 1) for length in lengths]
                break
            look, before = math.ceil(look * LOOKS), after
        vector = image / norm.clamp_min(torch.finfo(norm.dtype).tiny).unsqueeze(1)
    return [
        _quadrature(diagonal[p, :n], coupling[p, :n], basis[p, :n]) for p, n in zip(range(probes), lengths, strict=True)
    ]


def _extremes(diagonal: Tensor, coupling: Tensor) -> Tensor:
    """(probes, 2): the smallest and the largest singular value that each T stands for."""
    off = coupling[:, :-1]
    nodes: Tensor = torch.linalg.eigvalsh(
        torch.diag_embed(diagonal) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    )
    return nodes[:, [0, -1]].clamp_min(0).sqrt()


def _quadrature(diagonal: Tensor, coupling: Tensor, basis: Tensor) -> Quadrature:
    off = coupling[:-1]
    nodes, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(off, 1) + torch.diag(off, -1))
    residuals = coupling[-1] * vectors[-1].abs()
    top = basis.mT @ vectors[:, -1]
    return Quadrature(nodes, vectors[0].square(), residuals, len(diagonal), top / torch.linalg.vector_norm(top))


def require_finite(values: Tensor) -> None:
    """Refuse products that overflowed.

    Raises:
        OverflowError: a value is infinite or NaN.
    """
    if not bool(torch.isfinite(values).all()):
        raise OverflowError("its products overflow float64, so no singular values are measured")


def sigma_of(node: float) -> float:
    """The singular value of an eigenvalue of G, which rounding may have made negative."""
    return math.sqrt(max(node, 0.0))


def sigma_residual(node: float, residual: float) -> float:
    """How far an eigenvalue of G within ``residual`` of ``node`` can move the singular value.

    >>> sigma_residual(4.0, 0.0), sigma_residual(4.0, 4.0)
    (0.0, 2.0)
    """
    if node > residual:
        return residual / sigma_of(node)
    return max(sigma_of(node + residual) - sigma_of(node), sigma_of(node))
