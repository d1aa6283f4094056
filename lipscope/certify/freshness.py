"""Whether kept results may answer for a model and a data set: everything cheap is computed again, the rest sampled."""

from __future__ import annotations

import math

import numpy as np
import torch

from lipscope.certify.partial import order_digest
from lipscope.certify.radii import certified_radii, radius_of
from lipscope.data import ImageSet
from lipscope.environment import full_precision
from lipscope.files.results import REAL_ARITHMETIC, Certificates
from lipscope.models.stored import StoredModel
from lipscope.version import __version__

SAMPLED = 32
"""Images whose logits are evaluated again."""

TOLERANCE = 1e-4
"""In radius; other threads, devices and batch sizes round float32 differently."""


def objection(kept: Certificates, model: StoredModel, data: ImageSet) -> str:
    """Why kept results cannot answer for this model on all of these images; empty when they can.

    Hashes and L must agree, every radius must follow from its margin, and a sample of the logits is evaluated anew.
    This finds mistakes and stale files; a forger who computes consistent numbers is found only in the sample.
    """
    n, classes = len(data), model.net.head.classes
    if kept.model_sha256 != model.sha256:
        return "they are of another model"
    if kept.kind != REAL_ARITHMETIC:
        return "they are of another kind"
    if kept.environment.get("lipscope") != __version__:
        return "they are of another version of lipscope"
    if (
        (kept.data_name, kept.data_split) != (data.name, data.split)
        or len(kept) != n
        or kept.data_fingerprint != data.fingerprint()
        or not np.array_equal(kept.index, np.arange(n))
        or not np.array_equal(kept.label, data.labels)
    ):
        return "they are of other images"
    if kept.data_order and kept.data_order != order_digest(data, kept.index):
        return "they are of the same images in another order"
    if kept.environment.get("dtype") == "float32" and "float32_radius_error" not in kept.environment:
        return "their radii were not compared with float64"
    consistent = (
        isinstance(kept.lipschitz, float)
        and kept.lipschitz == model.net.lipschitz_bound().value
        and all(((classed >= 0) & (classed < classes)).all() for classed in (kept.predicted, kept.runner_up))
        and bool((kept.predicted != kept.runner_up).all())
    )
    if not consistent:
        return "they contradict the model"
    pairs = model.net.head.pair_bounds()
    diameter = math.sqrt(math.prod(model.net.input_shape))
    constants = pairs[torch.from_numpy(kept.predicted), torch.from_numpy(kept.runner_up)]
    margins = torch.from_numpy(kept.margin)
    if not np.array_equal(radius_of(margins, constants, kept.lipschitz, diameter).numpy(), kept.radius):
        return "their radii do not follow from their margins"
    if kept.sound_radius is not None and not (kept.sound_radius <= kept.radius + TOLERANCE).all():
        return "their sound radii exceed the real-arithmetic ones"
    sample = np.linspace(0, n - 1, min(SAMPLED, n)).astype(np.int64)
    with full_precision(), torch.inference_mode():
        logits = model.net(torch.from_numpy(data.images[sample]).to(torch.float32) / 255)
    again = certified_radii(logits, pairs, kept.lipschitz, diameter)
    if not np.abs(again.radius.numpy() - kept.radius[sample]).max() <= TOLERANCE:
        return f"the radii of {len(sample)} images, evaluated again, are others"
    return ""
