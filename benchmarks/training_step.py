"""What a training step costs with each family of orthogonal convolutions, against the published recipe: one table.

    python benchmarks/training_step.py [--channels 32] [--batch 128] [--convs soc cayley] [--threads 1] [--repeats 5]

Synthetic images, random weights. The steps of all columns alternate, those of ``benchmarks/baseline`` among them, so
that they share what the machine does meanwhile; every figure is the median after one step that is not counted. Wall
time beside the processor time of the process: on a machine with other work the second is the steadier figure. The
baseline trains in float32, and its ratios are those of processor time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from baseline.network import LipConvnet5, optimizer_of
from baseline.network import step as published_step
from baseline.seconds import Seconds

from lipscope.data import load
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.processes.world import World
from lipscope.training.augment import crop_and_flip
from lipscope.training.hardware import describe_hardware
from lipscope.training.recipe import Recipe, fast, for_convolutions
from lipscope.training.step import make_optimizer, take_step

Step = Callable[[], object]


def stepper(config: LipConvnetConfig, recipe: Recipe, images: torch.Tensor, labels: torch.Tensor) -> Step:
    """A function that takes one training step of lipscope's."""
    torch.manual_seed(0)
    net = config.build()
    net.make_trainable()
    net.train()
    optimizer, world = make_optimizer(net, recipe), World(0, 1, torch.device("cpu"))
    return lambda: float(take_step(net, optimizer, (images, labels), recipe, world).sum())


def published(conv: str, channels: int, images: torch.Tensor, labels: torch.Tensor) -> Step:
    """A function that takes one training step of the published recipe."""
    torch.manual_seed(0)
    net = LipConvnet5(conv, channels).train()
    optimizer = optimizer_of(net, conv)
    return lambda: published_step(net, optimizer, images.float() / 255, labels)


def main() -> None:
    """Take the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--convs", nargs="+", choices=list(CONVOLUTIONS), default=list(CONVOLUTIONS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = load("synthetic", "train")
    images, labels = torch.from_numpy(data.images[: options.batch]), torch.from_numpy(data.labels[: options.batch])
    generator = torch.Generator().manual_seed(0)
    steps: dict[tuple[str, str], Step] = {}
    for conv in options.convs:
        config = LipConvnetConfig(channels=options.channels, conv=conv)
        steps[conv, "published"] = published(conv, options.channels, images, labels)
        for precision in ("float32", "bfloat16"):
            recipe = for_convolutions(replace(fast(), bfloat16=precision == "bfloat16"), conv)
            steps[conv, precision] = stepper(config, recipe, images, labels)
    steps["", "augmentation"] = lambda: crop_and_flip(images, generator)
    times: dict[tuple[str, str], list[Seconds]] = {name: [] for name in steps}
    for repeat in range(options.repeats + 1):
        for name, step in steps.items():
            seconds = Seconds.of(step)
            if repeat > 0:
                times[name].append(seconds)
    medians = {name: Seconds.median(every) for name, every in times.items()}
    print(
        f"{describe_hardware(torch.device('cpu'))}; LipConvnet-5, {options.channels} channels, batch {options.batch},"
    )
    print(f"median of {options.repeats} steps, seconds\n")
    print("| convolution | step | wall | processor | published / this | SOC in the same precision / this |")
    print("|---|---|---:|---:|---:|---:|")
    for (conv, kind), seconds in medians.items():
        cells = ["", ""]
        if conv:
            cells[0] = f"{medians[conv, 'published'].processor / seconds.processor:.2f}"
            if ("soc", kind) in medians:
                cells[1] = f"{medians['soc', kind].processor / seconds.processor:.2f}"
        title = CONVOLUTIONS[conv].title if conv else ""
        print(f"| {title} | {kind} | {seconds.wall:.3f} | {seconds.processor:.3f} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
