"""What a training step costs with each family of orthogonal convolutions: one table, in Markdown.

    python benchmarks/training_step.py [--channels 32] [--blocks 1] [--batch 128] [--convs soc bcop] [--float32]

Run it on an idle machine; synthetic images, random weights. Steps of the families alternate, so that they share what
the machine does meanwhile; every figure is the median of ``--repeats`` steps after one that is not counted, and the
ratio is to the first family.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from lipscope.data import load
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.lipconvnet import LipConvnetConfig, lipconvnet
from lipscope.train.distribution import World
from lipscope.train.hardware import describe_hardware
from lipscope.train.recipe import Recipe, fast, for_convolutions
from lipscope.train.step import make_optimizer, take_step


def stepper(config: LipConvnetConfig, recipe: Recipe, batch: int, device: torch.device) -> Callable[[], float]:
    """A function that takes one training step and returns its seconds."""
    data = load("synthetic", "train")
    images = torch.from_numpy(data.images[:batch]).to(device)
    labels = torch.from_numpy(data.labels[:batch]).to(device)
    torch.manual_seed(0)
    net = lipconvnet(config)
    net.make_trainable()
    net.to(device).train()
    optimizer, world = make_optimizer(net, recipe), World(0, 1, device)

    def step() -> float:
        started = time.perf_counter()
        # The loss is read, so that a GPU is waited for.
        float(take_step(net, optimizer, (images, labels), recipe, world).sum())
        return time.perf_counter() - started

    return step


def main() -> None:
    """Take the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--convs", nargs="+", choices=list(CONVOLUTIONS), default=list(CONVOLUTIONS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--float32", action="store_true", help="not only kernels, but activations too")
    options = parser.parse_args()
    device = torch.device(options.device)
    steps = {}
    for conv in options.convs:
        config = LipConvnetConfig(options.blocks, options.channels, conv=conv)
        recipe = for_convolutions(replace(fast(), bfloat16=not options.float32), conv)
        steps[conv] = stepper(config, recipe, options.batch, device)
    times: dict[str, list[float]] = {conv: [] for conv in steps}
    for repeat in range(options.repeats + 1):
        for conv, step in steps.items():
            seconds = step()
            if repeat > 0:
                times[conv].append(seconds)
    medians = {conv: statistics.median(times[conv]) for conv in times}
    first = options.convs[0]
    precision = "float32" if options.float32 else "bfloat16"
    print(f"{describe_hardware(device)}; LipConvnet-{5 * options.blocks}, {options.channels} channels,")
    print(f"batch {options.batch}, {precision}, median of {options.repeats} steps\n")
    print(f"| convolution | s / step | images / s | ratio to {CONVOLUTIONS[first].title} |")
    print("|---|---:|---:|---:|")
    for conv, seconds in medians.items():
        speed, ratio = options.batch / seconds, seconds / medians[first]
        print(f"| {CONVOLUTIONS[conv].title} | {seconds:.3f} | {speed:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
