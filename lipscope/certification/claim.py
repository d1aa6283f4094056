"""What somebody else claims about a model at hand, checked cheaply: all that follows, and a few images at random."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import torch

from lipscope.certification.evaluate import certify
from lipscope.certification.fit import check_fit, proved_pairs
from lipscope.certification.partial import order_digest
from lipscope.certification.radii import radius_of
from lipscope.data import ImageSet, load
from lipscope.errors import LipscopeError
from lipscope.models.stored import StoredModel, load_model
from lipscope.records.certificates import Certificates, Checked

SAMPLED = 64
"""Images that are evaluated anew; nobody can know before which they will be."""

TOLERANCE = 1e-6
"""In radius, for images evaluated again: other orders of summation round float64 differently, within the budget."""

SLACK = 1e-9
"""Relatively, for L and what follows from it: another machine proves the same bounds a few roundings apart."""


def check_claim(claimed: Certificates, model: StoredModel, data: ImageSet, *, device: str = "cpu") -> Checked:
    """Hold claimed radii against the model and the images that they are about.

    L and the constants of the pairs are proved anew, every radius must follow from its margin, and 64 images at
    positions that nobody could predict are certified anew. A claim that lies about a share p of all images passes with
    probability (1 - p)^64.

    Args:
        claimed: from a file, sound radii.
        model: the model that lies here.
        data: the whole data set.
        device: a torch device.
    """
    if reason := _contradiction(claimed, model, data):
        return Checked(0, 0, reason)
    places = np.array(sorted(secrets.SystemRandom().sample(range(len(data)), min(SAMPLED, len(data)))), dtype=np.int64)
    again = certify(model, data.subset(claimed.index[places]), device=device).certificates
    close = np.abs(again.radius - claimed.radius[places]) <= TOLERANCE
    agree = close & (again.predicted == claimed.predicted[places])
    return Checked(len(places), int(np.count_nonzero(agree)), attacks=claimed.attack_distance is not None)


def check_at_hand(claimed: Certificates, path: Path, data_dir: Path | None) -> Checked | None:
    """:func:`check_claim` where the model in this file and the images can be read here; None where they cannot."""
    try:
        model = load_model(path)
        data = load(claimed.data_name, "train" if claimed.data_split == "train" else "test", data_dir)
        return check_claim(claimed, model, data)
    except LipscopeError:
        return None


def _contradiction(claimed: Certificates, model: StoredModel, data: ImageSet) -> str:
    n, classes = len(claimed), model.net.head.classes
    if claimed.model_sha256 != model.sha256:
        return "they are of another model"
    if (
        n != len(data)
        or (claimed.data_name, claimed.data_split) != (data.name, data.split)
        or claimed.data_fingerprint != data.fingerprint()
        or not np.array_equal(np.sort(claimed.index), np.arange(n))
        or not np.array_equal(claimed.label, data.labels[claimed.index])
    ):
        return "they are of other images"
    if claimed.data_order and claimed.data_order != order_digest(data.subset(claimed.index), claimed.index):
        return "they are of the same images in another order"
    pairs_of = np.stack([claimed.predicted, claimed.runner_up])
    if (pairs_of < 0).any() or (pairs_of >= classes).any() or (pairs_of[0] == pairs_of[1]).any():
        return "they name classes that the model does not have"
    try:
        check_fit(model, data)
        pairs, _ = proved_pairs(model)
    except LipscopeError as error:
        return str(error)
    if not abs(claimed.lipschitz - pairs.lipschitz) <= SLACK * pairs.lipschitz:
        return f"L is {pairs.lipschitz:.10g}, not {claimed.lipschitz:.10g}"
    predicted, runner_up = (torch.from_numpy(column) for column in pairs_of)
    follow = radius_of(torch.from_numpy(claimed.margin), predicted, runner_up, pairs).numpy()
    if not (np.abs(follow - claimed.radius) <= SLACK * (1 + follow)).all():
        return "their radii do not follow from their margins"
    if claimed.attack_distance is not None and (claimed.attack_distance < claimed.radius).any():
        return "their own attacks came inside their radii"
    return ""
