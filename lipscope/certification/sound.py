"""The float64 evaluation whose rounding errors the budget bounds (docs/soundness.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipscope.certification.partial import Progress
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision, plain_products
from lipscope.models.stored import StoredModel

BATCH = 128
"""Images at a time: products that are large, and numbers that stay in the cache."""


def float64_logits(
    model: StoredModel,
    data: ImageSet,
    device: str,
    batch_size: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    progress: Progress | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """(n, classes) logits as the budget assumes them to be computed, and the environment that they were computed in."""
    logits = torch.empty(len(data), model.net.head.classes, dtype=torch.float64)
    earlier = progress.load() if progress else None
    done = 0 if earlier is None else len(earlier)
    if earlier is not None:
        logits[:done] = earlier
    with full_precision(device), plain_products(), torch.inference_mode():
        context = environment(device, "float64")
        # Of all images, so that a run that continues evaluates as one that was not interrupted.
        net = model.net.to(device).prepared(len(data))
        while done < len(data):
            images = torch.from_numpy(data.images[done : done + batch_size])
            logits[done : done + len(images)] = net(images.to(device, torch.float64) / 255).cpu()
            done += len(images)
            if progress:
                progress.update(logits[:done])
            on_progress(done, len(data))
    model.net.to("cpu")
    return logits, context
