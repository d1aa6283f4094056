"""One process per device under torchrun: who am I, and how results are joined."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import Parameter

from lipscope.errors import LipscopeError

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others: a slow one is waited for, one that hangs ends the training."""


@dataclass(frozen=True)
class World:
    """This process among its peers.

    Args:
        rank: from 0; rank 0 writes, the others never touch the run folder.
        size: the number of processes.
        device: of this process.
    """

    rank: int
    size: int
    device: torch.device

    def share(self, indices: Tensor) -> Tensor:
        """This process's part of a batch of indices: every ``size``-th."""
        return indices[self.rank :: self.size]

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
            with _together():
                yield
                for work in sent:
                    work.wait()
        finally:
            for hook in hooks:
                hook.remove()

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size > 1:
            with _together():
                dist.all_reduce(values)
        return values

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set in any process, so that all do the same at the same step."""
        if self.size == 1:
            return list(flags)
        result: list[bool] = (self.total(torch.tensor(flags, dtype=torch.float32, device=self.device)) > 0).tolist()
        return result


@contextmanager
def world(device: str | None = None) -> Iterator[World]:
    """Join the other processes when torchrun started this one; else be alone.

    Args:
        device: a torch device; by default a GPU where there is one.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    default = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device or default)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    with _together():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), size, chosen)
    finally:
        dist.destroy_process_group()


@contextmanager
def _together() -> Iterator[None]:
    """Say in words that another process has gone, or does not answer.

    Raises:
        LipscopeError: a process that this one exchanges numbers with ended, or was not heard of for ``PATIENCE``.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not any(word in text for word in ("gloo", "NCCL", "Connection", "Timeout", "timed out", "store")):
            raise
        hangs = "imeout" in text or "imed out" in text
        raise LipscopeError(
            f"another process of the training was not heard of for {PATIENCE.seconds // 60} minutes" if hangs
            else "another process of the training has ended",
            why=text.splitlines()[0][:200], next_step="look at its last lines; --resume goes on from what was saved",
        ) from error  # fmt: skip
