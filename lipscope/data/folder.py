"""Images of one's own: a folder of PNG and JPEG files.

Read by Pillow, not by ``torchvision.io``, whose decoders are deprecated since torchvision 0.29 and need torch.
"""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from lipscope.data.dataset import ImageSet
from lipscope.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")

LONGEST_NUMBER = 9
"""Digits of a folder that may be a class."""

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH = 24
"""The byte of a PNG file that says how many bits a sample has."""

MOST_PIXELS = 100_000_000
"""Of an image that is resized."""

TURNED, SIDEWAYS = range(2, 9), range(5, 9)
"""EXIF orientations of images that are not stored upright, and of those that lie on a side."""

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What decoders raise for a damaged file."""


@dataclass(frozen=True)
class Folder:
    """The images of a folder.

    Args:
        data: the images in the order of ``files``, labelled or not.
        files: the path of each inside the folder.
        ignored: files that are neither PNG nor JPEG, by name.
        unknown: names of subfolders that are no classes, for which nothing is labelled.
        turned: files whose EXIF orientation was applied, as every viewer does.
    """

    data: ImageSet
    files: tuple[str, ...]
    ignored: tuple[str, ...]
    unknown: tuple[str, ...]
    turned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """One image.

    Args:
        pixels: (3, height, width) uint8.
        turned: whether its EXIF orientation was applied.
    """

    pixels: NDArray[np.uint8]
    turned: bool


def read_images(folder: Path, shape: tuple[int, ...], classes: Sequence[str], *, resized: bool = False) -> Folder:
    """Every PNG and JPEG file in a folder and its subfolders, in the order of their paths.

    Images in ``folder/NAME/`` are labelled when NAME is a class's name, in capitals or not, or its number; either all
    images are, or none is. Pixels are taken as stored, turned as EXIF says: no colour management, resized only if
    asked to.

    Args:
        folder: the folder.
        shape: (3, height, width) that every image must have.
        classes: the name of each class.
        resized: take the middle of every image that has the shape's proportions, resized to it (bilinear, by Pillow).

    Raises:
        DataError: no such folder or no images in it; a file that is unreadable, of another size, or not of 8
            bits in the model's channels, three or one; a number that is no class; only some images with a label.
    """
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder), next_step="name a folder of PNG or JPEG files")
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError("the model takes no pictures", where=str(folder), why=f"its input has the shape {shape}")
    everything = sorted(path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    found = [path for path in everything if not any(part.startswith(".") for part in path.parts)]
    paths = [path for path in found if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise DataError("no images in it", where=str(folder), why="looked for .png, .jpg and .jpeg files")
    labels, unknown = _labels(folder, paths, classes)
    pictures = [read_image(folder / path, shape, resized=resized) for path in paths]
    images = np.stack([picture.pixels for picture in pictures])
    name, labelled = _shown(folder), bool((labels >= 0).all())
    data = ImageSet(name, "images", images, labels, tuple(classes), name, labelled=labelled)
    ignored = tuple(_shown(path) for path in found if path.suffix.lower() not in SUFFIXES)
    files = tuple(map(_shown, paths))
    turned = tuple(file for file, picture in zip(files, pictures, strict=True) if picture.turned)
    return Folder(data, files, ignored, unknown, turned)


def read_image(path: Path, shape: tuple[int, ...], *, resized: bool = False) -> Picture:
    """The pixels of one file, upright; ``resized`` as in :func:`read_images`.

    Raises:
        DataError: unreadable, of another size, or not of 8 bits in the model's channels, three or one.
    """
    where, (channels, height, width) = str(path), shape
    # A pipe would be waited for.
    if not path.is_file():
        raise DataError("not a file", where=where, why="missing, or a pipe", next_step="take it out of the folder")
    try:
        with warnings.catch_warnings():
            # What it warns of is an image of far too many pixels, which is refused below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG"))
        with image:
            # Looking for EXIF may decode the whole image, so its size comes first.
            fits = image.size in ((width, height), (height, width))
            fits |= resized and math.prod(image.size) <= MOST_PIXELS
            orientation = image.getexif().get(Base.Orientation, 1) if fits else 1
            sides = image.size[::-1] if orientation in SIDEWAYS else image.size
            if not (fits and (resized or sides == (width, height))):
                raise DataError(
                    "an image of another size", where=where,
                    why=f"{sides[0]}x{sides[1]} pixels, the model takes {width}x{height}",
                    next_step="resize it, or take it out of the folder",
                )  # fmt: skip
            mode, wanted = _mode(path, image), "RGB" if channels == 3 else "L"
            if mode != wanted:
                raise DataError(
                    f"not an image of {'three channels' if channels == 3 else 'one channel'} of 8 bits", where=where,
                    why=f"its mode is {mode}", next_step=f"convert it to {wanted}",
                )  # fmt: skip
            upright = ImageOps.exif_transpose(image)
            if resized:
                upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(upright)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise DataError(
            "not a readable PNG or JPEG file", where=where, why=str(error)[:200].replace(where, "it"),
            next_step="replace it, or take it out of the folder",
        ) from error  # fmt: skip
    pixels = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return Picture(np.ascontiguousarray(pixels), orientation in TURNED)


def _mode(path: Path, image: Image.Image) -> str:
    """How the file stores its pixels; the decoder would cut 16 bits to 8 without a word."""
    with path.open("rb") as file:
        start = file.read(PNG_DEPTH + 1)
    if start.startswith(PNG_START) and start[PNG_DEPTH] == 16:
        return f"{image.mode} of 16 bits"
    if "transparency" in image.info:
        return f"{image.mode} with transparency"
    return image.mode


def _shown(path: Path) -> str:
    """The path as text that can be printed and written: names on a disk are bytes, not always UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _labels(folder: Path, paths: Sequence[Path], classes: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class of every path, all -1 without any; and the names of subfolders that are no classes."""
    parents = [path.parts[0] if len(path.parts) > 1 else "" for path in paths]
    numbers = {name: _class(name, classes, folder) for name in dict.fromkeys(parents)}
    none = [name for name, number in numbers.items() if number is None]
    if len(none) == len(numbers):
        return np.full(len(paths), -1, np.int64), tuple(_shown(Path(name)) for name in none if name)
    if none:
        which = f"the subfolder {none[0]!r} is no class" if none[0] else "some lie in no subfolder"
        raise DataError(
            "only some of the images have a label", where=str(folder), why=which,
            next_step=f"name every subfolder after a class ({', '.join(classes[:3])}, ...) or a number, or none",
        )  # fmt: skip
    return np.array([numbers[name] for name in parents], np.int64), ()


def _class(name: str, classes: Sequence[str], folder: Path) -> int | None:
    """The class that a subfolder is named after; None where its name is no class's and no number."""
    if name in classes:
        return list(classes).index(name)
    alike = [number for number, known in enumerate(classes) if known.casefold() == name.casefold()]
    if len(alike) > 1:
        raise DataError(
            "a subfolder could be either of two classes", where=str(folder / name),
            why=" or ".join(repr(classes[number]) for number in alike[:2]), next_step="name it exactly after its class",
        )  # fmt: skip
    if alike:
        return alike[0]
    # As numbers are written, or as wide as the largest: 07 of 100 classes. 00000000003 is no class, and not class 3.
    if not re.fullmatch("0|[1-9][0-9]*", name) and not re.fullmatch(f"[0-9]{{{len(str(len(classes) - 1))}}}", name):
        return None
    if len(name) > LONGEST_NUMBER or int(name) >= len(classes):
        raise DataError(
            "a label is out of range", where=str(folder / name), why=f"classes go from 0 to {len(classes) - 1}",
            next_step="name the subfolder after a class or its number",
        )  # fmt: skip
    return int(name)
