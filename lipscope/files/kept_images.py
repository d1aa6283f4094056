"""What attacks kept of one image of a data set, looked up beside the model: the other images are not read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lipscope.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Question:
    """One image that an answer is wanted of."""

    row: int  # of the certificates
    index: int  # its record number
    pixels: NDArray[np.uint8] | None = field(repr=False)  # (3, height, width); None where the data set is not here
    model_sha256: str  # model_sha256, data_fingerprint: of the model and the images that the certificates are about
    data_fingerprint: str = ""
    predicted: int = -1  # the certified class
    distance: float = math.inf  # the smallest at which an attack changed it, by the results; infinite where none did


@dataclass(frozen=True)
class Adversarial:
    """An image of another class that an attack kept."""

    point: NDArray[np.float32]  # (3, height, width) float32 in [0, 1]
    predicted: int  # the class there
    distance: float  # l2 from the image, rounded up
    # whether it is the one whose distance the results quote; a further one where that was not kept
    nearest: bool = True
    claimed: str = ""  # why it is only claimed by somebody else, in words; empty for this user's own


def nearest_adversarial(model: Path, question: Question, folder: Path | None = None) -> Adversarial | None:
    """The adversarial image that `lipscope attack` kept of an image; None without one.

    Raises:
        CheckpointError: the file is damaged, stale, or contradicts the results.
    """
    from lipscope.files.adversarials import adversarials_path, read_one

    path = adversarials_path(model, folder)
    if not path.exists():
        return None
    found = read_one(path, question.index, question.model_sha256, question.data_fingerprint, question.pixels)
    if found is None:
        return None
    if found.original != question.predicted or found.distance < question.distance:
        raise CheckpointError(
            f"contradicts the results about image {question.index}", where=str(path),
            next_step="run `lipscope attack --force`",
        )  # fmt: skip
    return Adversarial(
        found.pixels, found.changed, found.distance, found.distance == question.distance, found.origin.reason
    )


def kept_adversarial(model: Path, question: Question, folder: Path | None = None) -> Adversarial | None:
    """The adversarial image that an attack on this model kept for an image; None without one that fits."""
    import numpy as np

    from lipscope.files.violation import read_pair, violation_path

    path = violation_path(folder or model.parent, model, question.index)
    if not path.is_file():
        return None
    try:
        pair = read_pair(path)
    except CheckpointError:
        return None
    fits = (
        pair.model_sha256 == question.model_sha256
        and pair.index == question.index
        and (question.pixels is None or np.array_equal(pair.image, question.pixels))
    )
    if not fits:
        return None
    told = pair.told
    return Adversarial(pair.adversarial, told["adversarial_class"], told["distance"], claimed=pair.origin.reason)
