"""Losses for certified robustness, as functions of logits and of the constants of pairs of logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.layers.heads import LastLayerNormalized
from lipscope.models.composition import LipschitzNet

EPS = 36 / 255
"""The radius of the certified accuracies that are reported while training."""


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


def offset_cross_entropy(logits: Tensor, labels: Tensor, offset: float) -> Tensor:
    """Cross-entropy after ``offset`` is taken from the true logit, which asks for a margin (Prach et al., CVPR 2024).

    Args:
        logits: (N, classes).
        labels: (N,).
        offset: in units of the logits; 0 gives plain cross-entropy.
    """
    return F.cross_entropy(logits - offset * F.one_hot(labels, logits.shape[1]), labels)


def certificate_regularisation(logits: Tensor, labels: Tensor, pair_constants: Tensor) -> Tensor:
    """CR = mean(relu(radius of the true label)), to be *subtracted* from a loss (ICLR 2022, section 3).

    Radii are in [0, 1] pixel space.
    """
    return torch.relu(true_radius(logits, labels, pair_constants)).mean()


def nominal_pair_constants(net: LipschitzNet) -> Tensor:
    """The constants c_li of f_l - f_i from pixels, as far as training cares: differentiable, and not proved.

    The body counts as exactly 1-Lipschitz here; certificates use its proved bound.

    Returns:
        (classes, classes); the diagonal is meaningless.
    """
    lipschitz = 1 / min(net.normalize.constants[1])
    if not isinstance(net.head, LastLayerNormalized):
        return torch.full((net.head.classes,) * 2, 2**0.5 * lipschitz, device=net.normalize.std.device)
    weight = net.head.rows()
    difference = weight.unsqueeze(1) - weight.unsqueeze(0)
    # The gradient of a norm at 0 is NaN, so the diagonal is moved away from it.
    identity = torch.eye(len(weight), device=weight.device).unsqueeze(2)
    return torch.mul(torch.linalg.vector_norm(difference + identity, dim=2), lipschitz)
