"""The singular values of a layer's operator at its true input size.

By what the layer allows, each exact one before the next:

- a **circular** convolution: all of them, frequency by frequency;
- a layer whose structure **encloses** all of them in a narrow interval by proof (SOC: |p_n(i lambda)|): that, with the
  distribution inside it estimated;
- up to ``DENSE_LIMIT`` on the smaller side: all of them, by a dense decomposition;
- beyond: the extremes by Lanczos and the distribution by quadrature, both from products with vectors only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lipscope.analysis.spectra.circular import circular_singular_values
from lipscope.analysis.spectra.density import FIRST_PROBES, quantiles_of, singular_value_density
from lipscope.analysis.spectra.lanczos import Quadrature, gram_lanczos, require_finite, sigma_of, sigma_residual
from lipscope.bounds.rounding import UNIT_ROUNDOFF
from lipscope.layers.contract import LinearLayer, LinearOperator
from lipscope.records import Estimate, LayerReport, Shape, Spectrum

DENSE_LIMIT = 4096
"""min(inputs, outputs) up to which every singular value is computed."""

DECOMPOSED = 1024
"""Up to this many by an SVD of the matrix itself; above by the eigenvalues of its Gram matrix, whose errors of about
1e-15 of the largest eigenvalue are at most 1e-7 of the largest singular value, where that is lost."""

ALWAYS_DENSE, COMPOSITE_LIMIT = 256, 1024
"""For layers of many products (a series), whose matrix costs more to form than to decompose: the size up to which that
is done whatever else is known, and the size up to which it is done for want of anything else."""

NARROW = 2e-6
"""Width up to which a proved interval replaces the computation: its middle is known to 1e-6."""

STEPS, SETTLED = 400, 1e-4
"""Most steps of Lanczos for the extremes, and the relative change that ends them."""

STEPS_OF_GRAM, SAMPLES_OF_GRAM = 150, 150_000
"""Most steps, and rows times starting vectors of the quadrature, for a Gram matrix that is held: its products cost m^2
each, and its smallest eigenvalue is found by solves where this is not enough."""

STEPS_OF_THE_INVERSE = 100
"""Most steps where the smallest singular value is the largest of an inverse."""

STEPS_INSIDE = 40
"""Most steps inside a proved interval, where little is left to find."""

BASIS_BYTES = 256 * 2**20
"""Memory for the basis of Lanczos; on very large inputs it allows fewer steps."""

QUANTILES = 1024
"""Values that a distribution is told by, each for the same share, where not all of them are listed."""

CHUNK = 256
"""Vectors that are multiplied at a time."""


@dataclass(frozen=True)
class Measured:
    """What is known of the singular values of a matrix.

    Args:
        spectrum: all of them, or their density.
        largest, smallest: the extremes.
    """

    spectrum: Spectrum
    largest: Estimate
    smallest: Estimate

    def told_by(self, report: LayerReport) -> LayerReport:
        """The report with them."""
        return replace(report, spectrum=self.spectrum, sigma_max=self.largest, sigma_min=self.smallest)


@dataclass(frozen=True)
class SingularValues(Measured):
    """Those of an operator, with a direction that it stretches most.

    Args:
        witness: (inputs,) a unit vector, and ``gain`` the ratio ||W v|| / ||v|| that it exhibits in float64.
    """

    witness: Tensor
    gain: float


def measure_layer(layer: LinearLayer, input_shape: Shape) -> SingularValues:
    """The singular values of a linear layer, by the most exact way that it allows.

    Raises:
        OverflowError: the products overflow float64.
    """
    operator = layer.operator(input_shape)
    circular = layer.circular_kernel(input_shape)
    if circular is not None:
        return _frequencies(operator, circular, layer.output_shape(input_shape))
    if not layer.composite or min(operator.shape) <= ALWAYS_DENSE:
        return measure(operator)
    enclosure = layer.singular_value_range(input_shape, NARROW)
    if enclosure is not None and enclosure[1] - enclosure[0] <= NARROW:
        return _enclosed(operator, enclosure)
    return measure(operator, min(COMPOSITE_LIMIT, DENSE_LIMIT))


def measure(operator: LinearOperator, dense_limit: int | None = None) -> SingularValues:
    """Every singular value of a small operator, extremes and density of a large one; in the operator's dtype.

    The smallest is over the smaller side: for fewer outputs than inputs it is over the co-domain, and the zeros that
    dropping inputs must bring are not counted.

    Args:
        operator: W.
        dense_limit: min(inputs, outputs) up to which all are computed; ``DENSE_LIMIT`` where not given.

    Raises:
        OverflowError: the products overflow float64.
    """
    size = min(operator.shape)
    if size > (DENSE_LIMIT if dense_limit is None else dense_limit):
        return _estimated(operator)
    return _decomposed(operator, size) if size <= DECOMPOSED else _by_gram(operator, size)


def steepest(operator: LinearOperator) -> Tensor:
    """(inputs,) a unit vector that the operator stretches most, as far as Lanczos finds it.

    Raises:
        OverflowError: the products overflow float64.
    """
    return _witness(operator, _extremes(operator))


def _decomposed(operator: LinearOperator, size: int) -> SingularValues:
    matrix = operator.dense()
    require_finite(matrix)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    method = "dense SVD, float64"
    residual = float(torch.linalg.vector_norm(matrix @ right[0] - values[0] * left[:, 0]))
    last = float(torch.linalg.vector_norm(matrix @ right[-1] - values[-1] * left[:, -1]))
    require_finite(torch.tensor([*values, residual, last]))
    spectrum = _all(values, size, method, accuracy=max(residual, last))
    return _measured(operator, spectrum, method, right[0], residual, last)


def _by_gram(operator: LinearOperator, size: int) -> SingularValues:
    found = measure_gram(gram_matrix(operator))
    witness = steepest(operator)
    return SingularValues(found.spectrum, found.largest, found.smallest, witness, _gain(operator, witness))


def measure_gram(gram: Tensor, scale: float = 1.0) -> Measured:
    """All singular values of a matrix from its Gram matrix.

    Args:
        gram: (m, m) float64, G; what lies above the diagonal is not read.
        scale: the matrix is that of G times this.
    """
    size = len(gram)
    values = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)
    error = size * UNIT_ROUNDOFF * float(values[0])
    method = "dense Gram matrix and its eigenvalues, float64"
    residuals = [sigma_residual(float(values[end]), error) for end in (0, -1)]
    spectrum = _all(values.sqrt(), size, method, accuracy=max(residuals))
    ends = [Estimate(spectrum.values[end], method, residual=residuals[end]) for end in (0, -1)]
    return _scaled(spectrum, ends[0], ends[1], scale)


def measure_gram_products(
    size: int, times: Callable[[Tensor], Tensor], scale: float = 1.0, error: float = 0.0
) -> Measured:
    """Extremes and density of the singular values of a matrix, from products with its Gram matrix G.

    The density may reach below the smallest value as it is found here, which is no more than an estimate from above.

    Args:
        size: m.
        times: (n, m) to (n, m), G v for every row v.
        scale: the matrix is that of G times this.
        error: a bound on the spectral norm by which the products' G differs from the true one; part of the residuals.
    """
    own = _itself(size, times)
    run = _extremes(own, STEPS_OF_GRAM)
    run = replace(run, residuals=run.residuals + error)
    spectrum = _density(own, run, SAMPLES_OF_GRAM, floor=0.0)
    return _scaled(spectrum, _estimate(run, -1), _estimate(run, 0), scale)


def smallest_by_solves(
    size: int, solve: Callable[[Tensor], Tensor], shift: float, error: float, scale: float = 1.0
) -> Estimate:
    """The smallest singular value of a matrix by Lanczos on the inverse of s I + G, G its Gram matrix.

    Args:
        size: m.
        solve: (n, m) to (n, m), (s I + G)^-1 v for every row v.
        shift: s, small beside the largest eigenvalue.
        error: of the eigenvalues of G that are found so, for rounding.
        scale: the matrix is that of G times this.
    """
    (run,) = gram_lanczos(_itself(size, solve), STEPS_OF_THE_INVERSE, 1, settled=SETTLED)
    inverse, residual = float(run.nodes[-1]), float(run.residuals[-1])
    node = 1 / inverse - shift
    method = "Lanczos on the inverse of the Gram matrix, float64"
    around = sigma_residual(node, residual / inverse**2 + error)
    return Estimate(sigma_of(node) * scale, method, run.steps, around * scale)


def _itself(size: int, times: Callable[[Tensor], Tensor]) -> LinearOperator:
    """G as an operator whose Gram operator it is: a product with the identity, then one with G."""
    return LinearOperator((size, size), lambda vectors: vectors, times, torch.float64)


def _scaled(spectrum: Spectrum, largest: Estimate, smallest: Estimate, scale: float) -> Measured:
    if scale == 1.0:
        return Measured(spectrum, largest, smallest)
    values = tuple(value * scale for value in spectrum.values)
    accuracy = None if spectrum.accuracy is None else spectrum.accuracy * scale
    ends = [
        replace(end, value=end.value * scale, residual=None if end.residual is None else end.residual * scale)
        for end in (largest, smallest)
    ]
    return Measured(replace(spectrum, values=values, accuracy=accuracy), ends[0], ends[1])


def gram_matrix(operator: LinearOperator) -> Tensor:
    """W W^T or W^T W, whichever is smaller, from products with the unit vectors; W itself is never held.

    Raises:
        OverflowError: the products overflow float64.
    """
    narrow = operator if operator.shape[0] >= operator.shape[1] else operator.transpose()
    size = narrow.shape[1]
    gram = torch.empty(size, size, dtype=operator.dtype)
    for start in range(0, size, CHUNK):
        units = torch.zeros(min(CHUNK, size - start), size, dtype=operator.dtype)
        units[:, start : start + len(units)] = torch.eye(len(units), dtype=operator.dtype)
        gram[start : start + len(units)] = narrow.rmatvec(narrow.matvec(units))
    require_finite(gram)
    return gram


def _frequencies(operator: LinearOperator, kernel: Tensor, output_shape: Shape) -> SingularValues:
    values = circular_singular_values(kernel, output_shape[1], output_shape[2])
    require_finite(values)
    method = "SVD at every frequency, float64"
    error = 8 * max(kernel.shape[:2]) * UNIT_ROUNDOFF * float(values[0])
    size = min(operator.shape)
    spectrum = _all(values, size, method, accuracy=error)
    if size > DENSE_LIMIT:
        # Twice, thrice, ... in a row: counted, not repeated.
        distinct, counts = torch.unique_consecutive(values, return_counts=True)
        spectrum = Spectrum(tuple(distinct.tolist()), tuple(counts.double().tolist()), size, method, True, error)
    return _measured(operator, spectrum, method, steepest(operator), error, error)


def _enclosed(operator: LinearOperator, enclosure: tuple[float, float]) -> SingularValues:
    """The interval is proved; where in it the values lie is an estimate that cannot be further off than its width."""
    size = min(operator.shape)
    lower, upper = enclosure
    runs = gram_lanczos(operator, STEPS_INSIDE, FIRST_PROBES, settled=SETTLED)
    values = quantiles_of(runs, size if size <= DENSE_LIMIT else QUANTILES).flip(0).clamp(lower, upper)
    spectrum = Spectrum(
        tuple(values.tolist()),
        (size / len(values),) * len(values),
        size,
        f"proof that encloses all of them to {upper - lower:.1e}, and quadrature inside ({len(runs)} probes)",
        complete=len(values) == size,
        accuracy=upper - lower,
        proved_range=enclosure,
    )
    highest = max(runs, key=lambda run: float(run.nodes[-1]))
    lowest = min(runs, key=lambda run: float(run.nodes[0]))
    witness = _witness(operator, highest)
    return SingularValues(spectrum, _estimate(highest, -1), _estimate(lowest, 0), witness, _gain(operator, witness))


def _estimated(operator: LinearOperator) -> SingularValues:
    run = _extremes(operator)
    spectrum = _density(operator, run)
    witness = _witness(operator, run)
    return SingularValues(spectrum, _estimate(run, -1), _estimate(run, 0), witness, _gain(operator, witness))


def _density(
    operator: LinearOperator, run: Quadrature, samples: int | None = None, floor: float | None = None
) -> Spectrum:
    size = min(operator.shape)
    found = singular_value_density(operator, min(QUANTILES, size), samples=samples)
    largest, smallest = sigma_of(float(run.nodes[-1])), sigma_of(float(run.nodes[0]))
    values = found.values.flip(0).clamp(smallest if floor is None else floor, largest)
    # The ends of the list are the extremes, which Lanczos knows better.
    values[0], values[-1] = largest, smallest
    method = f"stochastic Lanczos quadrature, {found.probes} probes, up to {found.steps} steps"
    weights = (size / len(values),) * len(values)
    return Spectrum(tuple(values.tolist()), weights, size, method, complete=False, accuracy=found.accuracy)


def _extremes(operator: LinearOperator, most: int | None = None) -> Quadrature:
    size = min(operator.shape)
    steps = max(2, min(STEPS if most is None else most, BASIS_BYTES // (8 * size)))
    (run,) = gram_lanczos(operator, steps, 1, settled=SETTLED)
    return run


def _witness(operator: LinearOperator, run: Quadrature) -> Tensor:
    witness = run.top
    if operator.shape[0] < operator.shape[1]:
        witness = operator.rmatvec(witness.unsqueeze(0)).squeeze(0)
        witness = witness / torch.linalg.vector_norm(witness).clamp_min(torch.finfo(witness.dtype).tiny)
    return witness


def _all(values: Tensor, size: int, method: str, accuracy: float) -> Spectrum:
    """Every singular value, largest first."""
    return Spectrum(tuple(values.tolist()), (1.0,) * size, size, method, complete=True, accuracy=accuracy)


def _measured(
    operator: LinearOperator, spectrum: Spectrum, method: str, witness: Tensor, largest: float, smallest: float
) -> SingularValues:
    """With the residuals of the largest and the smallest value."""
    return SingularValues(
        spectrum,
        Estimate(spectrum.values[0], method, residual=largest),
        Estimate(spectrum.values[-1], method, residual=smallest),
        witness,
        _gain(operator, witness),
    )


def _estimate(run: Quadrature, which: int) -> Estimate:
    node, residual = float(run.nodes[which]), float(run.residuals[which])
    return Estimate(sigma_of(node), "Lanczos, float64", run.steps, sigma_residual(node, residual))


def _gain(operator: LinearOperator, vector: Tensor) -> float:
    image = operator.matvec(vector.unsqueeze(0))
    return float(torch.linalg.vector_norm(image) / torch.linalg.vector_norm(vector))
