"""Certify a stored model on images: sound radii from float64, or estimates from float32 for a first look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipscope.certification.budget import Budget
from lipscope.certification.fit import check_fit, estimated_pairs, proved_pairs
from lipscope.certification.partial import Progress, order_digest
from lipscope.certification.radii import Pairs, certified_radii
from lipscope.certification.sound import BATCH, float64_logits
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision, plain_products
from lipscope.ground import check_ground
from lipscope.models.stored import StoredModel
from lipscope.processes.world import World
from lipscope.records.certificates import Certificates, Standing

Told = Callable[[int, int], None]
"""Is told (images done, images in all)."""


@dataclass(frozen=True)
class Evaluation:
    """Certificates with what they come from.

    Args:
        certificates: one radius per image.
        logits: (n, classes), in the dtype of the evaluation.
        budget: the rounding errors that were subtracted; None for estimates.
    """

    certificates: Certificates
    logits: Tensor
    budget: Budget | None


def certify(
    model: StoredModel,
    data: ImageSet,
    index: NDArray[np.int64] | None = None,
    *,
    device: str = "cpu",
    batch_size: int = BATCH,
    on_progress: Told = lambda done, total: None,
    progress: Progress | None = None,
    world: World | None = None,
) -> Evaluation:
    """Sound radii: float64, a proved bound on every rounding error subtracted from each margin, rounded down.

    Args:
        model: a stored model.
        data: the images that are certified, already selected.
        index: (n,) their record numbers in the data set's file; None for 0 to n - 1.
        device: a torch device with float64.
        batch_size: images at a time.
        on_progress: told (images done, images in all).
        progress: continued from, and kept up to date; see :func:`progress_of`.
        world: the processes that share the work, of which this is the first; None for this one alone.

    Raises:
        CheckFailedError: the arithmetic is not IEEE's; the Lipschitz constant or the rounding errors are not proved.
        DataError: no images, of another size, or with classes that the model does not know.
        UsageError: the device has no float64.
    """
    check_ground(device)
    check_fit(model, data)
    pairs, budget = proved_pairs(model)
    logits, context = float64_logits(model, data, device, batch_size, on_progress, progress, world)
    return Evaluation(_certificates(model, data, index, logits, pairs, context, "proved"), logits, budget)


def estimate(
    model: StoredModel,
    data: ImageSet,
    index: NDArray[np.int64] | None = None,
    *,
    device: str = "cpu",
    batch_size: int = 500,
    on_progress: Told = lambda done, total: None,
) -> Evaluation:
    """Estimates of the radii: float32 evaluation over the proved Lipschitz constant, TF32 off, nothing subtracted.

    Args:
        model, data, index, device, batch_size, on_progress: as of :func:`certify`.

    Raises:
        CheckFailedError: the model's Lipschitz constant is not proved.
        DataError: no images, of another size, or with classes that the model does not know.
    """
    check_fit(model, data)
    pairs, net = estimated_pairs(model), model.net.to(device)
    logits = torch.empty(len(data), net.head.classes)
    with full_precision(), torch.inference_mode():
        context = environment(device)
        for start in range(0, len(data), batch_size):
            images = torch.from_numpy(data.images[start : start + batch_size])
            done = start + len(images)
            logits[start:done] = net(images.to(device, torch.float32) / 255).cpu()
            on_progress(done, len(data))
    net.to("cpu")
    return Evaluation(_certificates(model, data, index, logits, pairs, context, "estimate"), logits, None)


def progress_of(
    path: Path,
    model: StoredModel,
    data: ImageSet,
    index: NDArray[np.int64],
    *,
    device: str,
    note: Callable[[str], None],
) -> Progress:
    """The progress of :func:`certify` with these arguments, in the side file ``path``.

    The batches may differ when it is continued: the budget covers every order of summation.
    """
    with full_precision(device), plain_products():
        context = environment(device, "float64")
    about = {
        "of": "float64 logits",
        "model_sha256": model.sha256,
        "images": order_digest(data, index),
        "environment": context,
    }
    return Progress(path, about, (len(data), model.net.head.classes), torch.float64, note)


def _certificates(
    model: StoredModel,
    data: ImageSet,
    index: NDArray[np.int64] | None,
    logits: Tensor,
    pairs: Pairs,
    context: dict[str, Any],
    standing: Standing,
) -> Certificates:
    radii = certified_radii(logits, pairs)
    numbers = np.arange(len(data), dtype=np.int64) if index is None else np.asarray(index, dtype=np.int64)
    return Certificates(
        index=numbers,
        label=data.labels,
        predicted=radii.predicted.numpy(),
        runner_up=radii.runner_up.numpy(),
        radius=radii.radius.numpy(),
        margin=radii.margin.numpy(),
        standing=standing,
        model_sha256=model.sha256,
        architecture=model.header.architecture or "",
        data_name=data.name,
        data_split=data.split,
        data_fingerprint=data.fingerprint(),
        lipschitz=pairs.lipschitz,
        environment=context,
        classes=data.classes,
        data_order=order_digest(data, numbers),
    )
