"""Safe reading of the .pth files that the paper's published code writes: tensors only, no pickled code."""

from __future__ import annotations

import math
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.files.foreign import PICKLE, START, TORCH_ZIP, foreign
from lipscope.files.opening import open_regular
from lipscope.models.published.unwrapping import StateDict, unwrap

DAMAGE = (
    RuntimeError, EOFError, ValueError, OSError, LookupError, AttributeError, TypeError, AssertionError, OverflowError,
    MemoryError, struct.error, zipfile.BadZipFile, NotImplementedError,
)  # fmt: skip
"""What torch's unpickler raises on damaged bytes, found by damaging them."""

SAVE = "in the code that wrote it: torch.save(model.state_dict(), 'best.pth')"

CLASS = re.compile(r"(?:GLOBAL|global|class) [`']?([A-Za-z_][\w.]{0,120})")
"""The class that torch names when it refuses to make an object of it."""

SHARED = 4
"""How often tensors may share their bytes before they are refused: a file of 1 KB can name 20 GB of one number."""


def load_published(path: Path, key: str | None = None) -> StateDict:
    """The tensors of a .pth file, read without running pickled code, unwrapped.

    Args:
        path: the file.
        key: which state dict, where the file holds several.

    Raises:
        CheckpointError: missing, damaged, of another format, pickled code in it, or no state dict.
        UsageError: no state dict at ``key``.
    """
    where = str(path)
    if not path.exists():
        raise CheckpointError("no such file", where=where, next_step="check the path")
    if path.is_dir():
        raise CheckpointError("is a folder, not a checkpoint", where=where, next_step="name the .pth file inside it")
    _check_kind(path)
    state = unwrap(_content(path), where, key)
    _check_sizes(state, path)
    for name, value in state.tensors.items():
        finite = torch.isfinite(value.float() if value.itemsize == 1 else value)  # not there for eight bits
        if not bool(finite.all()):
            raise CheckpointError(f"tensor {name[:80]!r} holds NaN or infinite values", where=where)
    return state


def _check_kind(path: Path) -> None:
    """Only what torch.save writes is given to torch, and nothing that unpacks to more than it weighs.

    Raises:
        CheckpointError: another format, by its name; compressed entries.
    """
    where = str(path)
    try:
        with open_regular(path) as file:
            start = file.read(START)
    except OSError as error:
        raise CheckpointError("cannot be read", where=where, why=error) from error
    if not start:
        raise CheckpointError("the file is empty", where=where, next_step="copy or download it again")
    kind = foreign(path, start)
    if kind is not None and kind not in (PICKLE, TORCH_ZIP):
        raise CheckpointError(f"is {kind.name}", where=where, next_step=kind.next_step)
    if path.name.endswith((".safetensors", ".safetensors.index.json")):
        raise CheckpointError(
            "is a safetensors file already", where=where, next_step="`lipscope inspect` reads it as it is"
        )
    if kind is TORCH_ZIP:
        with zipfile.ZipFile(path) as archive:
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
        if packed:
            raise CheckpointError(
                "its entries are compressed", where=where, why="torch.save writes none", next_step=SAVE
            )


def _content(path: Path) -> Any:
    """What the file holds: tensors, numbers and texts in lists and mappings.

    Raises:
        CheckpointError: pickled code in it, or damage.
    """
    where = str(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalars()):
            # It warns of unusual pickle protocols, and of other formats, which are refused by name.
            warnings.simplefilter("ignore")
            with open_regular(path) as file:
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message recommends to let pickled code run.
        named = CLASS.search(str(error))
        if named is None:
            raise CheckpointError(
                "damaged, or refused: only tensors are read, no pickled code", where=where, next_step=SAVE
            ) from error
        raise CheckpointError(
            "refused: only tensors are read, no pickled code", where=where,
            why=f"it holds an object of class {named[1]}, as a whole pickled model or its options do", next_step=SAVE,
        ) from error  # fmt: skip
    except DAMAGE as error:
        raise CheckpointError(
            "not a file that torch.save wrote, or damaged", where=where, why=_reason(error),
            next_step="copy or download it again",
        ) from error  # fmt: skip


def _reason(error: Exception) -> str:
    """The first line of torch's message, but for its advice."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return "torch cannot read it" if "weights_only" in text else text


def _numpy_scalars() -> list[Any]:
    """What numpy's numbers are pickled as, by the names of old and new versions; none of them runs code."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(code)) for code in "?bhilqBHILQefdg"]
    return [np.dtype, *kinds, *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core"))]


def _check_sizes(state: StateDict, path: Path) -> None:
    """A tensor is a view that says its own size; nothing of that size is allocated before the file is seen to hold it.

    Raises:
        CheckpointError: tensors larger than the file.
    """
    held, total = path.stat().st_size, 0
    for name, value in state.tensors.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise CheckpointError(
                f"tensor {name[:80]!r} is not stored as plain numbers", where=str(path), next_step=SAVE
            )
        size = math.prod(value.shape) * value.element_size()
        total += size
        if size > held:
            raise CheckpointError(
                f"tensor {name[:80]!r} is larger than the file", where=str(path),
                why=f"{size:,} bytes of {value.untyped_storage().nbytes():,} stored ones, in a file of {held:,}",
                next_step="save it with .contiguous()",
            )  # fmt: skip
        if total > SHARED * held:
            raise CheckpointError(
                f"its tensors are more than {SHARED} times as large as the file", where=str(path),
                why=f"{held:,} bytes", next_step="save each tensor with .contiguous()",
            )  # fmt: skip


def stored_tensor(tensors: Mapping[str, Tensor], name: str, where: str) -> Tensor:
    """The tensor of this name, in float32.

    Raises:
        CheckpointError: there is none.
    """
    if name not in tensors:
        raise CheckpointError(f"tensor {name} is missing", where=where, why="the published code writes it")
    return tensors[name].float()
