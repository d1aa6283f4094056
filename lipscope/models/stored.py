"""Models to files and back: the bytes of the file are all that evaluation needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parsed
from safetensors.torch import save
from torch import Tensor

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import Header, atomic_path, metadata_for, opened, with_sorted_metadata
from lipscope.files.kind import require_model
from lipscope.ground import check_ground
from lipscope.models.composition import LipschitzNet
from lipscope.models.described import described_net
from lipscope.models.registry import build


@dataclass(frozen=True)
class StoredModel:
    """A model read from a file.

    Args:
        net: in eval mode, float32, without gradients.
        header: what the file says of itself.
        sha256: of the very bytes that the weights were read from.
    """

    net: LipschitzNet
    header: Header
    sha256: str


def save_model(net: LipschitzNet, path: Path, config: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Write a frozen model (no parametrisations) with its configuration, atomically.

    Raises:
        LipscopeError: a weight is not finite, the place cannot be written to, or the disk is full.
    """
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in net.state_dict().items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise LipscopeError(
                "the model was not written", where=str(path), why=f"tensor {name} holds NaN or infinite values",
                next_step="a training that diverged? lower --lr",
            )  # fmt: skip
    with atomic_path(path) as temporary:
        temporary.write_bytes(with_sorted_metadata(save(tensors, metadata_for(config, training))))


def load_model(path: Path) -> StoredModel:
    """Read a lipscope checkpoint.

    Raises:
        CheckpointError: as :func:`lipscope.files.checkpoint.read_header`; not one of lipscope's; tensors that do not
            fit the architecture; values that are not finite.
        CheckFailedError: the arithmetic is not IEEE's: numbers would be lost in loading.
    """
    found = read_model(path)
    if isinstance(found, Header):
        raise CheckpointError(
            "not a lipscope checkpoint",
            where=str(path),
            why="no lipscope.schema in its metadata",
            next_step="`lipscope inspect` still analyses its tensors; `lipscope convert` imports published .pth files",
        )
    return found


def read_model(path: Path) -> StoredModel | Header:
    """The model of a lipscope checkpoint; of any other safetensors file only what its header says.

    The file is opened once: header, tensors and SHA-256 are of the same bytes.

    Raises:
        CheckpointError, CheckFailedError: as :func:`load_model`.
    """
    check_ground()
    where = str(path)
    with opened(path) as (header, whole):
        require_model(header)
        if header.config is None:
            return header
        content = whole()
    try:
        tensors = parsed(content)
    except (SafetensorError, KeyError) as error:
        raise CheckpointError("not a safetensors file", where=where, why=str(error)[:200]) from error
    if header.describes_itself:
        described = described_net(header.config, tensors, where)
        return StoredModel(described, header, hashlib.sha256(content).hexdigest())
    # A configuration costs nothing to state: nothing of its size is allocated before the tensors are seen to fit.
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in build(header.config, where).state_dict().items()}
    _check_tensors(tensors, expected, where)
    net = build(header.config, where)
    net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    net.eval().requires_grad_(False)
    return StoredModel(net, header, hashlib.sha256(content).hexdigest())


def load(path: str | Path) -> LipschitzNet:
    """The network of a file, an ``nn.Module`` whose ``bounds()`` and ``lipschitz_bound()`` are proved.

    Raises:
        CheckpointError: as :func:`load_model`.
    """
    return load_model(Path(path)).net


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, torch.Size], where: str) -> None:
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or extra:
        what = f"tensor {missing[0]} is missing" if missing else f"unexpected tensor {extra[0][:80]!r}"
        raise CheckpointError(what, where=where, why="the configuration describes another model")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name]:
            raise CheckpointError(
                f"tensor {name} has the wrong shape",
                where=where,
                why=f"{tuple(tensor.shape)}, but the configuration needs {tuple(expected[name])}",
            )
        if tensor.dtype != torch.float32:
            raise CheckpointError(f"tensor {name} is {tensor.dtype}, not float32", where=where)
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"tensor {name} holds NaN or infinite values",
                where=where,
                why=f"{int((~torch.isfinite(tensor)).sum())} of {tensor.numel()}",
                next_step="a training that diverged? nothing can be certified about it",
            )
