"""Losses for certified robustness, as functions of logits and of the constants of pairs of logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.layers.heads import LastLayerNormalized
from lipscope.models.composition import LipschitzNet

EPS = 36 / 255
"""The radius of the certified accuracies that are reported while training."""

NORMALISATION = 0.2507
"""The standard deviation by which pixels are divided: the logits are so many times smaller in pixel scale."""

PIXEL_OFFSET = 2 * 2**0.5 * EPS
"""Twice the margin that certifies EPS with an orthogonal head and a network that is 1-Lipschitz on pixels."""


def true_radius(logits: Tensor, labels: Tensor, pair_constants: Tensor) -> Tensor:
    """Min over i != y of (f_y - f_i) / c_yi: the signed certified radius of the *true* label (ICLR 2022, section 3).

    Args:
        logits: (N, classes).
        labels: (N,).
        pair_constants: (classes, classes), the Lipschitz constants of f_l - f_i from pixels; the diagonal is ignored.

    Returns:
        (N,), negative where another class wins.

    >>> logits, c = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[0, 1.0, 4.0], [1, 0, 1], [4, 1, 0]])
    >>> true_radius(logits, torch.tensor([0]), c)
    tensor([0.2500])
    """
    own = logits.gather(1, labels.unsqueeze(1))
    itself = F.one_hot(labels, logits.shape[1]).bool()
    constants = pair_constants[labels].masked_fill(itself, 1.0)
    return ((own - logits) / constants).masked_fill(itself, torch.inf).amin(dim=1)


def correct_and_certified(logits: Tensor, labels: Tensor, pair_constants: Tensor) -> Tensor:
    """(2,): how many images are classified correctly, ties not counting, and how many of them with radius > EPS."""
    correct = true_radius(logits, labels, torch.ones_like(pair_constants)) > 0
    return torch.stack([correct.sum(), (true_radius(logits, labels, pair_constants) > EPS).sum()])


def offset_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    offset: float = PIXEL_OFFSET,
    temperature: float = 0.25,
    soft: Tensor | None = None,
) -> Tensor:
    """T CE((f - offset * onehot) / T): cross-entropy that asks for a margin (Prach et al., CVPR 2024).

    The defaults are the paper's, for a network that is 1-Lipschitz on [0, 1] pixels; with normalised pixels the logits
    are 1/std times as large, and so are both.

    Args:
        logits: (N, classes).
        labels: (N,).
        offset: taken from the true logit, in units of the logits; 0 gives cross-entropy at a temperature.
        temperature: T > 0, in units of the logits.
        soft: (N, classes), probabilities that are learnt instead of the labels; the offset stays theirs.
    """
    shifted = logits - offset * F.one_hot(labels, logits.shape[1])
    return temperature * F.cross_entropy(shifted / temperature, labels if soft is None else soft)


def multi_margin(logits: Tensor, labels: Tensor, offset: float = PIXEL_OFFSET, temperature: float = 1.0) -> Tensor:
    """Mean over images and classes of relu(offset - f_y + f_i), i != y: the hinge loss of BCOP (NeurIPS 2019).

    Args:
        logits: (N, classes).
        labels: (N,).
        offset: the margin that costs nothing any more, in units of the logits.
        temperature: has no effect on a piecewise linear loss.
    """
    del temperature
    return F.multi_margin_loss(logits, labels, margin=offset)


def logit_annealing(
    logits: Tensor, labels: Tensor, offset: float = 2.0, temperature: float = 0.75, beta: float = 5.0
) -> Tensor:
    """-T mean((1 - p)^beta log p), p of the true class in softmax((f - offset * onehot) / T) (Lai et al., ICML 2025).

    The gradient fades as p approaches 1, so that images with a margin stop pulling; defaults as published.

    Args:
        logits: (N, classes).
        labels: (N,).
        offset: taken from the true logit, in units of the logits.
        temperature: T > 0, in units of the logits.
        beta: how fast the loss of an image fades; 0 gives :func:`offset_cross_entropy`.

    >>> f, y = torch.tensor([[2.0, 1.0]]), torch.tensor([0])
    >>> bool(torch.isclose(logit_annealing(f, y, 1.0, 0.5, beta=0.0), offset_cross_entropy(f, y, 1.0, 0.5)))
    True
    """
    shifted = logits - offset * F.one_hot(labels, logits.shape[1])
    entropy = F.cross_entropy(shifted / temperature, labels, reduction="none")
    return temperature * ((-torch.expm1(-entropy)) ** beta * entropy).mean()


@dataclass(frozen=True)
class Loss:
    """A loss with what its paper sets.

    Args:
        of: (logits, labels, offset, temperature) to a scalar. Certificate regularisation may be taken from any of them.
        offset, temperature: in units of the logits of normalised pixels.
        pairwise: whether every pair of classes has an offset in proportion to its Lipschitz constant, (N, classes) for
            ``of``; ``offset`` is then that of rows at right angles.
        rises: whether the offset is 0 at first and whole only from the middle of a training on.
        softens: whether ``of`` takes soft labels as well, (N, classes).
    """

    of: Callable[..., Tensor]
    offset: float = 0.0
    temperature: float = 1.0
    pairwise: bool = False
    rises: bool = False
    softens: bool = False

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        offset: float,
        temperature: float,
        pair_constants: Tensor,
        soft: Tensor | None = None,
    ) -> Tensor:
        """The loss, for the constants of pairs of logits from pixels, (classes, classes)."""
        # Two rows at right angles have the constant sqrt(2) / NORMALISATION.
        asked = pair_constants[labels] * (offset * NORMALISATION / 2**0.5) if self.pairwise else offset
        if soft is not None:
            return self.of(logits, labels, asked, temperature, soft)
        return self.of(logits, labels, asked, temperature)


CROSS_ENTROPY = Loss(offset_cross_entropy, softens=True)
OFFSET_CROSS_ENTROPY = Loss(offset_cross_entropy, PIXEL_OFFSET / NORMALISATION, 0.25 / NORMALISATION, softens=True)
MULTI_MARGIN = Loss(multi_margin, PIXEL_OFFSET / NORMALISATION)
LOGIT_ANNEALING = Loss(logit_annealing, 2.0, 0.75)


def certificate_regularisation(logits: Tensor, labels: Tensor, pair_constants: Tensor) -> Tensor:
    """CR = mean(relu(radius of the true label)), to be *subtracted* from a loss (ICLR 2022, section 3).

    Radii are in [0, 1] pixel space.
    """
    return torch.relu(true_radius(logits, labels, pair_constants)).mean()


def nominal_pair_constants(net: LipschitzNet) -> Tensor:
    """The constants c_li of f_l - f_i from pixels, as far as training cares: differentiable, and not proved.

    A body that is built to be 1-Lipschitz counts as exactly that; certificates use its proved bound. Of any other
    nothing is known while it is trained, and nothing is counted as certified.

    Returns:
        (classes, classes); the diagonal is meaningless.
    """
    if not net.one_lipschitz:
        return torch.full((net.head.classes,) * 2, torch.inf, device=net.normalize.std.device)
    lipschitz = 1 / min(net.normalize.constants[1])
    if not isinstance(net.head, LastLayerNormalized):
        return torch.full((net.head.classes,) * 2, 2**0.5 * lipschitz, device=net.normalize.std.device)
    weight = net.head.rows()
    difference = weight.unsqueeze(1) - weight.unsqueeze(0)
    # The gradient of a norm at 0 is NaN, so the diagonal is moved away from it.
    identity = torch.eye(len(weight), device=weight.device).unsqueeze(2)
    return torch.mul(torch.linalg.vector_norm(difference + identity, dim=2), lipschitz)
