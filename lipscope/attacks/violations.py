"""Adversarial images strictly inside a certified radius: found, saved, and verified again from the saved file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipscope.attacks.target import distances, margins
from lipscope.environment import full_precision, plain_products
from lipscope.errors import CheckpointError
from lipscope.files.violation import Pair, read_pair, write_pair
from lipscope.models.stored import StoredModel
from lipscope.records.certificates import Certificates


@dataclass(frozen=True)
class Violation:
    """One certificate that an adversarial image refutes.

    Args:
        index: the record number.
        predicted: the certified class.
        adversarial_class: the class in float64 at the adversarial image.
        margin: f_predicted - f_adversarial there in float64, negative.
        distance: l2, rounded up.
        radius: the refuted one.
        in_float32: whether float32 sees the changed class too.
    """

    index: int
    predicted: int
    adversarial_class: int
    margin: float
    distance: float
    radius: float
    in_float32: bool

    def to_json(self) -> dict[str, Any]:
        """As in ``lipscope.attack/2``."""
        return asdict(self)


def violated(certificates: Certificates, distance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether a changed class was confirmed strictly inside the radius."""
    return np.less(distance, certificates.radius)


def describe(
    model: StoredModel, certificates: Certificates, row: int, pixels: Tensor, point: Tensor
) -> Violation | None:
    """The violation that a point is of the certificate in a row; None where it is none.

    Everything is evaluated here, from the pixels alone.

    Args:
        model: on the CPU.
        certificates: what is claimed.
        row: of the certificates.
        pixels: (C, H, W) uint8, the image.
        point: (C, H, W) float32.
    """
    predicted = torch.from_numpy(certificates.predicted[row : row + 1])
    settled = model.net.head.settled_pairs()
    with torch.no_grad(), full_precision():
        with plain_products():
            every = margins(model.net(point.unsqueeze(0).to(torch.float64)), predicted, settled)
        single = float(margins(model.net(point.unsqueeze(0)), predicted, settled).min())
    distance = float(distances(point.unsqueeze(0), pixels.unsqueeze(0)))
    radius = float(certificates.radius[row])
    inside = bool(((point >= 0) & (point <= 1)).all())
    if not (inside and distance < radius and float(every.min()) < 0):
        return None
    return Violation(
        index=int(certificates.index[row]),
        predicted=int(predicted),
        adversarial_class=int(every.argmin()),
        margin=float(every.min()),
        distance=distance,
        radius=radius,
        in_float32=single < 0,
    )


def save_violation(path: Path, violation: Violation, model_sha256: str, pixels: Tensor, point: Tensor) -> None:
    """Write the pair as it is, and as two pictures.

    Raises:
        LipscopeError: the place cannot be written to.
    """
    write_pair(path, Pair(pixels.numpy(), point.numpy(), violation.to_json(), model_sha256))


def verify_saved(path: Path, model: StoredModel, certificates: Certificates) -> Violation | None:
    """Read a saved pair, whoever wrote it, and look at it anew: the violation as it is now, None where it is none.

    Args:
        path: written by :func:`save_violation`.
        model: freshly read from its file, on the CPU.
        certificates: what is claimed.

    Raises:
        CheckpointError: the file is damaged, or about another model.
    """
    pair, where = read_pair(path), str(path)
    rows = np.flatnonzero(certificates.index == pair.index)
    if pair.image.shape != model.net.input_shape or len(rows) != 1:
        raise CheckpointError("is not a saved violation of these images", where=where)
    if pair.model_sha256 != model.sha256:
        raise CheckpointError("is about another model", where=where)
    image, point = torch.from_numpy(pair.image), torch.from_numpy(pair.adversarial)
    return describe(model, certificates, int(rows[0]), image, point)


def summary_of(files: Mapping[int, Path], violations: tuple[Violation, ...]) -> list[dict[str, Any]]:
    """One object per violation, with the file of its pair where it was saved."""
    return [{**v.to_json(), "saved": str(files[v.index]) if v.index in files else None} for v in violations]
