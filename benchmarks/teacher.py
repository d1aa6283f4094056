"""Train a plain residual network, not 1-Lipschitz, for `lipscope train --teacher`.

python benchmarks/teacher.py --dataset cifar100 teacher.safetensors
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lipscope
from lipscope.data import load
from lipscope.training.augment import crop_and_flip

BATCH, RATE, MOMENTUM, DECAY, WARMUP = 256, 0.2, 0.9, 5e-4, 0.2
"""Of stochastic gradient descent in one cycle; not tuned."""

SHIFT = 4
"""Pixels that images are shifted by at most."""


class Normalize(nn.Module):
    """(x - mean) / std, of CIFAR roughly."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Of images in [0, 1]."""
        return (x - self.mean) / 0.25


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *inside: nn.Module) -> None:
        super().__init__()
        self.inside = nn.Sequential(*inside)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        return x + self.inside(x)


def convolution(inputs: int, outputs: int, *after: nn.Module) -> nn.Sequential:
    """3x3, with batch normalisation and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), *after
    )


def teacher(classes: int, width: int) -> nn.Sequential:
    """Nine layers, as short trainings of CIFAR use them."""
    a, b, c, d = width, 2 * width, 4 * width, 8 * width
    return nn.Sequential(
        Normalize(),
        convolution(3, a),
        convolution(a, b, nn.MaxPool2d(2)),
        Residual(convolution(b, b), convolution(b, b)),
        convolution(b, c, nn.MaxPool2d(2)),
        convolution(c, d, nn.MaxPool2d(2)),
        Residual(convolution(d, d), convolution(d, d)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(d, classes),
    )


def pixels(images: Tensor) -> Tensor:
    """Bytes as numbers in [0, 1]."""
    return images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--dataset", default="cifar10", show_default=True)
@click.option("--epochs", default=20, show_default=True)
@click.option("--width", default=32, show_default=True, help="Channels of the first layer.")
@click.option("--seed", default=0, show_default=True)
def main(target: Path, dataset: str, epochs: int, width: int, seed: int) -> None:
    """Train on all training images, and write a file that lipscope reads."""
    data = load(dataset, "train")
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    torch.manual_seed(seed)
    net = teacher(len(data.classes), width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, weight_decay=DECAY, nesterov=True)
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps * epochs, pct_start=WARMUP)
    draws = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        began, right = time.perf_counter(), 0
        order = torch.randperm(len(labels), generator=draws)
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            seen = crop_and_flip(images[chosen], draws, padding=SHIFT, padding_mode="reflect")
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(pixels(seen))
            loss = F.cross_entropy(logits.float(), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            right += int((logits.argmax(1) == labels[chosen]).sum())
        share = right / (steps * BATCH)
        click.echo(f"epoch {epoch + 1}/{epochs}: {share:.1%} of training images, {time.perf_counter() - began:.0f} s")
    lipscope.save(net.eval(), target, input_shape=data.images.shape[1:])
    test = load(dataset, "test")
    with torch.inference_mode():
        found = torch.cat([net(pixels(part)).argmax(1) for part in torch.from_numpy(test.images).split(500)])
    click.echo(f"{target}: {float((found == torch.from_numpy(test.labels)).float().mean()):.2%} of test images")


if __name__ == "__main__":
    main()
