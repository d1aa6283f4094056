"""Sound radii: float64 evaluation, and a proved bound on every rounding error taken from each margin.

Within a sound radius of an image the network's exact function has one largest logit, the predicted class's; and any
float64 evaluation of any image in [0, 1] there finds it too (docs/soundness.md, theorem 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipscope.bounds.rounding import FLOAT64
from lipscope.certify.budget import TIMES_PAID, Budget, error_budget
from lipscope.certify.evaluate import check_fit, proved_lipschitz
from lipscope.certify.freshness import SAMPLED
from lipscope.certify.partial import Progress, order_digest
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision, plain_products
from lipscope.errors import UsageError
from lipscope.files.results import SOUND, Certificates
from lipscope.models.stored import StoredModel

BATCH = 128
"""Images at a time: products that are large, and numbers that stay in the cache."""


TOLERANCE = 1e-6
"""In radius, for kept sound radii that are computed again; other orders of summation round float64 differently."""


@dataclass(frozen=True)
class SoundEvaluation:
    """Sound radii with what they come from.

    Args:
        radius: (n,) float64, about the given predictions; 0 where float64 does not confirm one beyond its own error.
        logits: (n, classes) float64.
        budget: the error bounds that were subtracted.
        environment: of the float64 evaluation.
    """

    radius: NDArray[np.float64]
    logits: Tensor
    budget: Budget
    environment: dict[str, Any]


def certify_soundly(
    model: StoredModel,
    data: ImageSet,
    predicted: NDArray[np.int64] | None = None,
    *,
    device: str = "cpu",
    batch_size: int = BATCH,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    progress: Progress | None = None,
) -> SoundEvaluation:
    """Sound radii of the predicted classes.

    Args:
        model: a stored model.
        data: the images, already selected.
        predicted: (n,) the class that each radius is about; None for that of the largest float64 logit.
        device: a torch device with float64.
        batch_size: images at a time.
        on_progress: told (images done, images in all).
        progress: continued from, and kept up to date; see :func:`sound_progress_of`.

    Raises:
        CheckFailedError: the model's Lipschitz constant is not proved.
        DataError: no images, of another size, or with classes that the model does not know.
        UsageError: the device has no float64.
    """
    check_fit(model, data)
    lipschitz = proved_lipschitz(model)
    budget, pair_errors = error_budget(model.net, FLOAT64)
    logits, context = float64_logits(model, data, device, batch_size, on_progress, progress)
    radius = sound_radii(
        logits,
        logits.argmax(dim=1) if predicted is None else torch.from_numpy(predicted),
        pair_errors,
        model.net.head.pair_bounds(),
        lipschitz,
        math.sqrt(math.prod(model.net.input_shape)),
    )
    return SoundEvaluation(radius.numpy(), logits, budget, context)


def float64_logits(
    model: StoredModel,
    data: ImageSet,
    device: str,
    batch_size: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    progress: Progress | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """(n, classes) logits as the budget assumes them to be computed, and the environment that they were computed in."""
    _check_float64(device)
    # Of all images, so that a run that continues evaluates as one that was not interrupted.
    net = model.net.to(device).prepared(len(data))
    logits = torch.empty(len(data), net.head.classes, dtype=torch.float64)
    earlier = progress.load() if progress else None
    done = 0 if earlier is None else len(earlier)
    if earlier is not None:
        logits[:done] = earlier
    with full_precision(), plain_products(), torch.inference_mode():
        context = environment(device, "float64")
        while done < len(data):
            images = torch.from_numpy(data.images[done : done + batch_size])
            logits[done : done + len(images)] = net(images.to(device, torch.float64) / 255).cpu()
            done += len(images)
            if progress:
                progress.update(logits[:done])
            on_progress(done, len(data))
    model.net.to("cpu")
    return logits, context


def sound_radii(
    logits: Tensor, predicted: Tensor, pair_errors: Tensor, pair_bounds: Tensor, lipschitz: float, largest: float
) -> Tensor:
    """Min over *every* i != l of (f^_l - f^_i - 2 e_li) / (c_li L) in float64, every step rounded towards 0.

    Args:
        logits: (n, classes) float64, computed.
        predicted: (n,) l.
        pair_errors: (classes, classes), e.
        pair_bounds: (classes, classes), c, proved from above.
        lipschitz: L, proved from above.
        largest: the diameter of pixel space; a pair whose difference is constant certifies everything in it.

    Returns:
        (n,) float64; 0 where a margin does not exceed its error, or is not a number.

    >>> logits, zero = torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    >>> sound_radii(logits, torch.tensor([0]), zero + 0.25, zero + 1.5, 1.0, 9.0)
    tensor([1.0000], dtype=torch.float64)
    >>> sound_radii(logits, torch.tensor([0]), zero + 1.0, zero + 1.5, 1.0, 9.0)
    tensor([0.], dtype=torch.float64)
    """
    rows = torch.arange(len(logits))
    margins = _below(logits[rows, predicted].unsqueeze(1) - logits)
    # The product by 2 is exact.
    kept = _below(margins - TIMES_PAID * pair_errors[predicted])
    quotients = _below(kept / _above(pair_bounds[predicted] * lipschitz))
    # Whatever is not certainly positive, NaN included, certifies nothing.
    radii = torch.where(kept > 0, quotients, torch.zeros_like(quotients)).clamp(min=0.0, max=largest)
    # The class itself is masked by its index.
    radii[rows, predicted] = math.inf
    return radii.amin(dim=1)


def sound_objection(kept: Certificates, model: StoredModel, data: ImageSet) -> str:
    """Why the kept sound radii cannot answer for this model on all of these images; empty when they can.

    Asked after :func:`lipscope.certify.freshness.objection` has none; a sample of them is computed anew.
    """
    if kept.sound_radius is None or SOUND not in kept.environment:
        return "they hold no sound radii"
    sample = np.linspace(0, len(data) - 1, min(SAMPLED, len(data))).astype(np.int64)
    again = certify_soundly(model, data.subset(sample), kept.predicted[sample]).radius
    if not np.abs(again - kept.sound_radius[sample]).max() <= TOLERANCE:
        return f"the sound radii of {len(sample)} images, computed again, are others"
    return ""


def sound_progress_of(
    path: Path,
    model: StoredModel,
    data: ImageSet,
    index: NDArray[np.int64],
    *,
    device: str,
    note: Callable[[str], None],
) -> Progress:
    """The progress of :func:`certify_soundly` with these arguments, in the side file ``path``.

    The batches may differ when it is continued: the budget covers every order of summation.
    """
    with full_precision(), plain_products():
        context = environment(device, "float64")
    about = {
        "of": "float64 logits",
        "model_sha256": model.sha256,
        "images": order_digest(data, index),
        "environment": context,
    }
    return Progress(path, about, (len(data), model.net.head.classes), torch.float64, note)


def _check_float64(device: str) -> None:
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "sound radii need float64, which this device does not have", where=f"--device {device}",
            why=str(error).strip().splitlines()[0], next_step="take --device cpu",
        ) from error  # fmt: skip


def _below(values: Tensor) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, -math.inf))


def _above(values: Tensor) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, math.inf))
