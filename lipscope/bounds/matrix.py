"""Proved upper bounds on the spectral norm of matrices, verified by a Cholesky factorisation.

For s > 0: if the Cholesky factorisation of H = s I - A A* runs to completion in floating point, then
H >= -c tr(H) I with a known small c, so ||A||^2 <= s + c tr(H) + (error of forming A A*). Any estimate of
s will do: the factorisation is the proof (Rump, *Verification of positive definiteness*, BIT 2006).

Why the constant suffices: a factorisation that runs to completion has R R* = H + E with |E| <= gamma_{m+1} |R| |R*|
entry by entry, for every order of the sums and in blocks as well (Higham, theorem 10.3 and section 13.2), so that
||E|| <= gamma_{m+1} ||R||_F^2 <= gamma_{m+1} / (1 - gamma_{m+1}) tr H, and tr H <= m s. Here gamma_{2 (m + 8)} stands
in the place of gamma_{m+1}: libraries divide by multiplying with the reciprocal of a pivot, which rounds once more. The
theorem asks that triangular systems are solved by substitution. Libraries on a GPU invert diagonal blocks instead,
whose errors grow with their condition; so the factorisation is always made on the CPU, wherever the matrix is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.bounds.memo import once_per_content
from lipscope.bounds.rounding import UNIT_ROUNDOFF, gamma, outward, scaled, up
from lipscope.ground import check_ground

LARGEST_BATCH_BYTES = 256 * 2**20
"""Gram matrices are formed in pieces of this size."""

DIRECT_ROWS, LANCZOS_STEPS = 256, 80
"""Up to this many rows all eigenvalues are computed, beyond it so many steps of Lanczos estimate the largest."""

SMALL_ROWS, LEADERS = 16, 8
"""In a batch of matrices with more rows, so many are tried at a time for the largest eigenvalue."""

ROUGH_STEPS = 8
"""Steps of Lanczos that tell norms apart to a few percent."""


@once_per_content
def spectral_norm_bound(matrices: Tensor) -> float:
    """A proved upper bound on max ||A||_2 over a batch of matrices, tight to about n^2 u.

    Args:
        matrices: (m, n) or (batch, m, n), real or complex; computed in float64.

    Returns:
        the bound; 0.0 exactly for zero matrices, ``inf`` when an entry is not finite.

    Raises:
        CheckFailedError: the arithmetic is not IEEE's.

    >>> spectral_norm_bound(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))  # doctest: +ELLIPSIS
    4.000000000...
    """
    check_ground()
    batch = matrices.unsqueeze(0) if matrices.ndim == 2 else matrices
    if batch.numel() == 0:
        return 0.0
    if batch.shape[-2] > batch.shape[-1]:
        batch = batch.mT
    wide, exponent = normalized(batch.to(torch.complex128 if batch.is_complex() else torch.float64))
    if exponent is None:
        return math.inf
    if not bool(wide.any()):
        return 0.0
    rows = wide.shape[-2]
    per_piece = max(1, LARGEST_BATCH_BYTES // (rows * rows * wide.element_size()))
    squares = [_squared_norm_bound(piece) for piece in wide.split(per_piece)]
    return up(scaled(up(math.sqrt(max(squares)), 2), exponent))


def length_bound(values: Tensor) -> float:
    """An upper bound on the l2 norm of all numbers of a tensor; divided by a power of two, no square is lost.

    >>> 5.0 <= length_bound(torch.tensor([3.0, 4.0])) < 5.0000001
    True
    """
    if values.numel() == 0:
        return 0.0
    numbers, exponent = normalized(values.detach().to(torch.float64).flatten())
    if exponent is None:
        return math.inf
    length = float(torch.linalg.vector_norm(numbers))
    return outward(scaled(outward(length * (1 + gamma(values.numel() + 8))), exponent))


def rough_norm(matrix: Tensor) -> float:
    """An estimate of ||A||_2 from below, good to a few percent: a few steps of Lanczos in float32, no Gram matrix.

    Args:
        matrix: (m, n), real.
    """
    values, exponent = normalized(matrix.to(torch.float64))
    if exponent is None or not bool(values.any()):
        return 0.0
    values = values.to(torch.float32)
    right = torch.randn(values.shape[1], 1, generator=torch.Generator().manual_seed(0))
    right /= torch.linalg.vector_norm(right)
    left, diagonal, coupling = torch.zeros(len(values), 1), [], [0.0]
    for _ in range(ROUGH_STEPS):
        # Golub-Kahan bidiagonalisation: A V = U B, A^T U = V B^T.
        left = values @ right - coupling[-1] * left
        diagonal.append(float(torch.linalg.vector_norm(left)))
        left = left / max(diagonal[-1], 1e-30)
        right = values.mT @ left - diagonal[-1] * right
        coupling.append(float(torch.linalg.vector_norm(right)))
        right = right / max(coupling[-1], 1e-30)
    bidiagonal = torch.diag(torch.tensor(diagonal)) + torch.diag(torch.tensor(coupling[1:-1]), 1)
    return scaled(float(torch.linalg.matrix_norm(bidiagonal, 2)), exponent)


def normalized(values: Tensor) -> tuple[Tensor, int | None]:
    """The tensor divided by 2^e so that its largest component lies in [1/2, 1), and e; None when not all are finite.

    A power of two changes no mantissa, and keeps squares away from underflow and overflow.

    Args:
        values: float64 or complex128, not empty.
    """
    values = values.resolve_conj()
    parts = torch.view_as_real(values) if values.is_complex() else values
    if not bool(torch.isfinite(parts).all()):
        return values, None
    exponent = math.frexp(float(parts.abs().max()))[1]
    # In two steps, because 2^-e itself may lie outside float64.
    half = -exponent // 2
    return values * 2.0**half * 2.0 ** (-exponent - half), exponent


def _squared_norm_bound(matrices: Tensor) -> float:
    """An upper bound on max ||A||^2 over (batch, m, n) with m <= n and components of modulus <= 1."""
    rows, columns = matrices.shape[-2:]
    gram = matrices @ matrices.mH
    # A complex operation is a few real ones; the factors below are generous and cost nothing in tightness.
    effort = 4 if matrices.is_complex() else 1
    frobenius = up(float(matrices.abs().square().sum(dim=(-2, -1)).max()) * (1 + gamma(4 * rows * columns)), 2)
    return largest_eigenvalue_bound(gram, effort * gamma(effort * columns) * frobenius, frobenius)


def largest_eigenvalue_bound(gram: Tensor, error: float, trace: float) -> float:
    """An upper bound on the largest eigenvalue of Hermitian positive semidefinite matrices known up to an error.

    Args:
        gram: (batch, m, m), computed; its entries well inside the range of float64.
        error: a bound on the spectral norm of the difference to the true matrices.
        trace: a bound on the trace of each.
    """
    rows = gram.shape[-1]
    gram = gram.cpu()
    effort = 4 if gram.is_complex() else 1
    cholesky_error = effort * gamma(2 * effort * (rows + 8))
    largest, shift = 2.0**-200, 0.0
    slack = 8 * rows * UNIT_ROUNDOFF
    while len(gram):
        estimate = _largest_eigenvalue(gram)
        # Matrices that were refused although nothing larger is found: the estimate was too low by rounding or by luck.
        slack = slack if estimate * (1 + slack) > shift else 4 * slack
        largest = max(largest, estimate)
        shift = largest * (1 + slack)
        shifted = -gram
        shifted.diagonal(dim1=-2, dim2=-1).add_(shift)
        _, info = torch.linalg.cholesky_ex(shifted)
        # A matrix that passed with a smaller shift is below the larger one too.
        gram = gram[info != 0]
    rounding_of_the_shift = 2 * UNIT_ROUNDOFF * (shift + trace)
    return up(shift + (cholesky_error / (1 - cholesky_error)) * rows * shift * 1.01 + error + rounding_of_the_shift, 6)


def _largest_eigenvalue(gram: Tensor) -> float:
    """An estimate of the largest eigenvalue over (batch, m, m) Hermitian matrices, good to about ten digits.

    Of a large batch only the longest are looked at (in the Frobenius norm). The estimate needs no proof of its own: the
    factorisation refuses the matrices for which it is too low, and those are looked at next.
    """
    if len(gram) > LEADERS and gram.shape[-1] > SMALL_ROWS:
        lengths = torch.linalg.vector_norm(gram, dim=(1, 2))
        gram = gram[lengths.topk(LEADERS).indices]
    if gram.shape[-1] <= DIRECT_ROWS:
        return float(torch.linalg.eigvalsh(gram)[..., -1].max())
    return float(_ritz_values(gram, LANCZOS_STEPS).max())


def _ritz_values(gram: Tensor, steps: int) -> Tensor:
    """(batch,) the largest Ritz value of each matrix after so many steps of Lanczos.

    Without reorthogonalisation: ghosts of the largest eigenvalue do no harm.
    """
    rows = gram.shape[-1]
    generator = torch.Generator(gram.device).manual_seed(0)
    vector = torch.randn(len(gram), rows, 1, generator=generator, dtype=gram.dtype, device=gram.device)
    vector /= torch.linalg.vector_norm(vector, dim=1, keepdim=True)
    before, norm = torch.zeros_like(vector), torch.zeros(len(gram), 1, 1, dtype=torch.float64, device=gram.device)
    diagonal, coupling = [], []
    for _ in range(steps):
        image = gram @ vector - norm * before
        diagonal.append((vector.mH @ image).real)
        image = image - diagonal[-1] * vector
        norm = torch.linalg.vector_norm(image, dim=1, keepdim=True)
        coupling.append(norm)
        before, vector = vector, image / norm.clamp_min(torch.finfo(torch.float64).tiny)
    main, off = torch.cat(diagonal, 1).squeeze(-1), torch.cat(coupling, 1).squeeze(-1)[:, :-1]
    tridiagonal = torch.diag_embed(main) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    values: Tensor = torch.linalg.eigvalsh(tridiagonal)
    return values[..., -1]
