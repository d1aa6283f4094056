"""Certify a stored model on images: logits in float32, one radius an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipscope.bounds.rounding import UNIT_ROUNDOFF
from lipscope.certify.partial import Progress, order_digest
from lipscope.certify.radii import certified_radii, radius_of
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision
from lipscope.errors import CheckFailedError, DataError
from lipscope.files.results import REAL_ARITHMETIC, Certificates
from lipscope.models.composition import LipschitzNet, chain_of
from lipscope.models.stored import StoredModel
from lipscope.records import Bound

COMPARED_IMAGES = 64
"""Images that are evaluated in float64 too."""

LARGEST_LOGIT_ERROR = 1e-4
"""Float32 logits further than this from the float64 ones are not certified."""

LARGEST_RADIUS_ERROR = 1e-4
"""Nor radii further than this from those of float64: a small head makes errors of logits small, and radii no better."""

LARGEST_GRAIN = 1e-7
"""Nor models of which float64 itself resolves no smaller distances: it would agree with float32 on the same nonsense.

Far above what a network with a purpose has (1e-13), and a thousandth of the above: a layer rounds more than once.
"""


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
    bounds = list(model.net.bounds())
    lipschitz = _proved(chain_of(bounds), model)
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
        exact, norms = _double_logits(net, compared)
    net.to("cpu")
    single, pairs = joined[:COMPARED_IMAGES], net.head.pair_bounds()
    error = float((exact - single).abs().max())
    moved = _radius_error(single, exact, pairs, lipschitz, math.sqrt(math.prod(net.input_shape)))
    grain = _float64_grain(exact, norms, pairs, [bound.value for _, bound in bounds])
    certificates = certificates_of(model, data, index, joined, lipschitz, context)
    for off, limit, why in (
        (error, LARGEST_LOGIT_ERROR, f"a logit is off by {error:.2g} from float64"),
        (moved, LARGEST_RADIUS_ERROR, f"a radius is off by {moved:.2g} from float64"),
        (grain, LARGEST_GRAIN, f"one rounding even of float64 moves a radius by {grain:.2g}"),
    ):
        if not off <= limit:
            raise TooCoarseError(
                "refused: float32 is too coarse for these weights", where=str(model.header.path),
                why=f"{why} on the first {len(compared)} images",
                next_step="--sound evaluates it with proved rounding errors",
            )  # fmt: skip
    for name, off in (("float32_logit_error", error), ("float32_radius_error", moved)):
        context[name] = {"largest": off, "images": len(compared), "kind": "estimate"}
    return Evaluation(replace(certificates, environment=context), joined)


def _double_logits(net: LipschitzNet, images: Tensor) -> tuple[Tensor, list[float]]:
    """Logits on the CPU, and by layer before the head the largest l2 norm of what it gives for one image."""
    x, norms = images, []
    for layer in (net.normalize, *(layer for _, layer in net.body())):
        x = layer(x)
        norms.append(float(torch.linalg.vector_norm(x.flatten(1), dim=1).max()))
    return net.head(x).cpu(), norms


def _radius_error(single: Tensor, double: Tensor, pairs: Tensor, lipschitz: float, largest: float) -> float:
    """The largest difference between the radii of the same predictions, those of float32."""
    rows, predicted = torch.arange(len(single)), single.argmax(dim=1)
    radii = []
    for logits in (single.to(torch.float64), double):
        found = radius_of(logits[rows, predicted].unsqueeze(1) - logits, pairs[predicted], lipschitz, largest)
        found[rows, predicted] = math.inf
        radii.append(found.amin(dim=1))
    return float((radii[0] - radii[1]).abs().max())


def _float64_grain(logits: Tensor, norms: Sequence[float], pairs: Tensor, values: Sequence[float]) -> float:
    """How far one rounding of a layer's result, or of a logit, may move a radius; ``inf`` where nothing may differ.

    An error e of a layer moves f_l - f_i by c (L of what follows) e, so a radius by e over the L up to that layer.

    Args:
        logits: (n, classes).
        norms: by layer before the head, of its results.
        pairs: c; pairs of equal rows, whose difference is constant, are left out.
        values: by layer before the head, its constant.
    """
    grain, lipschitz = 0.0, 1.0
    for norm, value in zip(norms, values, strict=True):
        lipschitz *= value
        grain = max(grain, norm / lipschitz if lipschitz > 0 else math.inf)
    positive = pairs[pairs > 0]
    constant = float(positive.min()) * lipschitz if len(positive) else math.inf
    return max(grain, float(logits.abs().max()) / constant if constant > 0 else math.inf) * UNIT_ROUNDOFF


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
        data_order=order_digest(data, np.asarray(index, dtype=np.int64)),
    )


def proved_lipschitz(model: StoredModel) -> float:
    """The proved Lipschitz constant from pixels to features.

    Raises:
        CheckFailedError: there is none.
    """
    return _proved(model.net.lipschitz_bound(), model)


def _proved(bound: Bound, model: StoredModel) -> float:
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
