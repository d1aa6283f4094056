"""Networks built from the tensors of any safetensors file and a description of how they are connected."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lipscope.errors import CheckpointError, UsageError
from lipscope.files.checkpoint import Header, read_header, sha256_of
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.residual import Residual
from lipscope.models.description import Description, Entry, read_description
from lipscope.models.kinds import build_layer
from lipscope.models.network import LayerStack

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float32, "BF16": torch.float32}
"""What stored numbers become, exactly."""


@dataclass(frozen=True)
class DescribedModel:
    """A network that a file and a description make together.

    Args:
        net: in eval mode, without gradients; weights in float32, or float64 where the file has that.
        description: what it was built from.
        sha256: of the file's bytes.
        unused: the tensors of the file that no layer uses.
    """

    net: LayerStack
    description: Description
    sha256: str
    unused: tuple[str, ...]


class FileTensors:
    """The tensors of a file, read one by one, remembering which were used.

    Args:
        header: of the file, or of all its shards.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._infos = {info.name: info for info in header.tensors}
        self._used: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether the file holds a tensor of that name."""
        return name in self._infos

    def get(self, name: str) -> Tensor:
        """The tensor.

        Raises:
            CheckpointError: missing, not of floats, or not finite.
        """
        where = str(self._header.path)
        info = self._infos.get(name)
        if info is None:
            near = difflib.get_close_matches(name[:200], [known[:200] for known in list(self._infos)[:10_000]], 3)
            raise CheckpointError(
                f"tensor {name[:80]!r} is missing", where=where, why="the description names it",
                next_step=f"the file has {', '.join(near)[:200]}" if near else "see docs/describe.md",
            )  # fmt: skip
        if info.dtype not in DTYPES:
            raise CheckpointError(f"tensor {name[:80]!r} is {info.dtype[:20]}, not of floats", where=where)
        try:
            with safe_open(self._header.file_of(name), framework="pt") as file:
                value: Tensor = file.get_tensor(name).to(DTYPES[info.dtype])
        except SafetensorError as error:
            raise CheckpointError("not a safetensors file", where=where, why=str(error)[:200]) from error
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"tensor {name[:80]!r} holds NaN or infinite values", where=where)
        self._used.add(name)
        return value

    def unused(self) -> tuple[str, ...]:
        """The names that were never asked for, in the order of the file."""
        return tuple(name for name in self._infos if name not in self._used)


def load_described(path: Path, description: Path) -> DescribedModel:
    """Build the network that a description makes of a file's tensors.

    Raises:
        UsageError: a description that cannot be, or layers whose shapes do not fit together.
        CheckpointError: a damaged file, or tensors that are missing or do not fit.
    """
    header, digest = read_header(path), sha256_of(path)
    described = read_description(description)
    tensors = FileTensors(header)
    stack: list[tuple[str, LipschitzLayer]] = []
    shape = described.input_shape
    for position, entry in enumerate(described.entries):
        if entry.kind == "normalize" and position:
            raise UsageError("normalize can only come first", where=entry.where, why="it acts on the pixels")
        layer = build_layer(entry, tensors)
        shape = _after(entry, layer, shape)
        stack.append((entry.name, layer))
    _check_names(stack, str(description))
    net = LayerStack(stack, described.input_shape)
    net.eval().requires_grad_(False)
    if sha256_of(path) != digest:
        raise CheckpointError("the file changed while it was read", where=str(path), next_step="run it again")
    return DescribedModel(net, described, digest, tensors.unused())


def _after(entry: Entry, layer: LipschitzLayer, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return layer.output_shape(shape)
    except ValueError as error:
        raise UsageError(f"does not fit its input {shape}", where=entry.where, why=str(error)[:200]) from error


def _check_names(stack: list[tuple[str, LipschitzLayer]], where: str) -> None:
    seen: set[str] = set()
    waiting = list(stack)
    while waiting:
        name, layer = waiting.pop()
        if name in seen:
            raise UsageError(f"two layers are called {name[:80]!r}", where=where)
        seen.add(name)
        if isinstance(layer, Residual):
            waiting += [*layer.branch("main"), *layer.branch("shortcut")]
