"""Safe reading of the .pth files that the paper's published code writes: tensors only, no pickled code."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.files.opening import open_regular

WRAPPERS = ("state_dict", "model", "net")
"""Keys under which training scripts put a state dict beside other things."""

DAMAGE = (
    RuntimeError, EOFError, ValueError, OSError, LookupError, AttributeError, TypeError, AssertionError, OverflowError,
    MemoryError, struct.error,
)  # fmt: skip
"""What torch's unpickler raises on damaged bytes, found by damaging them."""


def load_published(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file, read without running pickled code, ``module.`` prefixes dropped.

    Raises:
        CheckpointError: missing, damaged, pickled code in it, or no state dict.
    """
    where = str(path)
    if not path.exists():
        raise CheckpointError("no such file", where=where, next_step="check the path")
    if path.is_dir():
        raise CheckpointError("is a folder, not a checkpoint", where=where)
    try:
        with open_regular(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "refused or damaged: only tensors are read, no pickled code",
            where=where,
            why=str(error).strip().splitlines()[0][:200],
            next_step="save model.state_dict() instead of the model",
        ) from error
    except DAMAGE as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError("not a file that torch.save wrote, or damaged", where=where, why=why) from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError("holds no state dict", where=where)
    tensors = {str(name).removeprefix("module."): value for name, value in content.items()}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise CheckpointError("holds no state dict", where=where, why=f"{name[:80]!r} is not a tensor")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"tensor {name[:80]!r} holds NaN or infinite values", where=where)
    return tensors


def stored_tensor(tensors: Mapping[str, Tensor], name: str, where: str) -> Tensor:
    """The tensor of this name, in float32.

    Raises:
        CheckpointError: there is none.
    """
    if name not in tensors:
        raise CheckpointError(f"tensor {name} is missing", where=where, why="the published code writes it")
    return tensors[name].float()
