"""The float64 evaluation whose rounding errors the budget bounds (docs/soundness.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipscope.certification.partial import Progress
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision, plain_products
from lipscope.models.composition import LipschitzNet
from lipscope.models.stored import StoredModel
from lipscope.processes.world import World

BATCH = 128
"""Images at a time: products that are large, and numbers that stay in the cache."""


def float64_logits(
    model: StoredModel,
    data: ImageSet,
    device: str,
    batch_size: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    progress: Progress | None = None,
    world: World | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """(n, classes) logits as the budget assumes them to be computed, and the environment that they were computed in."""
    here = world or World(0, 1, torch.device(device))
    logits = torch.empty(len(data), model.net.head.classes, dtype=torch.float64)
    earlier = progress.load() if progress else None
    done = 0 if earlier is None else len(earlier)
    if earlier is not None:
        logits[:done] = earlier
    with full_precision(device), plain_products():
        context = environment(device, "float64")
    for some, rows in here.begin(evaluated, model.net, data.images, done, batch_size):
        logits[some] = rows
        if progress:
            progress.update(logits[: some.stop])
        on_progress(some.stop, len(data))
    return logits, context


def evaluated(
    world: World, net: LipschitzNet, images: NDArray[np.uint8], done: int, batch_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """The logits of these images from number ``done`` on, as each turn of the processes brings them."""
    where = str(world.device)
    with full_precision(where), plain_products(), torch.inference_mode():
        # Of all images, so that a run that continues evaluates as one that was not interrupted.
        ready = net.to(world.device).prepared(len(images))

    def logits(some: slice) -> Tensor:
        with full_precision(where), plain_products(), torch.inference_mode():
            found: Tensor = ready(torch.from_numpy(images[some]).to(world.device, torch.float64) / 255)
            return found.cpu()

    yield from world.rows(logits, net.head.classes, done, len(images), batch_size)
    net.to("cpu")
