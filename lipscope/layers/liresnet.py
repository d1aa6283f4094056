"""LiResNet's convolution (Hu et al., *Unlocking Deterministic Robustness Certification on ImageNet*, NeurIPS 2023).

x + f(x) with a linear f is one linear map, a kernel whose training starts at the identity, and its norm is proved as a
whole: far less than 1 + L_f. The published nets carry the norms of their layers along; here every layer is divided by
its own, which MaxMin and the absolute value between them cannot tell apart.
"""

from __future__ import annotations

import torch
from torch import nn

from lipscope.layers.orthogonal import Family, without_series
from lipscope.layers.scaled import FIRST_LENGTH, OverNorm, ScaledLinearConv2d


class LiResNetConv2d(ScaledLinearConv2d):
    """x -> (x + K x) / ||1 + K|| + b with zero padding; K x / ||K|| + b where the numbers of channels differ."""

    family = "LiResNet"

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Start at the identity, or at an orthogonal matrix where there is none."""
        super().make_trainable(generator)
        outputs, inputs, size, _ = self.kernel.shape
        if outputs == inputs:
            with torch.no_grad():
                self.kernel[:, :, size // 2, size // 2] = FIRST_LENGTH * torch.eye(outputs)

    def new_scaling(self, generator: torch.Generator | None) -> nn.Module:
        """Division by the norm."""
        return OverNorm(self.kernel, self.side, generator)


LIRESNET = Family("LiResNet", without_series(LiResNetConv2d), head="cayley")
