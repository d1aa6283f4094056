"""A training step of LipConvnet with Cayley convolutions beside SOC's: seconds and peak memory.

Each line is measured in a process of its own, on random images: `python benchmarks/cayley.py`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

BATCH, STEPS = 128, 5
CASES = [(conv, blocks) for blocks in (1, 2) for conv in ("soc", "cayley")]


def measure(conv: str, blocks: int, channels: int) -> str:
    """One line of the table: the median step after a first one, and the most memory that the process ever held."""
    import torch

    from lipscope.models.lipconvnet import LipConvnetConfig, lipconvnet
    from lipscope.train.distribution import world
    from lipscope.train.recipe import for_convolutions, paper
    from lipscope.train.step import make_optimizer, take_step

    torch.manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    recipe = for_convolutions(paper(), conv)
    net = lipconvnet(LipConvnetConfig(blocks=blocks, channels=channels, conv=conv))
    net.make_trainable()
    net.train()
    optimizer = make_optimizer(net, recipe)
    seconds = []
    with world("cpu") as here:
        for _ in range(1 + STEPS):
            batch = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (BATCH,))
            start = time.perf_counter()
            take_step(net, optimizer, batch, recipe, here)
            seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = statistics.median(seconds[1:])
    return f"{conv:8} {5 * blocks:14} {step:10.2f} s {peak / 2**20:9.2f} GB {(peak - before) / 2**20:13.2f} GB"


def main() -> None:
    """Print the table."""
    if len(sys.argv) == 3:
        print(measure(sys.argv[1], int(sys.argv[2]), 32))
        return
    print(f"A training step, 32 channels, batch {BATCH}, bfloat16 activations, median of {STEPS}\n")
    print(f"{'conv':8} {'LipConvnet':>14} {'step':>12} {'peak':>12} {'of which step':>16}")
    for conv, blocks in CASES:
        command = [sys.executable, __file__, conv, str(blocks)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
