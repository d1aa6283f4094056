"""CPL (Meunier et al., *A Dynamical System Perspective for Lipschitz Neural Networks*, ICML 2022)."""

from __future__ import annotations

import torch
from torch import nn

from lipscope.layers.orthogonal import Family, without_series
from lipscope.layers.potential import PotentialConv2d
from lipscope.layers.scaled import OverNorm


class CPLConv2d(PotentialConv2d):
    """x -> x - (2 / ||K||^2) K^T relu(K x + b), as a step with G = K / ||K||."""

    family = "CPL"

    def new_scaling(self, generator: torch.Generator | None) -> nn.Module:
        """Division by the norm."""
        return OverNorm(self.kernel, self.side, generator)


CPL = Family("CPL", without_series(CPLConv2d), head="cayley")
