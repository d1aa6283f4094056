"""Run alone or by torchrun: lipscope train on 300 images, with a log of what this process writes below a folder.

Usage: watched_rank.py LOGS RUN ARGUMENT...; writes LOGS/rank{r}.writes and LOGS/rank{r}.epoch{e}.pt. With
STOP_AFTER=n in the environment the last process is interrupted after n steps, with KILL_AFTER=n it is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

import lipscope.data
from lipscope.cli import run
from lipscope.data.synthetic import synthetic
from lipscope.training import loop

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.chmod", "os.rmdir")


def main(logs: Path, folder: str, arguments: list[str]) -> int:
    """Train, and write what was seen."""
    rank = int(os.environ.get("RANK", "0"))
    writes: list[str] = []
    real_validate, epochs = loop.validate, iter(range(1, 100))
    real_step, steps = loop.take_step, iter(range(1, 1000))
    last = rank + 1 == int(os.environ.get("WORLD_SIZE", "1"))
    stop_after = int(os.environ.get("STOP_AFTER", "0")) if last else 0
    kill_after = int(os.environ.get("KILL_AFTER", "0")) if last else 0

    def watch(event: str, details: tuple) -> None:
        """Remember whatever makes, changes or removes something below the run folder."""
        changes = event in CHANGES
        changes |= event == "open" and bool(int(details[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if changes and str(details[0]).startswith(folder):
            writes.append(f"{event} {details[0]}")

    def validate(net, split, world):
        torch.save(net.state_dict(), logs / f"rank{rank}.epoch{next(epochs)}.pt")
        return real_validate(net, split, world)

    def take_step(*details):
        result = real_step(*details)
        step = next(steps)
        if step == stop_after:
            signal.raise_signal(signal.SIGINT)
        if step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    loop.validate, loop.take_step = validate, take_step
    few = synthetic("synthetic", "train").subset(range(300))
    lipscope.data.load = lambda name, split, data_dir: few
    sys.addaudithook(watch)
    code = run(["train", *arguments])
    (logs / f"rank{rank}.writes").write_text("\n".join(writes))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), str(Path(sys.argv[2]).resolve()), sys.argv[3:]))
