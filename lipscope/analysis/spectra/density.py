"""The distribution of all singular values of a large operator, from matrix-vector products only.

Stochastic Lanczos quadrature (Ubaru, Chen & Saad, SIAM J. Matrix Anal. 2017): k steps on G, the smaller of W W^T and
W^T W, from a random unit vector give a tridiagonal T whose eigenvalues, weighted by the squared first components of its
eigenvectors, are a quadrature of the spectral density of G. Three things make it accurate:

- the starting vectors are orthonormal, so that with as many as G has rows their mean is exact;
- each node's weight is spread half way to its neighbours, but no further than the node's residual: a continuous
  spectrum loses its steps, and an isolated singular value stays one;
- vectors are added until two halves of them agree.

The accuracy is the distance (Wasserstein 1, the mean error of a sorted list) between the two halves, halved, plus the
distance between k steps and k / 2, plus what is lost by listing quantiles. It is an estimate itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.analysis.spectra.lanczos import CONVERGED, FEWEST_STEPS, Quadrature, require_finite
from lipscope.layers.contract import LinearOperator

STEPS = 100

FIRST_PROBES, AGREED = 4, 3e-4
"""Starting vectors at first; they are doubled until their halves agree to this, relative to the largest value."""

MOST_SAMPLES = 500_000
"""Rows times starting vectors, at most (and at least ``FIRST_PROBES`` vectors): the accuracy goes with its root."""

PIECES = 4
"""Parts that each half of a node's weight is cut into where it is spread."""


@dataclass(frozen=True)
class Density:
    """An estimated distribution of singular values.

    Args:
        values: (q,) float64, ascending, each standing for the same share: quantiles.
        accuracy: the expected Wasserstein distance to the true distribution, absolute.
        probes, steps: starting vectors, and the most steps that one took.
    """

    values: Tensor
    accuracy: float
    probes: int
    steps: int


