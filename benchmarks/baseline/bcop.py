"""Block convolution orthogonal parametrisation: square matrices through Bjorck's iteration, then block convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baseline.soc import unshuffled

BJORCK_STEPS, POWER_STEPS = 20, 20

Blocks = dict[tuple[int, int], Tensor]


class BCOP(nn.Module):
    """(N, in, H, W) to (N, out, H / stride, W / stride), circular."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, side: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.stride, self.taps = in_channels * stride**2, out_channels, stride, kernel_size
        size = max(self.inputs, self.outputs)
        self.free = nn.Parameter(torch.empty(2 * kernel_size - 1, size, size))
        for matrix in self.free:
            nn.init.orthogonal_(matrix)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-(out_channels**-0.5), out_channels**-0.5))
        self.rank = size // 2

    def kernel(self) -> Tensor:
        """(out, in, k, k)."""
        matrices = bjorck(self.free)
        isometry = matrices[0, : self.inputs, : self.outputs]
        if self.taps == 1:
            return isometry.T[:, :, None, None]
        columns = torch.cat([matrices[1:, :, : self.rank], torch.zeros_like(matrices[1:, :, self.rank :])], dim=2)
        projectors = columns @ columns.mT
        flipped = self.inputs > self.outputs
        rows = isometry.T if flipped else isometry
        blocks = pair(projectors[0], projectors[1])
        for i in range(1, self.taps - 1):
            blocks = convolved(blocks, pair(projectors[2 * i], projectors[2 * i + 1]))
        grid = [[rows @ blocks[i, j] for j in range(self.taps)] for i in range(self.taps)]
        kernel = torch.stack([torch.stack(line) for line in grid])
        return kernel.permute(2, 3, 1, 0) if flipped else kernel.permute(3, 2, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        """One circular convolution."""
        padded = F.pad(unshuffled(x, self.stride), (self.taps // 2,) * 4, mode="circular")
        return F.conv2d(padded, self.kernel()) + self.bias.view(1, -1, 1, 1)


def bjorck(matrices: Tensor) -> Tensor:
    """Scaled by a power iteration from a random vector, then orthonormalised."""
    with torch.no_grad():
        u = torch.randn(*matrices.shape[:-1], 1)
        for _ in range(POWER_STEPS):
            v = matrices.mT @ u
            v = v / v.norm(dim=-2, keepdim=True)
            u = matrices @ v
            u = u / u.norm(dim=-2, keepdim=True)
        norms = u.mT @ matrices @ v
    matrices = matrices / norms
    for _ in range(BJORCK_STEPS):
        matrices = 1.5 * matrices - 0.5 * matrices @ (matrices.mT @ matrices)
    return matrices


def pair(first: Tensor, second: Tensor) -> Blocks:
    """The 2x2 kernel of two projectors."""
    identity = torch.eye(len(first))
    return {
        (0, 0): first @ second,
        (0, 1): first @ (identity - second),
        (1, 0): (identity - first) @ second,
        (1, 1): (identity - first) @ (identity - second),
    }


def convolved(first: Blocks, second: Blocks) -> Blocks:
    """The kernel of one after the other."""
    result: Blocks = {}
    for (a, b), left in first.items():
        for (c, d), right in second.items():
            product = left @ right
            place = (a + c, b + d)
            result[place] = result[place] + product if place in result else product
    return result
