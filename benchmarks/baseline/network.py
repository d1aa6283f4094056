"""LipConvnet-5 of the paper with MaxMin and a normalised last layer, and one training step of its recipe."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baseline.bcop import BCOP
from baseline.cayley import Cayley
from baseline.soc import SOC
from lipscope.layers.soc import SOCConv2d
from lipscope.models.composition import LipschitzNet

CONVOLUTIONS: dict[str, Any] = {"soc": SOC, "bcop": BCOP, "cayley": Cayley}

MEAN, STD = (0.4914, 0.4822, 0.4465), 0.2507

WEIGHT_DECAY = 5e-4


class Normalised(nn.Linear):
    """Rows of unit length."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) to (N, classes)."""
        return F.linear(x, self.weight / self.weight.norm(dim=1, keepdim=True), self.bias)


class LipConvnet5(nn.Module):
    """Pixels in [0, 1] to logits."""

    mean: Tensor

    def __init__(self, conv: str, channels: int, classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        planes = [3, *(channels * 2**k for k in range(1, 6))]
        self.convolutions = nn.ModuleList(
            CONVOLUTIONS[conv](planes[k], planes[k + 1], 1 if k == 4 else 3, 2, 32 // 2**k) for k in range(5)
        )
        self.head = Normalised(planes[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) to (N, classes)."""
        x = (x - self.mean) / STD
        for convolution in self.convolutions:
            first, second = convolution(x).chunk(2, dim=1)
            x = torch.cat([torch.max(first, second), torch.min(first, second)], dim=1)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


def same_as(net: LipschitzNet, channels: int) -> LipConvnet5:
    """The baseline with the numbers of a frozen SOC net of lipscope, in eval mode: the same function."""
    twin = LipConvnet5("soc", channels, net.head.classes).eval().requires_grad_(False)
    convolutions = [layer for _, layer in net.body() if isinstance(layer, SOCConv2d)]
    for mine, theirs in zip(twin.convolutions, convolutions, strict=True):
        assert isinstance(mine, SOC)
        mine.fixed = theirs.kernel.detach().clone()
        mine.bias.copy_(theirs.bias)
    state = net.head.state_dict()
    twin.head.load_state_dict(state)
    return twin


def optimizer_of(net: LipConvnet5, conv: str) -> torch.optim.SGD:
    """The recipe's: momentum 0.9, rate 0.1, weight decay for SOC alone."""
    return torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=WEIGHT_DECAY if conv == "soc" else 0.0)


def step(net: LipConvnet5, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
    """Forward, backward, update, and what the published loop reads: the loss and the certificates of the batch."""
    output = net(images)
    loss = F.cross_entropy(output, labels)
    with torch.no_grad():
        rows = net.head.weight / net.head.weight.norm(dim=1, keepdim=True)
        own = output.gather(1, labels[:, None])
        apart = torch.cdist(rows, rows)[labels].scatter(1, labels[:, None], 1.0)
        radii = ((own - output) / apart).scatter(1, labels[:, None], torch.inf).amin(1) * STD
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach() + 0.0 * radii.relu().mean())