def singular_value_density(
    operator: LinearOperator, quantiles: int, seed: int = 0, samples: int | None = None
) -> Density:
    """Estimate the distribution of the singular values over the operator's smaller side.

    Args:
        operator: W.
        quantiles: how many values to return.
        seed: of the starting vectors.
        samples: rows times starting vectors, at most; ``MOST_SAMPLES`` where not given.

    Raises:
        OverflowError: the products overflow float64.
    """
    narrow = operator if operator.shape[0] >= operator.shape[1] else operator.transpose()
    size = narrow.shape[1]
    most = min(size, max(FIRST_PROBES, (MOST_SAMPLES if samples is None else samples) // size))
    generator = torch.Generator().manual_seed(seed)
    basis = torch.zeros(0, size, dtype=operator.dtype)
    fine: list[_Weighted] = []
    coarse: list[_Weighted] = []
    largest = 0.0
    while True:
        new = min(max(FIRST_PROBES, len(basis)), most - len(basis))
        basis = _extended(basis, new, generator)
        for diagonal, coupling in _tridiagonals(narrow, basis[-new:]):
            fine.append(_spread(diagonal, coupling))
            half = max(1, len(diagonal) // 2)
            converged = len(diagonal) < STEPS or len(diagonal) == size
            coarse.append(fine[-1] if converged else _spread(diagonal[:half], coupling[:half]))
        largest = max(largest, *(float(part.values.max()) for part in fine[-new:]))
        halves = [_quantiles(fine[first::2], 4 * quantiles) for first in (0, 1)]
        sampling = float((halves[0] - halves[1]).abs().mean()) / 2 if len(fine) < size and len(fine) > 1 else 0.0
        if len(basis) >= most or sampling <= AGREED * largest:
            break
    values = _quantiles(fine, quantiles)
    quadrature = float((values - _quantiles(coarse, quantiles)).abs().mean())
    listing = float(values[-1] - values[0]) / (2 * quantiles)
    return Density(values, sampling + quadrature + listing, len(basis), max(part.steps for part in fine))


def quantiles_of(runs: Sequence[Quadrature], count: int) -> Tensor:
    """(count,) ascending: the singular values by the mean of quadratures that are at hand already."""
    return _quantiles([_spread_nodes(run.nodes, run.weights, run.residuals) for run in runs], count)


@dataclass(frozen=True)
class _Weighted:
    """Values with weights summing to 1, from one starting vector."""

    values: Tensor
    weights: Tensor
    steps: int


def _extended(basis: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The orthonormal rows with so many random ones appended."""
    new = torch.randn(count, basis.shape[1], generator=generator, dtype=basis.dtype)
    for _ in range(2):
        new = new - (new @ basis.mT) @ basis
    return torch.cat([basis, torch.linalg.qr(new.mT).Q.mT])


def _tridiagonals(narrow: LinearOperator, vectors: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Diagonal and couplings (the last one leads out of T) of each row's Krylov space, at most ``STEPS`` of them.

    Without reorthogonalisation: copies of a converged value share its weight, and the density does not change
    (Greenbaum, Linear Algebra Appl. 1989).
    """
    vector, before = vectors, torch.zeros_like(vectors)
    norm = torch.zeros(len(vectors), 1, dtype=vectors.dtype)
    steps = min(STEPS, narrow.shape[1])
    lengths = [steps] * len(vectors)
    diagonals, couplings = [], []
    for k in range(steps):
        image = narrow.rmatvec(narrow.matvec(vector)) - norm * before
        require_finite(image)
        diagonals.append((image * vector).sum(dim=1, keepdim=True))
        image = image - diagonals[-1] * vector
        norm = torch.linalg.vector_norm(image, dim=1, keepdim=True)
        couplings.append(norm)
        scale = max(float(column.abs().max()) for column in diagonals)
        if k + 1 >= FEWEST_STEPS or k + 1 == steps:
            ended = (norm.squeeze(1) <= CONVERGED * scale).tolist()
            lengths = [min(length, k + 1) if end else length for length, end in zip(lengths, ended, strict=True)]
        if max(lengths) <= k + 1:
            break
        before, vector = vector, image / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    diagonal, coupling = torch.cat(diagonals, dim=1), torch.cat(couplings, dim=1)
    return [(diagonal[row, :length], coupling[row, :length]) for row, length in enumerate(lengths)]


def _spread(diagonal: Tensor, coupling: Tensor) -> _Weighted:
    """The quadrature of one tridiagonal, spread."""
    off = coupling[:-1]
    nodes, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(off, 1) + torch.diag(off, -1))
    return _spread_nodes(nodes, vectors[0].square(), coupling[-1] * vectors[-1].abs())


def _spread_nodes(nodes: Tensor, weights: Tensor, residuals: Tensor) -> _Weighted:
    """The singular values of one quadrature, each spread towards its neighbours as far as its residual reaches."""
    sigma = nodes.clamp_min(0).sqrt()
    reach = (nodes + residuals).clamp_min(0).sqrt() - (nodes - residuals).clamp_min(0).sqrt()
    gaps = torch.cat([reach.new_zeros(1), (sigma[1:] - sigma[:-1]) / 2, reach.new_zeros(1)])
    parts = (torch.arange(PIECES, dtype=sigma.dtype) + 0.5) / PIECES
    below = sigma.unsqueeze(1) - torch.minimum(gaps[:-1], reach).unsqueeze(1) * parts
    above = sigma.unsqueeze(1) + torch.minimum(gaps[1:], reach).unsqueeze(1) * parts
    values = torch.cat([below, above], dim=1)
    spread = (weights / (2 * PIECES)).unsqueeze(1).expand_as(values)
    return _Weighted(values.flatten(), spread.flatten(), len(nodes))


def _quantiles(parts: list[_Weighted], count: int) -> Tensor:
    """(count,) ascending: the values at the shares (i + 1/2) / count of the parts' mean distribution."""
    if not parts:
        return torch.zeros(count, dtype=torch.float64)
    values, order = torch.cat([part.values for part in parts]).sort()
    shares = torch.cat([part.weights for part in parts])[order].cumsum(0)
    at = (torch.arange(count, dtype=torch.float64) + 0.5) / count * float(shares[-1])
    return values[torch.searchsorted(shares, at).clamp_max(len(values) - 1)]
