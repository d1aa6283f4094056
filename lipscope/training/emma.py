"""Efficient margin maximisation (EMMA): cross-entropy against the worst case of every rival class at once.

Hu, Zou, Wang, Leino & Fredrikson, *Unlocking Deterministic Robustness Certification on ImageNet*, NeurIPS 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.training.losses import EPS, NORMALISATION, Loss

FLOOR = 0.01
"""Of the largest margin: what is asked of every rival at least (the published code's)."""


def emma(logits: Tensor, labels: Tensor, offset: Tensor | float, temperature: float = 1.0) -> Tensor:
    """T CE(z / T) with z_y = f_y and z_i = f_i + m_i: m_i is the margin f_y - f_i that there is, up to ``offset``.

    A rival that wins already is asked for hardly any margin, one that is far away for no more than the offset. The
    share m_i / offset_i is held constant under the gradient. With offset_i = eps c_yi, where c_yi is the Lipschitz
    constant of f_y - f_i, the z_i are the rivals' worst cases within eps of the image or within its certified radius.

    Args:
        logits: (N, classes).
        labels: (N,).
        offset: the largest margin, in units of the logits: a number, or one for each image and class, (N, classes).
        temperature: T > 0, in units of the logits.

    >>> f, y = torch.tensor([[2.0, 1.0]]), torch.tensor([0])
    >>> bool(torch.isclose(emma(f, y, 3.0), torch.tensor(2.0).log()))
    True
    """
    margins = torch.as_tensor(offset, dtype=logits.dtype, device=logits.device).expand_as(logits)
    behind = logits.gather(1, labels.unsqueeze(1)) - logits
    share = (behind / margins.clamp_min(torch.finfo(logits.dtype).tiny)).detach().clamp(FLOOR, 1.0)
    itself = F.one_hot(labels, logits.shape[1]).bool()
    worst = logits + (share * margins).masked_fill(itself, 0.0)
    return temperature * F.cross_entropy(worst / temperature, labels)


EMMA = Loss(emma, 3 * 2**0.5 * EPS / NORMALISATION, 1.0, pairwise=True, rises=True)
"""The radius of the published training: 108/255 from its middle on."""
