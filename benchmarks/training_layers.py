"""What measuring the layers costs a training: seconds at the end of an epoch against seconds of the epoch.

Usage: python benchmarks/training_layers.py [CHANNELS] [STEPS]; prints a table of the convolution families.
"""

from __future__ import annotations

import sys
import time

import torch

from lipscope.data.synthetic import synthetic
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.processes.world import World
from lipscope.training.layerwise import IMAGES, measure_layers
from lipscope.training.recipe import fast, for_convolutions
from lipscope.training.step import make_optimizer, take_step

TRAINING_IMAGES = 50_000
"""Of CIFAR-10: an epoch."""


def main(channels: int = 16, steps: int = 4) -> None:
    """Time a few steps of the fast recipe, and one measurement."""
    world = World(0, 1, torch.device("cpu"))
    data = synthetic("synthetic", "train")
    print(f"{channels} channels, {torch.get_num_threads()} threads")
    print(f"{'conv':8s} {'epoch, s':>10s} {'measuring, s':>13s} {'share':>7s}")
    for conv in ("soc", "bcop", "cayley", "bro", "lot"):
        recipe = for_convolutions(fast(), conv)
        torch.manual_seed(0)
        net = LipConvnetConfig(channels=channels, conv=conv).build()
        net.make_trainable()
        optimizer = make_optimizer(net.train(), recipe)
        images = torch.from_numpy(data.images[: recipe.batch_size])
        labels = torch.from_numpy(data.labels[: recipe.batch_size])
        take_step(net, optimizer, (images, labels), recipe, world)
        started = time.perf_counter()
        for _ in range(steps):
            take_step(net, optimizer, (images, labels), recipe, world)
        epoch = (time.perf_counter() - started) / steps * TRAINING_IMAGES / recipe.batch_size
        frozen = net.frozen()
        started = time.perf_counter()
        measure_layers(frozen, (images[:IMAGES].float() / 255, "training images"), 1, steps)
        measuring = time.perf_counter() - started
        print(f"{conv:8s} {epoch:10.1f} {measuring:13.2f} {measuring / epoch:7.2%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
