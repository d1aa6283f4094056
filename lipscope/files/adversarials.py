"""The adversarial images that attacks have found: of each attacked image the nearest, in a file beside the results.

``model.adversarial.safetensors`` holds the pixels exactly as they were confirmed; its metadata hold the SHA-256 of the
model, the fingerprint of the images and a digest of the arrays. It is bound to the results row by row: the class that
was changed is the certified one, and no distance is below the one that the results quote. It is signed with the user's
own key; without that its images are claimed by somebody else. Reading needs numpy, not torch, and one image can be read
without the others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lipscope.errors import CheckpointError
from lipscope.files.beside import beside
from lipscope.files.checkpoint import SUFFIX, Header, opened_file, with_sorted_metadata
from lipscope.files.signing import NAME, UNSIGNED, Origin, Signer
from lipscope.files.writing import atomic_path
from lipscope.version import __version__

SCHEMA = "lipscope.adversarial/1"

ARRAYS = ("index", "original", "changed", "distance", "adversarial")
DTYPES = {"I64": np.int64, "F64": np.float64, "F32": np.float32}

SLACK = 1e-9
"""By how much a distance recomputed in another order of summation may differ from the kept one, which is rounded up."""


@dataclass(frozen=True, eq=False)
class Adversarials:
    """Adversarial images of n images.

    Args:
        index: (n,) int64, ascending record numbers.
        original: (n,) int64, the certified class that each was to change.
        changed: (n,) int64, the class in float64 at the adversarial image.
        distance: (n,) float64, l2 to the image, rounded up.
        adversarial: (n, C, H, W) float32 in [0, 1].
        model_sha256, data_fingerprint: what they are about.
        origin: whose work they are.
    """

    index: NDArray[np.int64]
    original: NDArray[np.int64]
    changed: NDArray[np.int64]
    distance: NDArray[np.float64]
    adversarial: NDArray[np.float32]
    model_sha256: str
    data_fingerprint: str
    origin: Origin = field(default_factory=lambda: Origin(own=True))

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Found:
    """The adversarial image of one image.

    Args:
        pixels: (C, H, W) float32.
        original, changed: the certified class, and the class there.
        distance: l2, rounded up.
        origin: whose work the file is.
    """

    pixels: NDArray[np.float32]
    original: int
    changed: int
    distance: float
    origin: Origin


def adversarials_path(model: Path, folder: Path | None = None) -> Path:
    """Where they lie: ``model.adversarial.safetensors`` beside the model, or in another folder.

    >>> adversarials_path(Path("runs/a/model.safetensors")).name
    'model.adversarial.safetensors'
    """
    return beside(model, ".adversarial" + SUFFIX, folder)


def nearest_of(old: Adversarials | None, new: Adversarials, *, force: bool = False) -> Adversarials:
    """Both together: of an image that is in both the nearer one, with ``force`` the new one.

    Raises:
        ValueError: they are about other models or images, or somebody else's, who would get this user's signature.
    """
    if old is None:
        return new
    if not (old.origin.own and new.origin.own):
        raise ValueError("adversarial images that somebody else claims")
    if (old.model_sha256, old.data_fingerprint) != (new.model_sha256, new.data_fingerprint):
        raise ValueError("adversarial images of other models or other images")
    index = np.concatenate([old.index, new.index])
    distance = np.concatenate([old.distance, new.distance])
    age = np.repeat([1, 0], [len(old), len(new)])
    # Of each index the first in this order; of equals the new one.
    order = np.lexsort((distance, age, index) if force else (age, distance, index))
    kept = order[np.flatnonzero(np.diff(index[order], prepend=-1))]
    both: dict[str, Any] = {name: np.concatenate([getattr(old, name), getattr(new, name)])[kept] for name in ARRAYS}
    return Adversarials(**both, model_sha256=new.model_sha256, data_fingerprint=new.data_fingerprint)


def write_adversarials(path: Path, kept: Adversarials) -> None:
    """Write them, signed, atomically.

    Raises:
        ValueError: somebody else claims them.
        LipscopeError: the place cannot be written to, or the disk is full.
    """
    if not kept.origin.own:
        raise ValueError("adversarial images that somebody else claims")
    arrays = {name: np.ascontiguousarray(getattr(kept, name)) for name in ARRAYS}
    metadata = {
        "lipscope.adversarial": SCHEMA,
        "lipscope.version": __version__,
        NAME: UNSIGNED,
        "model_sha256": kept.model_sha256,
        "data_fingerprint": kept.data_fingerprint,
        "sha256": _digest(arrays),
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(Signer().sign(with_sorted_metadata(save(arrays, metadata))))


def read_adversarials(path: Path, model_sha256: str, data_fingerprint: str) -> Adversarials:
    """All of them.

    Raises:
        CheckpointError: missing, damaged, or about another model or other images.
    """
    with opened_file(path) as (header, whole):
        _check_metadata(header, model_sha256, data_fingerprint)
        content = whole()
    try:
        arrays = load(content)
        if header.metadata.get("sha256") != _digest({name: arrays[name] for name in ARRAYS}):
            raise _damaged(path, "another checksum")
        kept = Adversarials(
            **{name: arrays[name] for name in ARRAYS}, model_sha256=model_sha256, data_fingerprint=data_fingerprint,
            origin=Signer().origin(content),
        )  # fmt: skip
    except (SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, str(error)[:200]) from error
    if not _fits_together(kept):
        raise _damaged(path, "its contents do not fit together")
    return kept


def read_one(
    path: Path, index: int, model_sha256: str, data_fingerprint: str, image: NDArray[np.uint8] | None = None
) -> Found | None:
    """The adversarial image of one record number; None where there is none. The others are not looked at.

    Args:
        path: the file.
        index: the record number.
        model_sha256, data_fingerprint: what it must be about.
        image: (C, H, W) the image; where it is given, the kept distance is computed again.

    Raises:
        CheckpointError: the file is damaged, or about another model or other images.
    """
    with opened_file(path) as (header, whole):
        _check_metadata(header, model_sha256, data_fingerprint)
        content = whole()
    try:
        arrays = _views(header, content)
        row = int(np.searchsorted(arrays["index"], index))
        if row >= len(arrays["index"]) or arrays["index"][row] != index:
            return None
        part: dict[str, Any] = {name: arrays[name][row : row + 1] for name in ARRAYS}
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path, str(error)[:200]) from error
    one = Adversarials(**part, model_sha256=model_sha256, data_fingerprint=data_fingerprint)
    if not _fits_together(one):
        raise _damaged(path, f"what it holds of image {index} cannot be")
    found = Found(
        one.adversarial[0].copy(), int(one.original[0]), int(one.changed[0]), float(one.distance[0]),
        Signer().origin(content),
    )  # fmt: skip
    if image is not None and not _as_far_as_told(found, image):
        raise _damaged(path, f"the distance of image {index} is not that of its pixels")
    return found


def _views(header: Header, content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays where they lie in the file, none of them copied."""
    start = 8 + int.from_bytes(content[:8], "little")
    return {
        info.name: np.frombuffer(content, DTYPES[info.dtype], info.size, start + info.offsets[0]).reshape(info.shape)
        for info in header.tensors
    }


