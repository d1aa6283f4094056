"""The memory of a training step with each family of orthogonal convolutions: one table, in Markdown.

    python benchmarks/training_memory.py [--channels 32] [--blocks 1 2] [--batch 128] [--convs soc cayley]

Every line is measured in a process of its own, on the CPU: the most that the process ever held, and how much of that
came after torch and lipscope were loaded.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import torch

from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.lipconvnet import LipConvnetConfig, lipconvnet
from lipscope.processes.world import World
from lipscope.training.recipe import fast, for_convolutions
from lipscope.training.step import make_optimizer, take_step

STEPS = 3
"""The optimiser's momentum is there from the first on."""


def measure(conv: str, blocks: int, channels: int, batch: int) -> str:
    """The line of one net; this process must not have trained another."""
    before = _peak()
    torch.manual_seed(0)
    recipe = for_convolutions(fast(), conv)
    net = lipconvnet(LipConvnetConfig(blocks, channels, conv=conv))
    net.make_trainable()
    net.train()
    optimizer, world = make_optimizer(net, recipe), World(0, 1, torch.device("cpu"))
    for _ in range(STEPS):
        images = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
        take_step(net, optimizer, (images, torch.randint(0, 10, (batch,))), recipe, world)
    peak = _peak()
    return f"| {CONVOLUTIONS[conv].title} | LipConvnet-{5 * blocks} | {peak:.2f} GB | {peak - before:.2f} GB |"


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
    parser.add_argument("--line", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line:
        print(measure(options.convs[0], options.blocks[0], options.channels, options.batch))
        return
    print(f"{options.channels} channels, batch {options.batch}, bfloat16 activations, after {STEPS} steps\n")
    print("| convolution | net | peak of the process | of which the training |")
    print("|---|---|---:|---:|")
    sizes = ["--channels", str(options.channels), "--batch", str(options.batch)]
    for blocks in options.blocks:
        for conv in options.convs:
            command = [sys.executable, __file__, "--line", "--convs", conv, "--blocks", str(blocks), *sizes]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
