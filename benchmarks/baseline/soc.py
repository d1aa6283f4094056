"""Skew orthogonal convolution: a series of ``conv2d`` with a skew kernel that is normalised at every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TRAINING_TERMS, TERMS = 5, 12

UNFOLDINGS = (((1, 3), (0, 2)), ((1, 2), (0, 3)), ((1, 2, 3), (0,)), ((0, 2, 3), (1,)))
"""By unfolding, the axes that a step of the power iteration sums over on its way there and back."""

FULL_EVERY, FULL_STEPS = 200, 50
"""So often the power iterations run so many steps, otherwise one."""


class SOC(nn.Module):
    """(N, in, H, W) to (N, out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.stride = in_channels * stride**2, out_channels, stride
        size = max(self.inputs, self.outputs)
        self.free = nn.Parameter(torch.randn(size, size, kernel_size, kernel_size) * size**-0.5)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-(out_channels**-0.5), out_channels**-0.5))
        self.correction = 1.0 if kernel_size == 1 else 0.7
        self.steps = 0
        skew = self.skew().detach()
        self.vectors = []
        for there, back in UNFOLDINGS:
            u = unit(torch.randn_like(skew.sum(back, keepdim=True)))
            self.vectors.append([u, unit((skew * u).sum(there, keepdim=True))])
        self.fixed: Tensor | None = None

    def skew(self) -> Tensor:
        """(M - flip(M^T)) / 2."""
        return 0.5 * (self.free - self.free.transpose(0, 1).flip(2, 3))

    def kernel(self) -> Tensor:
        """The skew kernel over the least of four estimated norms."""
        skew = self.skew()
        if self.training:
            rounds = FULL_STEPS if self.steps % FULL_EVERY == 0 else 1
            self.steps += 1
            with torch.no_grad():
                for _ in range(rounds):
                    for pair, (there, back) in zip(self.vectors, UNFOLDINGS, strict=True):
                        pair[1] = unit((skew * pair[0]).sum(there, keepdim=True))
                        pair[0] = unit((skew * pair[1]).sum(back, keepdim=True))
        norms = [(skew * u * v).sum() for u, v in self.vectors]
        return self.correction * skew / torch.stack(norms).min()

    def forward(self, x: Tensor) -> Tensor:
        """The series, term by term."""
        kernel = self.kernel() if self.fixed is None else self.fixed
        x = unshuffled(x, self.stride)
        if self.outputs > self.inputs:
            x = F.pad(x, (0, 0, 0, 0, 0, self.outputs - self.inputs))
        total = term = x
        for k in range(1, (TRAINING_TERMS if self.training else TERMS) + 1):
            term = F.conv2d(term, kernel, padding=kernel.shape[-1] // 2) / float(k)
            total = total + term
        return total[:, : self.outputs] + self.bias.view(1, -1, 1, 1)


def unit(values: Tensor) -> Tensor:
    """At length 1; the length is read, as in the published code."""
    return values / max(float(values.square().sum().sqrt()), 1e-12)


def unshuffled(x: Tensor, factor: int) -> Tensor:
    """Blocks of factor x factor pixels to channels."""
    if factor == 1:
        return x
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // factor, factor, width // factor, factor)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels * factor**2, height // factor, width // factor)
