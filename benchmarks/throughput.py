"""How fast lipscope trains, certifies and inspects here: one table, in Markdown.

    python benchmarks/throughput.py [--channels 16 32] [--device cpu]

Run it on an idle machine; synthetic images of the size of CIFAR's, random weights. Every figure is the median of
``REPEATS`` runs after one warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lipscope.analysis.analysis import analyse
from lipscope.certification.evaluate import certify, estimate
from lipscope.data import load
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import load_model, save_model
from lipscope.processes.world import World
from lipscope.training.augment import crop_and_flip
from lipscope.training.hardware import describe_hardware
from lipscope.training.recipe import fast
from lipscope.training.step import make_optimizer, take_step

REPEATS = 5
CERTIFIED_IMAGES = 1000


def median_seconds(run: Callable[[], object]) -> float:
    """The median wall time of a call, after one that is not counted."""
    run()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def training_rate(config: LipConvnetConfig, device: torch.device, bfloat16: bool) -> float:
    """Images per second of whole training steps, augmentation included."""
    recipe = replace(fast(), bfloat16=bfloat16)
    data = load("synthetic", "train")
    images = torch.from_numpy(data.images[: recipe.batch_size]).to(device)
    labels = torch.from_numpy(data.labels[: recipe.batch_size]).to(device)
    net = config.build()
    net.make_trainable()
    net.to(device).train()
    optimizer, world = make_optimizer(net, recipe), World(0, 1, device)

    def step() -> None:
        batch = crop_and_flip(images, torch.Generator().manual_seed(0))
        # .sum().item() waits for a GPU to finish.
        take_step(net, optimizer, (batch, labels), recipe, world).sum().item()

    return recipe.batch_size / median_seconds(step)


def row(channels: int, device: torch.device) -> str:
    """One line of the table."""
    config = LipConvnetConfig(channels=channels, dataset="synthetic")
    rates = [training_rate(config, device, bfloat16) for bfloat16 in (True, False)]
    data = load("synthetic", "test").subset(np.arange(CERTIFIED_IMAGES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        net = config.build()
        net.make_trainable()
        save_model(net.frozen(), path, config.to_json(), {})
        model = load_model(path)
        certified, estimated = (
            len(data) / median_seconds(lambda: evaluate(model, data, device=str(device)))  # noqa: B023 - called at once
            for evaluate in (certify, estimate)
        )
        inspected = median_seconds(lambda: list(analyse(path)))
    size = f"{model.header.parameters / 1e6:.1f}M"
    speeds = " | ".join(f"{rate:.0f}" for rate in (*rates, certified, estimated))
    return f"| {channels} | {size} | {speeds} | {inspected:.1f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast lipscope trains, certifies and inspects here.")
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print(f"LipConvnet-5, SOC, MaxMin, LLN; {describe_hardware(device)}; median of {REPEATS}\n")
    print("| channels | parameters | train bfloat16, images/s | float32 | certify, images/s | --fast | inspect, s |")
    print("|---|---|---|---|---|---|---|")
    for channels in arguments.channels:
        print(row(channels, device), flush=True)


if __name__ == "__main__":
    main()
