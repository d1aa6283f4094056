"""The singular values of a layer's operator at its true input size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.layers.contract import LinearOperator
from lipscope.records import Estimate, Spectrum
from lipscope.spectra.lanczos import Quadrature, gram_lanczos, require_finite, sigma_of, sigma_residual

DENSE_LIMIT = 1024
"""min(inputs, outputs) up to which every singular value is computed."""

STEPS, PROBES = 40, 4


@dataclass(frozen=True)
class SingularValues:
    """What was measured of one operator.

    Args:
        spectrum: all singular values, or their density.
        largest, smallest: the extremes.
        witness: (inputs,) a unit vector, and ``gain`` the ratio ||W v|| / ||v|| that it exhibits in float64.
    """

    spectrum: Spectrum
    largest: Estimate
    smallest: Estimate
    witness: Tensor
    gain: float


def measure(operator: LinearOperator) -> SingularValues:
    """Every singular value of a small operator, extremes and density of a large one; in the operator's dtype.

    The smallest is over the smaller side: for fewer outputs than inputs it is over the co-domain, and the zeros that
    dropping inputs must bring are not counted.

    Raises:
        OverflowError: the products overflow float64.
    """
    size = min(operator.shape)
    return _dense(operator, size) if size <= DENSE_LIMIT else _lanczos(operator, size)


def _dense(operator: LinearOperator, size: int) -> SingularValues:
    matrix = operator.dense()
    require_finite(matrix)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    method = "dense SVD, float64"
    witness = right[0]
    spectrum = Spectrum(tuple(values.tolist()), (1.0,) * size, size, method, complete=True)
    residual = float(torch.linalg.vector_norm(matrix @ right[0] - values[0] * left[:, 0]))
    last = float(torch.linalg.vector_norm(matrix @ right[-1] - values[-1] * left[:, -1]))
    require_finite(torch.tensor([*values, residual, last]))
    return SingularValues(
        spectrum,
        Estimate(float(values[0]), method, residual=residual),
        Estimate(float(values[-1]), method, residual=last),
        witness,
        _gain(operator, witness),
    )


def _lanczos(operator: LinearOperator, size: int) -> SingularValues:
    runs = gram_lanczos(operator, STEPS, PROBES)
    highest = max(runs, key=lambda run: float(run.nodes[-1]))
    lowest = min(runs, key=lambda run: float(run.nodes[0]))
    witness = highest.top
    if operator.shape[0] < operator.shape[1]:
        witness = operator.rmatvec(witness.unsqueeze(0)).squeeze(0)
        witness = witness / torch.linalg.vector_norm(witness).clamp_min(torch.finfo(witness.dtype).tiny)
    return SingularValues(
        _density(runs, size), _estimate(highest, -1), _estimate(lowest, 0), witness, _gain(operator, witness)
    )


def _estimate(run: Quadrature, which: int) -> Estimate:
    node, residual = float(run.nodes[which]), float(run.residuals[which])
    return Estimate(sigma_of(node), "Lanczos, float64", run.steps, sigma_residual(node, residual))


def _density(runs: list[Quadrature], size: int) -> Spectrum:
    """The mean of the quadratures of all probes, scaled to ``size`` singular values, largest first."""
    pairs = [
        (sigma_of(float(node)), float(weight) * size / len(runs))
        for run in runs
        for node, weight in zip(run.nodes, run.weights, strict=True)
    ]
    pairs.sort(reverse=True)
    total = math.fsum(weight for _, weight in pairs)
    values, weights = zip(*((value, weight * size / total) for value, weight in pairs), strict=True)
    method = f"stochastic Lanczos quadrature, {len(runs)} probes, up to {STEPS} steps"
    return Spectrum(values, weights, size, method, complete=False)


def _gain(operator: LinearOperator, vector: Tensor) -> float:
    image = operator.matvec(vector.unsqueeze(0))
    return float(torch.linalg.vector_norm(image) / torch.linalg.vector_norm(vector))
