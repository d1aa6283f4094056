"""A seeded data set of the shapes of CIFAR, for demos and tests: learnable, not trivial, nothing to download.

Every class owns a smooth coloured pattern. An image is its class's pattern, shifted by a few pixels and scaled,
under the weaker pattern of another class (sometimes the stronger one: such an image cannot be told), plus noise.
All of it is integer arithmetic on the legacy generator of NumPy, whose stream is frozen: the bytes are the same
on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipscope.data.dataset import ImageSet, Split

SIZES: dict[str, int] = {"train": 5000, "test": 1000}
CLASS_COUNTS = {"synthetic": 10, "synthetic100": 100}

SEED = 20220
CELLS, PIXELS = 4, 8
"""A pattern is drawn on a periodic grid of 4x4 cells, each 8 pixels wide."""

LARGEST_SHIFT = 5

Integers = NDArray[np.int16]


def synthetic(name: str, split: Split) -> ImageSet:
    """One split of ``"synthetic"`` (10 classes) or ``"synthetic100"`` (100 classes): 5,000 and 1,000 images.

    Raises:
        KeyError: another name.
    """
    classes = CLASS_COUNTS[name]
    n = SIZES[split]
    patterns = smooth_patterns(classes, np.random.RandomState(SEED + classes))
    random = np.random.RandomState(SEED + classes + (1 if split == "train" else 2))
    labels = random.permutation(np.arange(n) % classes).astype(np.int64)
    others = (labels + random.randint(1, classes, n, np.int64)) % classes
    own = shifted(patterns[labels], random) * random.randint(6, 13, (n, 1, 1, 1), np.int64).astype(np.int16)
    other = shifted(patterns[others], random) * random.randint(0, 9, (n, 1, 1, 1), np.int64).astype(np.int16)
    noise = np.frombuffer(random.bytes(own.size), np.int8).reshape(own.shape)
    images = 128 + (own + other) // 16 + noise // 2
    return ImageSet(
        name=name,
        split=split,
        images=np.clip(images, 0, 255).astype(np.uint8),
        labels=labels,
        classes=synthetic_classes(name),
        source="seeded, generated",
    )


def synthetic_classes(name: str) -> tuple[str, ...]:
    """The names of the classes."""
    return tuple(f"pattern {number}" for number in range(CLASS_COUNTS[name]))


def smooth_patterns(count: int, random: np.random.RandomState) -> Integers:
    """Patterns (count, 3, 32, 32) in [-64, 64]: bilinear between random values on a periodic grid."""
    corners = random.randint(-64, 65, (count, 3, CELLS, CELLS), np.int64).astype(np.int16)
    for axis in (2, 3):
        weight = np.arange(PIXELS, dtype=np.int16).reshape([PIXELS if a == axis + 1 else 1 for a in range(5)])
        left, right = np.expand_dims(corners, axis + 1), np.expand_dims(np.roll(corners, -1, axis), axis + 1)
        fine = (left * (PIXELS - weight) + right * weight) // PIXELS
        corners = fine.reshape(*corners.shape[:axis], CELLS * PIXELS, *corners.shape[axis + 1 :])
    return corners


def shifted(patterns: Integers, random: np.random.RandomState) -> Integers:
    """Each pattern of (n, 3, 32, 32) rolled by up to five pixels either way."""
    side = CELLS * PIXELS
    rows, columns = (
        (np.arange(side) + random.randint(-LARGEST_SHIFT, LARGEST_SHIFT + 1, (len(patterns), 1), np.int64)) % side
        for _ in range(2)
    )
    number = np.arange(len(patterns))[:, None, None, None]
    channel = np.arange(3)[None, :, None, None]
    rolled: Integers = patterns[number, channel, rows[:, None, :, None], columns[:, None, None, :]]
    return rolled
