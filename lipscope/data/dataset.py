"""The images of one split of a data set, in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lipscope.data.extra import Extra

Split = Literal["train", "test"]

IMAGE_SHAPE = (3, 32, 32)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """n images, as stored: bytes, not yet in [0, 1].

    Args:
        name: ``"cifar10"``, ``"cifar100"``, ``"synthetic"`` or ``"synthetic100"``; for a folder, its path.
        split: ``"train"`` or ``"test"``; ``"images"`` for a folder.
        images: (n, 3, height, width) uint8, channels red, green, blue, 32x32, in the named data sets; (n, *shape) of
            one's own.
        labels: (n,) int64, each in [0, number of classes); all of them -1 where nobody labelled the images.
        classes: the name of each class.
        source: where the images were found, or ``"seeded, generated"``.
        labelled: whether there are labels.
        extra: more images to learn from, with the same classes.

    Raises:
        ValueError: arrays of another shape or type, or a label without a class.
    """

    name: str
    split: Split | Literal["images"]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    source: str
    labelled: bool = True
    extra: Extra | None = None

    def __post_init__(self) -> None:
        n, shape = len(self.labels), self.images.shape
        colours = self.split == "images" or shape[1:2] == IMAGE_SHAPE[:1]
        if len(shape) not in (2, 3, 4) or shape[0] != n or not colours or self.images.dtype != np.uint8:
            raise ValueError(f"images {self.images.shape} {self.images.dtype}, labels {self.labels.shape}")
        if self.labels.ndim != 1 or self.labels.dtype != np.int64:
            raise ValueError(f"labels {self.labels.shape} {self.labels.dtype}")
        if not self.labelled:
            if (self.labels != -1).any():
                raise ValueError("a label among images without labels")
        elif len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(f"a label outside 0..{len(self.classes) - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: ArrayLike) -> ImageSet:
        """The images with these record numbers, in this order.

        Raises:
            IndexError: a number outside the set.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def fingerprint(self) -> str:
        """SHA-256 over the records in any order: equal exactly when the same images carry the same labels.

        Each record is the label (8 bytes, little-endian) and the bytes of the image (3,072 for 32x32); the fingerprint
        is the SHA-256 of the records' SHA-256 digests, sorted. Shuffled copies of a data set agree.
        """
        labels = self.labels.astype("<i8").tobytes()
        images = np.ascontiguousarray(self.images).reshape(len(self), -1)
        digests = sorted(
            hashlib.sha256(labels[8 * n : 8 * n + 8] + images[n].tobytes()).digest() for n in range(len(self))
        )
        return hashlib.sha256(b"".join(digests)).hexdigest()
