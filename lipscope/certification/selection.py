"""Which images a certification is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipscope.data import ImageSet, classes_of, load
from lipscope.errors import DataError, UsageError, typed
from lipscope.files.results import results_path
from lipscope.models.stored import StoredModel
from lipscope.processes.world import World


@dataclass(frozen=True)
class Request:
    """What is asked of every model.

    Args:
        dataset: instead of the model's own.
        train_set: certify the training images.
        images: certify the images of this folder.
        size: the side of the squares that they are cut and resized to; None to take them as they are.
        limit, indices: which records; at most one of them.
        logits: the logits are wanted, which no results file holds.
        fast: estimates are enough; they are not kept.
        batch_size: images at a time; None for what suits.
        force: compute anew.
        device: a torch device; None for a GPU where there is one.
        data_dir: searched first.
        keep: the folder for results and progress; None for the model's.
        no_keep: keep neither, and answer from neither.
        world: the processes that share the work; None for this one alone.
    """

    dataset: str | None = None
    train_set: bool = False
    images: Path | None = None
    size: int | None = None
    limit: int | None = None
    indices: str | None = None
    logits: bool = False
    fast: bool = False
    batch_size: int | None = None
    force: bool = False
    device: str | None = None
    data_dir: Path | None = None
    keep: Path | None = None
    no_keep: bool = False
    world: World | None = None


@dataclass(frozen=True)
class Chosen:
    """The images that a request means.

    Args:
        data: these and no others.
        index: (n,) their record numbers.
        whole: whether they are all of their data set.
        kept: whether their results are *the* results of the model: its own test set, whole.
        files: by record number, for a folder.
    """

    data: ImageSet
    index: NDArray[np.int64]
    whole: bool
    kept: bool
    files: tuple[str, ...] = ()


def choose(stored: StoredModel, request: Request, note: Callable[[str], None]) -> Chosen:
    """The images of the request; the note says what a person should know about them.

    Raises:
        LipscopeError: they are not there, damaged, or numbered otherwise.
    """
    own = str((stored.header.config or {}).get("dataset", ""))
    name = request.dataset or own
    files: tuple[str, ...] = ()
    if request.images is not None:
        data, files = _folder(request.images, stored, own, note, request.size)
    else:
        split: Literal["train", "test"] = "train" if request.train_set else "test"
        data = load_for(stored.header.path, name or own_dataset(stored), split, request.data_dir)
    index = selection(len(data), request.limit, request.indices)
    whole = len(index) == len(data) and request.indices is None
    own_test = request.images is None and not request.train_set and name == own
    if whole and not own_test and not request.fast and not request.no_keep:
        about = f"its own data set, {own}" if name != own else f"the test images of {own}"
        note(f"not kept: the results file beside the model is for {about}")
    return Chosen(data if whole else data.subset(index), index, whole, whole and own_test, files)


def load_for(model: Path, name: str, split: Literal["train", "test"], data_dir: Path | None) -> ImageSet:
    """A data set; where it is missing, what was computed with it earlier is pointed to.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        return load(name, split, data_dir)
    except DataError as error:
        if not results_path(model).is_file():
            raise
        step = f"{error.next_step}; the kept results need no images: {typed('inspect', model)} shows them"
        raise DataError(error.what, where=error.where, why=error.why, next_step=step) from error


def own_dataset(stored: StoredModel) -> str:
    """The data set that the file says it is for.

    Raises:
        UsageError: it says none.
    """
    name = str((stored.header.config or {}).get("dataset", ""))
    if not name:
        raise UsageError(
            "names no data set of its own", where=str(stored.header.path),
            next_step="`lipscope certify` takes --dataset or --images; lipscope.save(..., dataset=) keeps it",
        )  # fmt: skip
    return name


def selection(count: int, limit: int | None, indices: str | None) -> NDArray[np.int64]:
    """The record numbers that are certified.

    Raises:
        UsageError: not a list of numbers, one twice, or one that is no record.
    """
    if indices is None:
        return np.arange(min(limit or count, count))
    try:
        chosen = np.array([int(part) for part in indices.split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise UsageError("not a list of numbers", where=f"--indices {indices}", next_step="e.g. 3,17,42") from error
    if len(np.unique(chosen)) < len(chosen):
        raise UsageError("a record number is listed twice", where=f"--indices {indices}")
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise UsageError(f"no record {outside[0]}", where="--indices", why=f"the records are 0 to {count - 1}")
    return chosen


def _folder(
    folder: Path, stored: StoredModel, own: str, note: Callable[[str], None], size: int | None
) -> tuple[ImageSet, tuple[str, ...]]:
    from lipscope.data.folder import read_images

    count = stored.net.head.classes
    described = (stored.header.config or {}).get("classes")
    names = tuple(described) if isinstance(described, list) else classes_of(own)
    classes = names if len(names) == count else tuple(map(str, range(count)))
    shape = stored.net.input_shape
    if size is not None and shape[1:] != (size, size):
        raise UsageError(f"--size {size} is not the model's", why=f"it takes {'x'.join(map(str, shape))}")
    found = read_images(folder, shape, classes, resized=size is not None)
    if size is not None:
        note(f"radii are those of the resized images: the middle square of each, at {size}x{size} pixels")
    if found.ignored:
        note(f"left out, as neither PNG nor JPEG: {_some(found.ignored)}")
    if found.turned:
        note(f"turned as their EXIF orientation says: {_some(found.turned)}")
    if not found.data.labelled:
        reason = f"{found.unknown[0]!r} is no class" if found.unknown else "they lie in no subfolders"
        note(f"the images have no labels ({reason}): radii and predictions, no accuracy")
    return found.data, found.files


def _some(names: Sequence[str]) -> str:
    """One by its name, more by their number and the first.

    >>> _some(["a.png"]), _some(["a.png", "b.png"])
    ('a.png', '2, e.g. a.png')
    """
    return names[0] if len(names) == 1 else f"{len(names)}, e.g. {names[0]}"
