"""The memory of a training step with each family of convolutions, against the published recipe: one table, in Markdown.

    python benchmarks/training_memory.py [--channels 32] [--blocks 1 2] [--batch 128] [--convs soc cayley]

Every line is measured in a process of its own, on the CPU: the most that the process ever held, how much of that
came after a first step of the smallest such net, and the processor time of the last step. Published:
``benchmarks/baseline``, which has five layers, in float32; the others have bfloat16 activations.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from baseline.network import CONVOLUTIONS as PUBLISHED
from baseline.network import LipConvnet5, optimizer_of
from baseline.network import step as published_step

from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.processes.world import World
from lipscope.training.recipe import fast, for_convolutions
from lipscope.training.step import make_optimizer, take_step

STEPS = 3
"""The optimiser's momentum is there from the first on."""


KINDS = ("published", "plain", "recompute")


def stepper(kind: str, conv: str, blocks: int, channels: int, batch: int) -> Callable[[], object]:
    """A function that takes one training step."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,))
    if kind == "published":
        twin = LipConvnet5(conv, channels).train()
        descent = optimizer_of(twin, conv)
        return lambda: published_step(twin, descent, images.float() / 255, labels)
    recipe = replace(for_convolutions(fast(), conv), recompute=kind == "recompute")
    net = LipConvnetConfig(blocks, channels, conv=conv).build()
    net.make_trainable()
    net.train()
    optimizer, world = make_optimizer(net, recipe), World(0, 1, torch.device("cpu"))
    return lambda: take_step(net, optimizer, (images, labels), recipe, world)


def measure(kind: str, conv: str, blocks: int, channels: int, batch: int) -> str:
    """The line of one net; this process must not have trained another large one."""
    stepper(kind, conv, 1, 2, 2)()  # what a first step loads of the libraries, whatever its size
    before, step = _peak(), stepper(kind, conv, blocks, channels, batch)
    for _ in range(STEPS):
        started = time.process_time()
        step()
    seconds, peak = time.process_time() - started, _peak()
    name = f"{CONVOLUTIONS[conv].title} | LipConvnet-{5 * blocks} | {kind}"
    return f"| {name} | {peak:.2f} GB | {peak - before:.2f} GB | {seconds:.1f} s |"


def _peak() -> float:
    """Gigabytes; Linux counts in kilobytes, macOS in bytes."""
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    """Print the table, or the single line that such a process is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--convs", nargs="+", choices=list(CONVOLUTIONS), default=list(CONVOLUTIONS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--line", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line:
        print(measure(options.kinds[0], options.convs[0], options.blocks[0], options.channels, options.batch))
        return
    print(f"{options.channels} channels, batch {options.batch}, after {STEPS} steps\n")
    print("| convolution | net | step | peak of the process | of which the training | processor time of a step |")
    print("|---|---|---|---:|---:|---:|")
    sizes = ["--channels", str(options.channels), "--batch", str(options.batch)]
    for blocks in options.blocks:
        for conv in options.convs:
            for kind in options.kinds:
                if kind == "published" and (blocks > 1 or conv not in PUBLISHED):
                    continue
                command = [
                    sys.executable,
                    __file__,
                    "--line",
                    "--kinds",
                    kind,
                    "--convs",
                    conv,
                    "--blocks",
                    str(blocks),
                ]
                print(subprocess.run([*command, *sizes], check=True, stdout=subprocess.PIPE, text=True).stdout, end="")


if __name__ == "__main__":
    main()
