"""A data set by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lipscope.data.archive import read_archive
from lipscope.data.binary import class_names, read_folder
from lipscope.data.dataset import ImageSet, Split
from lipscope.data.locate import Located, find, not_found
from lipscope.data.pickles import read_pickled_folder
from lipscope.data.releases import RELEASES, Release
from lipscope.data.synthetic import CLASS_COUNTS, synthetic, synthetic_classes
from lipscope.errors import UsageError

DATASETS: tuple[str, ...] = (*RELEASES, *CLASS_COUNTS)
"""The names that ``load`` knows."""


def load(name: str, split: Split, data_dir: Path | None = None, releases: Mapping[str, Release] = RELEASES) -> ImageSet:
    """One split of a data set, in memory.

    Args:
        name: one of ``DATASETS``.
        split: ``"train"`` or ``"test"``.
        data_dir: searched before ``LIPSCOPE_DATA`` and the cache folder.
        releases: the real data sets that are known.

    Raises:
        UsageError: an unknown name or split.
        DataError: not found, damaged, or not what its checksum says.

    >>> load("synthetic", "test").images.shape
    (1000, 3, 32, 32)
    """
    if split not in ("train", "test"):
        raise UsageError(f"unknown split {split!r}", next_step="use train or test")
    if name in CLASS_COUNTS:
        return synthetic(name, split)
    if name not in releases:
        known = ", ".join([*releases, *CLASS_COUNTS])
        raise UsageError(f"unknown data set {name!r}", next_step=f"use one of {known}")
    place = find(name, data_dir, releases)
    if place is None:
        raise not_found(releases[name], data_dir)
    return load_from(place, split)


def classes_of(name: str, releases: Mapping[str, Release] = RELEASES) -> tuple[str, ...]:
    """The class names of a data set that need not be here; none where the name is unknown.

    >>> classes_of("cifar10")[3], classes_of("synthetic")[3], classes_of("another")
    ('cat', 'pattern 3', ())
    """
    if name in CLASS_COUNTS:
        return synthetic_classes(name)
    return releases[name].classes if name in releases else ()


def load_from(place: Located, split: Split) -> ImageSet:
    """One split of a data set that was found.

    Raises:
        DataError: damaged, or not what its checksum says.
    """
    release, classes = place.release, place.release.classes
    if place.packing == "archive":
        images, labels = read_archive(place.path, place.form, release, split)
    elif place.form.kind == "python":
        images, labels = read_pickled_folder(place.path, release, split)
    else:
        images, labels = read_folder(place.path, release, split)
        classes = class_names(place.path, release)
    return ImageSet(release.name, split, images, labels, classes, str(place.path))
