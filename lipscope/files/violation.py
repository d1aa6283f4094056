"""The pair of images that refutes a certificate: ``model.certified.violation-17.safetensors``, and two pictures.

The file holds the image ``image`` (C, H, W) uint8 and ``adversarial`` (C, H, W) float32 exactly as it was confirmed;
its metadata hold the SHA-256 of the model and, as JSON, what whoever found it saw. Whoever has the model can evaluate
the pair anew; until then it is claimed, unless the user's own key has signed it. Reading needs numpy, not torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import SUFFIX, opened_file, with_sorted_metadata
from lipscope.files.signing import NAME, UNSIGNED, Origin, Signer
from lipscope.files.writing import atomic_path

SCHEMA = "lipscope.violation/1"


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and the adversarial image strictly inside its certified radius.

    Args:
        image: (C, H, W) uint8.
        adversarial: (C, H, W) float32, finite.
        told: the record number ``index``, ``adversarial_class``, ``distance`` and more, as its finder saw it.
        model_sha256: of the model that it is about.
        origin: whose work the file is.
    """

    image: NDArray[np.uint8]
    adversarial: NDArray[np.float32]
    told: Mapping[str, Any]
    model_sha256: str
    origin: Origin = field(default_factory=lambda: Origin(own=True))

    @property
    def index(self) -> int:
        """The record number of the image."""
        return int(self.told["index"])


def violation_path(folder: Path, model: Path, index: int) -> Path:
    """The file of the pair of one image.

    >>> violation_path(Path("out"), Path("runs/a/model.safetensors"), 17).name
    'model.certified.violation-17.safetensors'
    """
    return folder / f"{model.name.removesuffix(SUFFIX)}.certified.violation-{index}{SUFFIX}"


def write_pair(path: Path, pair: Pair) -> None:
    """Write the pair as it is, signed, and as two PNG pictures for the eye, rounded to bytes.

    Raises:
        LipscopeError: the place cannot be written to.
    """
    from PIL import Image

    metadata = {
        "lipscope.violation": SCHEMA,
        NAME: UNSIGNED,
        "model_sha256": pair.model_sha256,
        "violation": json.dumps(dict(pair.told), sort_keys=True),
    }
    arrays: dict[str, NDArray[Any]] = {
        "image": np.ascontiguousarray(pair.image),
        "adversarial": np.ascontiguousarray(pair.adversarial),
    }
    content = Signer().sign(with_sorted_metadata(save(arrays, metadata)))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    rounded = np.rint(255 * pair.adversarial.astype(np.float64)).clip(0, 255).astype(np.uint8)
    for name, picture in (("image", pair.image), ("adversarial", rounded)):
        with atomic_path(path.with_name(f"{path.name.removesuffix(SUFFIX)}.{name}.png")) as temporary:
            Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).save(temporary, format="PNG")


def read_pair(path: Path) -> Pair:
    """Read a pair; what it tells is not believed.

    Raises:
        CheckpointError: missing, damaged, or no pair of images.
    """
    where = str(path)
    with opened_file(path) as (header, read):
        metadata, content = header.metadata, read()
    try:
        arrays, told = load(content), json.loads(metadata["violation"])
        image, adversarial = arrays["image"], arrays["adversarial"]
        pair = Pair(image, adversarial, told, metadata["model_sha256"], Signer().origin(content))
        whole = type(told["index"]) is int and type(told["adversarial_class"]) is int
        whole = whole and type(told["distance"]) is float and metadata["lipscope.violation"] == SCHEMA
    except (KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError("is not a saved violation, or damaged", where=where, why=str(error)[:200]) from error
    fits = image.ndim == 3 and image.shape == adversarial.shape
    fits = fits and image.dtype == np.uint8 and adversarial.dtype == np.float32 and bool(np.isfinite(adversarial).all())
    if not (whole and fits):
        raise CheckpointError("is not a saved violation", where=where, why="its contents do not fit together")
    return pair
