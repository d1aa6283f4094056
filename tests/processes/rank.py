"""Run as one of several processes: lipscope, in which something befalls the last process in its second turn.

Usage: rank.py killed|interrupted|stopped|asleep|busy|nothing PATIENCE ARGUMENT...; a process that is
silent or neither computes nor waits is waited for PATIENCE seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from lipscope.cli import run
from lipscope.processes import watch
from lipscope.processes.world import World


def befall(what: str, patience: float) -> None:
    """What happens to this process."""
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "interrupted":
        signal.raise_signal(signal.SIGINT)
    if what == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if what == "asleep":
        time.sleep(3600)
    if what == "busy":
        until = time.process_time() + 2 * patience
        while time.process_time() < until:
            pass


def main(what: str, patience: float, arguments: list[str]) -> int:
    """Run lipscope, and let it happen."""
    watch.BEAT, watch.HANGS = 0.2, patience
    watch.GONE = patience if what == "stopped" else 600.0
    rows = World.rows

    def watched(self, of, columns, done, total, batch):
        turns = 0

        def turn(some):
            nonlocal turns
            turns += 1
            if turns == 2 and self.rank == self.size - 1:
                befall(what, patience)
            return of(some)

        yield from rows(self, turn, columns, done, total, batch)

    World.rows = watched
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
