"""Images as people have them: a data set by name, arrays, or a ``torch.utils.data.Dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipscope.data import ImageSet, Split, load
from lipscope.errors import DataError, UsageError
from lipscope.visible import counted

GIVEN = "given in Python"
"""The source of images that came as arrays."""

OFF = 1e-3
"""How far 255 times a float may be from a whole number."""


def image_set(data: Any, *, split: Split = "test", limit: int | None = None, data_dir: Path | None = None) -> ImageSet:
    """The images and labels that ``data`` stands for.

    Args:
        data: a name (``"cifar10"``); an :class:`ImageSet`; a pair (images, labels) of arrays or tensors; or a data set
            whose items are such pairs. Images are (C, H, W), (H, W, C) or PIL pictures, or of any shape
            that the model takes; bytes, or floats k / 255.
        split: of a data set by name.
        limit: only the first so many.
        data_dir: where to look for a data set by name first.

    Raises:
        DataError: no images, of different sizes, or floats that no byte stands for.
        UsageError: none of the above.
    """
    if isinstance(data, str):
        found = load(data, split, data_dir)
    elif isinstance(data, ImageSet):
        found = data
    else:
        found = _collected(data, limit)
    return found if limit is None or limit >= len(found) else found.subset(range(limit))


def _collected(data: Any, limit: int | None) -> ImageSet:
    classes: tuple[str, ...] = ()
    if isinstance(data, tuple) and len(data) == 2:
        pictures, given = _bytes(data[0], batched=True), np.asarray(data[1]).astype(np.int64).reshape(-1)
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        items = [data[number] for number in range(min(len(data), limit or len(data)))]
        if not items or not all(isinstance(item, (tuple, list)) and len(item) >= 2 for item in items):
            raise UsageError("items must be pairs of an image and a label", where="data")
        single = [_bytes(item[0], batched=False) for item in items]
        if len({picture.shape for picture in single}) > 1:
            raise DataError("images of different sizes", where="data", next_step="resize them to the model's input")
        pictures, given = np.stack(single), np.array([int(item[1]) for item in items], dtype=np.int64)
        classes = tuple(getattr(data, "classes", ()))
    else:
        raise UsageError(
            "is no data", where="data", why=f"got {type(data).__name__}",
            next_step="a name such as cifar10, a pair (images, labels), or a torch.utils.data.Dataset",
        )  # fmt: skip
    if len(pictures) != len(given) or not len(given):
        raise DataError(f"{counted(len(pictures), 'image')} and {counted(len(given), 'label')}", where="data")
    names = classes or tuple(str(number) for number in range(int(given.max()) + 1))
    try:
        return ImageSet("data", "images", pictures, given, names, GIVEN)
    except ValueError as error:
        raise DataError("cannot be read as images", where="data", why=str(error)) from error


def _bytes(images: Any, *, batched: bool) -> NDArray[np.uint8]:
    """(..., *shape) uint8 of one image or a batch; a picture as (C, H, W).

    Raises:
        DataError: values that no byte stands for.
    """
    array = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    axes = array.ndim - batched
    if axes not in (1, 2, 3):
        raise DataError(f"inputs of {axes} axes", where="data", next_step="channels, height and width")
    if axes == 3 and array.shape[-3] not in (1, 3) and array.shape[-1] in (1, 3):
        array = np.moveaxis(array, -1, -3)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    scaled = array.astype(np.float64) * 255
    rounded = np.rint(scaled)
    if not array.size or not np.isfinite(scaled).all() or abs(scaled - rounded).max() > OFF:
        raise DataError(
            "pixels that no byte stands for", where="data", why="radii are kept for images of bytes, k / 255 in [0, 1]",
            next_step="pass them before normalisation and augmentation; the model's file has the normalisation",
        )  # fmt: skip
    if rounded.min() < 0 or rounded.max() > 255:
        raise DataError("pixels outside [0, 1]", where="data", next_step="pass them before normalisation")
    return np.ascontiguousarray(rounded.astype(np.uint8))
