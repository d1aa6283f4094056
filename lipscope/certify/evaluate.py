"""Certify a stored model on images: logits in float32, one radius an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipscope.certify.partial import Progress, order_digest
from lipscope.certify.radii import certified_radii
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision
from lipscope.errors import CheckFailedError, DataError
from lipscope.models.stored import StoredModel
from lipscope.results import REAL_ARITHMETIC, Certificates

COMPARED_IMAGES = 64
"""Images that are evaluated in float64 too."""

LARGEST_LOGIT_ERROR = 1e-4
"""Float32 logits further than this from the float64 ones are not certified."""


class TooCoarseError(CheckFailedError):
    """Float32 rounds the logits of this model too coarsely for its radii to mean anything."""


@dataclass(frozen=True)
class Evaluation:
    """Certificates with the logits that they come from.

    Args:
        certificates: one radius an image.
        logits: (n, classes), in the dtype of the evaluation.
    """

    certificates: Certificates
    logits: Tensor


def certify(
    model: StoredModel,
    data: ImageSet,
    index: np.ndarray,
    *,
    device: str = "cpu",
    batch_size: int = 500,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    progress: Progress | None = None,
) -> Evaluation:
    """Real-arithmetic radii: float32 evaluation over a proved Lipschitz bound, TF32 off.

    Args:
        model: a stored model.
        data: the images that are certified, already selected.
        index: (n,) their record numbers in the data set's file.
        device: a torch device.
        batch_size: images at a time.
        on_progress: told (images done, images in all).
        progress: continued from, and kept up to date; see :func:`progress_of`.

    Raises:
        TooCoarseError: float32 is too coarse for the model's weights.
        CheckFailedError: the model's Lipschitz constant is not proved.
        DataError: no images, of another size, or with classes that the model does not know.
    """
    check_fit(model, data)
    lipschitz = proved_lipschitz(model)
    net = model.net.to(device)
    joined = torch.empty(len(data), model.net.head.classes)
    earlier = progress.load() if progress else None
    done = 0 if earlier is None else len(earlier)
    if earlier is not None:
        joined[:done] = earlier
    with full_precision(), torch.inference_mode():
        for start in range(done, len(data), batch_size):
            images = torch.from_numpy(data.images[start : start + batch_size])
            done = start + len(images)
            joined[start:done] = net(images.to(device, torch.float32) / 255).cpu()
            if progress:
                progress.update(joined[:done])
            on_progress(done, len(data))
        context = environment(device)
        compared = torch.from_numpy(data.images[:COMPARED_IMAGES]).to(device, torch.float64) / 255
        error = float((net(compared).cpu() - joined[:COMPARED_IMAGES]).abs().max())
    net.to("cpu")
    certificates = certificates_of(model, data, index, joined, lipschitz, context)
    if not error <= LARGEST_LOGIT_ERROR:
        raise TooCoarseError(
            "refused: float32 is too coarse for these weights", where=str(model.header.path),
            why=f"a logit is off by {error:.2g} from float64 on the first {len(compared)} images",
            next_step="--sound evaluates it with proved rounding errors",
        )  # fmt: skip
    context["float32_logit_error"] = {"largest": error, "images": len(compared), "kind": "estimate"}
    return Evaluation(replace(certificates, environment=context), joined)


def certificates_of(
    model: StoredModel, data: ImageSet, index: np.ndarray, logits: Tensor, lipschitz: float, context: dict[str, Any]
) -> Certificates:
    """The real-arithmetic radii that logits certify, as if they were exact.

    Raises:
        NotFiniteError: a logit is not finite.
    """
    diameter = math.sqrt(math.prod(model.net.input_shape))
    radii = certified_radii(logits, model.net.head.pair_bounds(), lipschitz, diameter)
    return Certificates(
        index=np.asarray(index, dtype=np.int64),
        label=data.labels,
        predicted=radii.predicted.numpy(),
        runner_up=radii.runner_up.numpy(),
        radius=radii.radius.numpy(),
        margin=radii.margin.numpy(),
        kind=REAL_ARITHMETIC,
        model_sha256=model.sha256,
        architecture=model.header.architecture or "",
        data_name=data.name,
        data_split=data.split,
        data_fingerprint=data.fingerprint(),
        lipschitz=lipschitz,
        environment=context,
        classes=data.classes,
    )


def proved_lipschitz(model: StoredModel) -> float:
    """The proved Lipschitz constant from pixels to features.

    Raises:
        CheckFailedError: there is none.
    """
    bound = model.net.lipschitz_bound()
    if not bound.proved or not math.isfinite(bound.value):
        raise CheckFailedError(
            "refused: no proved Lipschitz constant", where=str(model.header.path), why=bound.reason or "it is infinite",
            next_step="`lipscope inspect` names the layer",
        )  # fmt: skip
    return bound.value


def progress_of(
    path: Path,
    model: StoredModel,
    data: ImageSet,
    index: np.ndarray,
    *,
    device: str,
    batch_size: int,
    note: Callable[[str], None],
) -> Progress:
    """The progress of :func:`certify` with these arguments, in the side file ``path``.

    Bound to the model's bytes, the images in their order, and everything that may move a float32 logit by a bit, so
    that a run that was interrupted ends with the very numbers of one that was not.
    """
    with full_precision():
        context = environment(device)
    about = {
        "of": "float32 logits",
        "model_sha256": model.sha256,
        "images": order_digest(data, index),
        "batch_size": batch_size,
        "environment": context,
    }
    return Progress(path, about, (len(data), model.net.head.classes), torch.float32, note)


def check_fit(model: StoredModel, data: ImageSet) -> None:
    """Refuse images that the model cannot take.

    Raises:
        DataError: none, of another size, or of other classes.
    """
    if not len(data):
        raise DataError("no images were selected", where=data.name)
    if data.images.shape[1:] != model.net.input_shape:
        raise DataError(
            "images of another size", where=data.name, why=f"{data.images.shape[1:]}, not {model.net.input_shape}"
        )
    if len(data.classes) != model.net.head.classes:
        raise DataError(
            "another number of classes", where=data.name,
            why=f"{len(data.classes)}, but the model has {model.net.head.classes}",
            next_step="choose the data set that it was trained on with --dataset",
        )  # fmt: skip
