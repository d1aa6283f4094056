"""Gradient norm preservation: how much of the gradient each layer passes back, measured on images."""

from __future__ import annotations

import torch
from torch import Tensor

from lipscope.models.composition import LipschitzNet
from lipscope.records import GradientNorms


def gradient_norms(net: LipschitzNet, images: Tensor, source: str) -> dict[str, GradientNorms]:
    """||J^T g|| / ||g|| of every layer, g the gradient of the margin f_l - f_i that really flows there.

    l is the predicted class and i the one with the second largest logit. For the head g = e_l - e_i, of length
    sqrt(2).

    Args:
        net: in eval mode.
        images: (N, C, H, W) in [0, 1].
        source: what the images are, for the record.

    Returns:
        statistics by layer name; images whose gradient vanished before a layer, or overflowed in it, are left out
        of its statistics.
    """
    taps = [images.clone().requires_grad_()]
    x = taps[0]
    names = []
    with torch.enable_grad():
        for name, layer, _ in net.layers():
            x = layer(x)
            if not x.requires_grad:
                x = x.requires_grad_()
            taps.append(x)
            names.append(name)
        top = x.topk(2, dim=1).values
        margin = top[:, 0] - top[:, 1]
    gradients = torch.autograd.grad(margin.sum(), taps)
    lengths = [torch.linalg.vector_norm(g.detach().flatten(1).double(), dim=1) for g in gradients]
    result = {}
    for name, before, after in zip(names, lengths, lengths[1:], strict=False):
        # Where the margin is NaN the comparisons inside activations are void, and so are the gradients.
        alive = (after > 0) & after.isfinite() & before.isfinite() & margin.isfinite()
        if bool(alive.any()):
            result[name] = _statistics(before[alive] / after[alive], source)
    return result


def _statistics(ratios: Tensor, source: str) -> GradientNorms:
    low, high = torch.quantile(ratios, torch.tensor([0.05, 0.95], dtype=ratios.dtype)).tolist()
    return GradientNorms(
        mean=float(ratios.mean()),
        minimum=float(ratios.min()),
        maximum=float(ratios.max()),
        p05=low,
        p95=high,
        images=source,
    )