def _as_far_as_told(found: Found, image: NDArray[np.uint8]) -> bool:
    if image.shape != found.pixels.shape:
        return False
    exact = found.pixels.astype(np.float64)
    seen = (image.astype(np.float32) / np.float32(255)).astype(np.float64)
    far = max(float(np.linalg.norm(exact - seen)), float(np.linalg.norm(exact - image / 255)))
    return far <= found.distance + SLACK and found.distance <= far * (1 + SLACK) + SLACK


def _check_metadata(header: Header, model_sha256: str, data_fingerprint: str) -> None:
    metadata, path = header.metadata, header.path
    if metadata.get("lipscope.adversarial") != SCHEMA:
        raise CheckpointError("is no file of adversarial images of this version", where=str(path))
    if metadata.get("model_sha256") != model_sha256:
        raise CheckpointError("is about another model", where=str(path), next_step="run `lipscope attack` again")
    if metadata.get("data_fingerprint") != data_fingerprint:
        raise CheckpointError("is about other images", where=str(path), next_step="run `lipscope attack` again")


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        "is damaged", where=str(path), why=why, next_step="delete it and run `lipscope attack --force`"
    )


def _fits_together(kept: Adversarials) -> bool:
    n = kept.index.shape
    whole = all(
        getattr(kept, name).dtype == np.int64 and getattr(kept, name).shape == n
        for name in ("index", "original", "changed")
    )
    return bool(
        whole
        and kept.index.ndim == 1
        and (np.diff(kept.index) > 0).all()
        and kept.distance.dtype == np.float64
        and kept.distance.shape == n
        and kept.adversarial.dtype == np.float32
        and kept.adversarial.ndim == 4
        and kept.adversarial.shape[0] == len(kept.index)
        and (np.isfinite(kept.distance) & (kept.distance >= 0)).all()
        and ((kept.adversarial >= 0) & (kept.adversarial <= 1)).all()
        and (kept.changed != kept.original).all()
        and (kept.index >= 0).all()
        and (kept.original >= 0).all()
        and (kept.changed >= 0).all()
    )


def _digest(arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
