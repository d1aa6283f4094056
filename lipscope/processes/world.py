"""One process per device under torchrun: who am I, and how work and results are shared."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import Parameter

from lipscope.environment import check_device
from lipscope.errors import LipscopeError
from lipscope.processes.watch import Watch, break_off

LONGEST_WAIT = timedelta(hours=24)
"""Of one exchange. :class:`Watch` tells a process that hangs from a slow one, which is waited for."""

LOOK = timedelta(seconds=1)
"""How often a process that waits asks whether the others are there."""


@dataclass(frozen=True)
class World:
    """This process among its peers.

    Args:
        rank: from 0; rank 0 reads, writes and speaks, the others compute.
        size: the number of processes.
        device: of this process.
        watch: of the others.
    """

    rank: int
    size: int
    device: torch.device
    watch: Watch | None = field(default=None, compare=False, repr=False)

    @property
    def part(self) -> slice:
        """This process's part of a batch: every ``size``-th."""
        return slice(self.rank, None, self.size)

    def share(self, indices: Tensor) -> Tensor:
        """The indices of this process's part."""
        return indices[self.part]

    @contextmanager
    def averaging(self, parameters: Iterable[Parameter]) -> Iterator[None]:
        """Average each gradient over the processes while ``backward`` goes on to the layers below.

        A parameter's gradient is sent as soon as backward has it; the block ends when all have come back.
        """
        if self.size == 1:
            yield
            return
        sent: list[dist.Work] = []

        def send(parameter: Tensor) -> None:
            assert parameter.grad is not None
            parameter.grad /= self.size
            sent.append(dist.all_reduce(parameter.grad, async_op=True))

        hooks = [each.register_post_accumulate_grad_hook(send) for each in parameters if each.requires_grad]
        try:
            with _in_words():
                yield
                for work in sent:
                    self._finish(work)
        finally:
            for hook in hooks:
                hook.remove()

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size > 1:
            with _in_words():
                self._finish(dist.all_reduce(values, async_op=True))
        return values

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set in any process, so that all do the same at the same step."""
        if self.size == 1:
            return list(flags)
        result: list[bool] = (self.total(torch.tensor(flags, dtype=torch.float32, device=self.device)) > 0).tolist()
        return result

    def rows(
        self, of: Callable[[slice], Tensor], columns: int, done: int, total: int, batch: int
    ) -> Iterator[tuple[slice, Tensor]]:
        """What ``of`` gives for the items ``done`` to ``total``, in order, as it comes.

        In turns: in each, every process computes one batch, the same batches as one process would.

        Args:
            of: one row per item of a slice, (k, columns) float64 on the CPU.
            columns: of a row.
            done, total: the first item, and the one after the last.
            batch: items at a time.
        """
        while done < total:
            stop = min(done + batch * self.size, total)
            first = min(done + batch * self.rank, stop)
            own = slice(first, min(first + batch, stop))
            rows = torch.zeros(stop - done, columns, dtype=torch.float64)
            if first < stop:
                rows[own.start - done : own.stop - done] = of(own)
            yield slice(done, stop), self.total(rows.to(self.device)).cpu()
            done = stop

    def begin(self, task: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
        """``task(world, *arguments)`` here and in the processes that :meth:`serve`, which forget what it yields."""
        self._broadcast(pickle.dumps((task, arguments)) if self.size > 1 else b"")
        return task(self, *arguments)

    def serve(self) -> None:
        """Take part in every task that rank 0 begins, until it is done."""
        while content := self._broadcast(b""):
            task, arguments = pickle.loads(content)
            for _ in task(self, *arguments):
                pass

    def dismiss(self) -> None:
        """End :meth:`serve` in the others."""
        self._broadcast(b"")

    def _broadcast(self, content: bytes) -> bytes:
        """What rank 0 gives, in every process."""
        if self.size == 1:
            return content
        with _in_words():
            size = torch.tensor([len(content)], device=self.device)
            self._finish(dist.broadcast(size, 0, async_op=True))
            if not int(size):
                return b""
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(int(size)).byte()
            sent = sent.to(self.device)
            self._finish(dist.broadcast(sent, 0, async_op=True))
            return sent.cpu().numpy().tobytes()

    def _finish(self, work: dist.Work | None) -> None:
        """Wait for an exchange for as long as the other processes are there."""
        assert work is not None
        if self.device.type == "cuda":
            work.wait()  # only the stream waits; Watch ends an exchange with a process that is lost
            return
        assert self.watch is not None
        with self.watch.waiting():
            while True:
                self.watch.check()
                try:
                    work.wait(LOOK)
                    return
                except RuntimeError as error:
                    if "Operation timed out" not in str(error):
                        raise


@contextmanager
def world(device: str | None = None) -> Iterator[World]:
    """Join the other processes when torchrun started this one; else be alone.

    Args:
        device: a torch device; by default a GPU where there is one, under torchrun the one of this process's number.

    Raises:
        UsageError: torch cannot compute on the device.
        LipscopeError: another process has ended.
    """
    if device is not None:
        check_device(device)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, chosen)
        return
    gpu = chosen.type == "cuda"
    if gpu:
        chosen = torch.device("cuda", local_rank if chosen.index is None else chosen.index)
        torch.cuda.set_device(chosen)
    with _in_words():
        dist.init_process_group("nccl" if gpu else "gloo", timeout=LONGEST_WAIT)
    rank = dist.get_rank()
    with Watch(rank, size) as watch:
        try:
            yield World(rank, size, chosen, watch)
        except BaseException:
            break_off()
            # gloo would wait for what is still exchanged; the group ends with this process.
            raise
    dist.destroy_process_group()


def led(device: str | None, work: Callable[[World], int]) -> int:
    """The exit code of ``work`` in the first process; the others compute what it shares with them, and return 0.

    Args:
        device: as of :func:`world`.
        work: reads, writes and speaks.
    """
    with world(device) as here:
        if here.rank:
            here.serve()
            return 0
        code = work(here)
        here.dismiss()
        return code


@contextmanager
def _in_words() -> Iterator[None]:
    """Say in words that another process has gone.

    Raises:
        LipscopeError: a process that this one exchanges numbers with ended.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not any(word in text for word in ("gloo", "NCCL", "Connection", "Timeout", "timed out", "store")):
            raise
        raise LipscopeError(
            "another process has ended",
            why=text.splitlines()[0][:200], next_step="look at its last lines; what is saved is continued from",
        ) from error  # fmt: skip
