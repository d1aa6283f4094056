"""Networks as their authors write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Coupling(nn.Module):
    """A reversible step: [x_1, x_2 + f(x_1)]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f = nn.Conv2d(channels // 2, channels // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = torch.chunk(x, 2, dim=1)
        return torch.cat([first, second + torch.relu(self.f(first))], dim=1)


class Dense(nn.Module):
    """Everything before is concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(channels, 2, 3, padding=1), nn.Conv2d(channels + 2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, torch.relu(self.a(x))], 1)
        return torch.cat([x, torch.tanh(self.b(x))], 1)


class Halved(nn.Module):
    """A residual sum with factors."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x + 0.5 * F.silu(self.conv(x))


class Skew(nn.Module):
    """A skew orthogonal convolution written by hand, its exponential as a series."""

    def __init__(self, channels: int, terms: int = 8) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / channels)
        self.bias = nn.Parameter(torch.randn(channels))
        self.terms = terms

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight - self.weight.transpose(0, 1).flip(2, 3)
        kernel = kernel / (3 * torch.linalg.matrix_norm(kernel.flatten(1), 2))
        total = term = x
        for k in range(1, self.terms + 1):
            term = F.conv2d(term, kernel, padding=1) / k
            total = total + term
        return total + self.bias.view(1, -1, 1, 1)


class Potential(nn.Module):
    """SLL by hand: x - 2 K^T T^-1 relu(K x + b), which expands where the step is longer than 1."""

    def __init__(self, channels: int, inner: int, step: float = 1.0) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(inner, channels, 3, 3))
        self.bias, self.step = nn.Parameter(torch.randn(inner)), step

    def forward(self, x: Tensor) -> Tensor:
        over = F.conv2d(self.kernel, self.kernel, padding=2).abs().sum((1, 2, 3))
        inside = torch.relu(F.conv2d(x, self.kernel, padding=1) + self.bias[:, None, None])
        return x - 2 * self.step * F.conv_transpose2d(inside / over[:, None, None], self.kernel, padding=1)


class LastLayerNormalised(nn.Module):
    """Rows of unit length."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features))
        self.bias = nn.Parameter(torch.randn(classes))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.normalize(self.weight, dim=1), self.bias)


class SelfNormalised(nn.Module):
    """A convolution whose weight is a property computed anew at each call."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.randn(channels, channels, 1, 1))

    @property
    def weight(self) -> Tensor:
        return self.free / self.free.flatten(1).norm()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight)


def trained(net: nn.Module, shape: tuple[int, ...], steps: int = 2) -> nn.Module:
    """A few steps of a training on noise, so that statistics and parametrisations are not those of the start."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    net.train()
    for _ in range(steps):
        outputs = net(torch.rand(4, *shape)).flatten(1)
        loss = F.cross_entropy(outputs, torch.arange(4) % outputs.shape[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def max_min_spellings() -> dict[str, nn.Module]:
    """The common ways to write MaxMin on (N, 4, 3, 3)."""

    def halves(x: Tensor) -> Tensor:
        a, b = x.split(x.shape[1] // 2, dim=1)
        return torch.cat([torch.max(a, b), torch.min(a, b)], dim=1)

    def slices(x: Tensor) -> Tensor:
        a, b = x[:, :2], x[:, 2:]
        return torch.cat((torch.maximum(a, b), torch.minimum(a, b)), 1)

    def neighbours(x: Tensor) -> Tensor:
        pairs = x.view(len(x), -1, 2, *x.shape[2:])
        return torch.stack([pairs.max(dim=2)[0], pairs.min(dim=2)[0]], dim=2).flatten(1, 2)

    def ascending(x: Tensor) -> Tensor:
        return x.reshape(len(x), 2, 2, *x.shape[2:]).sort(dim=2).values.reshape(x.shape)

    def by_relu(x: Tensor) -> Tensor:
        pairs = x.reshape(len(x), 2, 2, *x.shape[2:])
        return torch.cat([pairs.amax(1), pairs.amin(1)], dim=1)

    return {name: Lambda(function) for name, function in locals().items() if callable(function)}


def angles(count: int) -> Tensor:
    """Angles of a Householder activation away from its seams."""
    return torch.linspace(0.3, 2.5, count)


class Cayley(nn.Conv2d):
    """An orthogonal convolution by Cayley's map at every frequency (Trockman & Kolter, ICLR 2021), by FFT."""

    def forward(self, x: Tensor) -> Tensor:
        side = x.shape[-1]
        free = torch.fft.rfft2(self.weight, (side, side)).permute(2, 3, 0, 1)
        skew, one = free - free.mH, torch.eye(len(self.weight), dtype=free.dtype)
        symbols = torch.linalg.solve(one + skew, one - skew)
        spectrum = torch.fft.rfft2(x).permute(2, 3, 1, 0)
        result = torch.fft.irfft2((symbols @ spectrum).permute(3, 2, 0, 1), s=(side, side))
        return result if self.bias is None else result + self.bias.view(-1, 1, 1)


class Householder(nn.Module):
    """Reflections chosen by ``torch.where``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(angles(channels // 2))

    def forward(self, z: Tensor) -> Tensor:
        theta = self.theta.view(1, -1, *([1] * (z.ndim - 2)))
        x, y = z.split(z.shape[1] // 2, 1)
        below = x * torch.sin(theta / 2) - y * torch.cos(theta / 2) > 0
        a = x * torch.cos(theta) + y * torch.sin(theta)
        b = x * torch.sin(theta) - y * torch.cos(theta)
        return torch.cat([torch.where(below, a, x), torch.where(below, b, y)], dim=1)


class Mirrors(nn.Module):
    """Reflections without a choice: what lies on the wrong side of each mirror, taken off twice; normals all around."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        turns = torch.arange(channels // 2) * 3.0 + 0.5
        self.normals = nn.Parameter(torch.stack([turns.cos(), turns.sin()]))

    def forward(self, z: Tensor) -> Tensor:
        x, y = z.chunk(2, 1)
        p, q = self.normals[:, :, None, None]
        over = torch.clamp(p * x + q * y, min=0)
        return torch.cat([x - 2 * over * p, y - 2 * over * q], 1)


def wrapped(x: Tensor) -> Tensor:
    """Circular padding put together from slices."""
    x = torch.cat([x[:, :, -1:], x, x[:, :, :1]], 2)
    return torch.cat([x[..., -1:], x, x[..., :1]], 3)
