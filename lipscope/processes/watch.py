"""Whether the other processes are there: one that computes is slow, one that does neither that nor wait hangs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from torch import distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from lipscope.errors import LipscopeError

BEAT = 2.0
"""Seconds between two signs of life."""

GONE = 45.0
"""Seconds without a sign of life after which a process counts as stopped, or its host as lost."""

HANGS = 300.0
"""Seconds in which a process that waits for no other has computed next to nothing, after which it counts as hung."""

COMPUTED = 0.5
"""Seconds of processor time that show that a process computes."""


@dataclass
class _Peer:
    """What is known of another process: its last sign of life, and since when neither that nor its work has moved."""

    sign: str
    heard: float
    computed: float
    moved: float


class Watch:
    """Signs of life through torchrun's store: each process says how long it has computed, and whether it waits.

    A context manager, for as long as the process group lives.

    Args:
        rank, size: of this process, and how many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        self._rank = rank
        self._keys = [f"lipscope/{number}" for number in range(size)]
        self._waits = self._ended = False
        self._wrong: LipscopeError | None = None
        # A connection of its own, because one that is shared is held by whoever waits on it.
        self._store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=timedelta(seconds=GONE)
        )
        self._thread = threading.Thread(target=self._look, name="signs of life", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While this process waits for others, it need not compute to count as well."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def check(self) -> None:
        """Raise what was found wrong.

        Raises:
            LipscopeError: another process is gone or hangs.
        """
        if self._wrong is not None:
            raise self._wrong

    def _look(self) -> None:
        peers: dict[int, _Peer] = {}
        count, before = 0, time.monotonic()
        while not self._ended and self._wrong is None:
            count += 1
            # Of all threads but this one.
            computed = time.process_time() - time.thread_time()
            try:
                self._store.set(self._keys[self._rank], f"{count} {computed:.2f} {int(self._waits)}")
                signs = [sign.decode() for sign in self._store.multi_get(self._keys)]
            except RuntimeError as error:
                if not self._ended:
                    self._wrong = _lost("the store of the processes does not answer", str(error).splitlines()[0][:200])
                break
            now = time.monotonic()
            if now - before > GONE / 2:
                peers.clear()  # this process was stopped itself, and has heard nobody
            before = now
            for number, sign in enumerate(signs):
                if number != self._rank:
                    self._wrong = self._wrong or _judge(peers, number, sign, now)
            time.sleep(BEAT)
        if self._wrong is not None:
            break_off()


def break_off() -> None:
    """End the exchanges of GPUs in an error: what waits on one of them looks at nothing else."""
    if dist.is_initialized() and dist.get_backend() == "nccl":
        dist.group.WORLD.abort()  # type: ignore[union-attr]


def _judge(peers: dict[int, _Peer], number: int, sign: str, now: float) -> LipscopeError | None:
    """What a sign of life, new or the same as before, says of a process; only one that gives signs can hang."""
    computed, waits = float(sign.split()[1]), sign.endswith("1")
    peer = peers.setdefault(number, _Peer("", now, computed, now))
    heard = sign != peer.sign
    if heard:
        peer.sign, peer.heard = sign, now
        if waits or computed - peer.computed >= COMPUTED:
            peer.computed, peer.moved = computed, now
    if now - peer.heard > GONE:
        return _lost(
            f"process {number} has given no sign of life for {GONE:.0f} s", "it was stopped, or its host is lost"
        )
    if heard and now - peer.moved > HANGS:
        return _lost(
            f"process {number} hangs", f"for {HANGS:.0f} s it has neither computed nor waited for another process"
        )
    return None


def _lost(what: str, why: str) -> LipscopeError:
    return LipscopeError(what, why=why, next_step="look at its last lines; what is saved is continued from")
