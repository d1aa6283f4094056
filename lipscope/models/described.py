"""Networks built from the tensors of any safetensors file and a description of how they are connected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipscope.errors import CheckpointError, UsageError
from lipscope.files.checkpoint import Header, read_header, sha256_of
from lipscope.files.kind import require_model
from lipscope.ground import check_ground
from lipscope.layers.block import Block
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.heads import Head, LinearHead, Outputs
from lipscope.layers.linear import Linear
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.composition import LipschitzNet
from lipscope.models.description import LARGEST_INPUT, Description, Entry, parse_description, read_description
from lipscope.models.kinds import Tensors, build_layer
from lipscope.models.network import LayerStack
from lipscope.models.scales import scales_of
from lipscope.models.tensors import DTYPES, read_tensor


@dataclass(frozen=True)
class DescribedModel:
    """A network that a file and a description make together.

    Args:
        net: in eval mode, without gradients; weights in float32, or in float64 where the file has that, or scales.
        description: what it was built from.
        sha256: of the file's bytes.
        header: what the file says of itself.
        unused: the tensors of the file that no layer uses.
    """

    net: LayerStack
    description: Description
    sha256: str
    header: Header
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
            CheckpointError: missing, not of floats, empty, or not finite.
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
        if not info.size:
            raise CheckpointError(f"tensor {name[:80]!r} is empty", where=where)
        value = read_tensor(self._header, info)
        scales = scales_of(self._infos, info)
        if isinstance(scales, str):
            raise CheckpointError(f"tensor {name[:80]!r} cannot be used", where=where, why=scales)
        if scales is not None:
            value = scales.applied(value, read_tensor(self._header, self._infos[scales.name]))
            self._used.add(scales.name)
        elif info.dtype != "F64":
            value = value.float()
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
        CheckFailedError: the arithmetic is not IEEE's: numbers would be lost in loading.
    """
    check_ground()
    header, digest = read_header(path), sha256_of(path)
    require_model(header)
    described = read_description(description)
    tensors = FileTensors(header)
    stack = _stack(described, tensors, str(description))
    net = LayerStack(stack, described.input_shape)
    net.eval().requires_grad_(False)
    if sha256_of(path) != digest:
        raise CheckpointError("the file changed while it was read", where=str(path), next_step="run it again")
    return DescribedModel(net, described, digest, header, tensors.unused())


def _stack(described: Description, tensors: Tensors, where: str) -> list[tuple[str, LipschitzLayer]]:
    stack: list[tuple[str, LipschitzLayer]] = []
    shape = described.input_shape
    for position, entry in enumerate(described.entries):
        if entry.kind == "normalize" and position:
            raise UsageError("normalize can only come first", where=entry.where, why="it acts on the pixels")
        layer = build_layer(entry, tensors)
        shape = _after(entry, layer, shape)
        stack.append((entry.name, layer))
    _check_names(stack, where)
    return stack


class DescribedNet(LipschitzNet):
    """The network of a file that describes itself; its layers may have any names."""

    def __init__(
        self,
        normalize: Normalize,
        body: list[tuple[str, LipschitzLayer]],
        head: Head,
        input_shape: tuple[int, ...],
        one_lipschitz: bool = False,
    ) -> None:
        super().__init__(normalize, [], head, input_shape, one_lipschitz)
        self._body_names = tuple(name for name, _ in body)
        self.stack = nn.ModuleList(layer for _, layer in body)
        # Proofs are told apart by name: the author's names come first.
        taken = set(_names_of(body))
        self.ends = (_free("normalize", taken), _free("head", taken))

    def body(self) -> Iterator[tuple[str, LipschitzLayer]]:
        """The layers between normalisation and head, in forward order, by name."""
        for name, layer in zip(self._body_names, self.stack, strict=True):
            assert isinstance(layer, LipschitzLayer)
            yield name, layer


def net_of(stack: list[tuple[str, LipschitzLayer]], input_shape: tuple[int, ...]) -> DescribedNet:
    """The last linear layer is the head, the rest counts in L.

    Without a last linear layer the outputs themselves are the logits; without a ``normalize`` pixels enter as they are.

    Args:
        stack: (name, layer) in forward order.
        input_shape: of one input, without the batch.
    """
    first, last = stack[0][1], stack[-1][1]
    channels = input_shape[0]
    normalize = first if isinstance(first, Normalize) else Normalize((0.0,) * channels, (1.0,) * channels)
    body = stack[1:] if isinstance(first, Normalize) else stack
    before = shape = input_shape
    for _, layer in body:
        before, shape = shape, layer.output_shape(shape)
    if body and isinstance(last, Linear) and len(before) == 1:
        return DescribedNet(normalize, body[:-1], LinearHead.of(last), input_shape)
    if len(shape) > 1:
        body = [*body, (_free("outputs", set(_names_of(body))), Flatten())]
    return DescribedNet(normalize, body, Outputs(math.prod(shape)), input_shape)


@dataclass(frozen=True)
class HeldTensors:
    """Tensors in memory, remembering which were used.

    Args:
        values: by name.
        where: the file, for messages.
        used: the names that were asked for.
    """

    values: Mapping[str, Tensor]
    where: str
    used: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self.values

    def get(self, name: str) -> Tensor:
        """The tensor.

        Raises:
            CheckpointError: missing, not float32, empty, or not finite.
        """
        value = self.values.get(name)
        if value is None:
            raise CheckpointError(f"tensor {name[:80]!r} is missing", where=self.where, why="the description names it")
        if value.dtype != torch.float32:
            raise CheckpointError(f"tensor {name[:80]!r} is {value.dtype}, not float32", where=self.where)
        if not value.numel():
            raise CheckpointError(f"tensor {name[:80]!r} is empty", where=self.where)
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"tensor {name[:80]!r} holds NaN or infinite values", where=self.where)
        self.used.add(name)
        return value


def described_net(content: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> DescribedNet:
    """The network that a file's own description makes of its tensors, in eval mode and without gradients.

    Args:
        content: the object under ``lipscope.describe``.
        tensors: of the file, all of them.
        where: the file, for messages.

    Raises:
        CheckpointError: a description that cannot be, tensors that do not fit it, or that nothing uses.
    """
    held = HeldTensors(tensors, where)
    try:
        described = parse_description(content, f"{where}: lipscope.describe")
        net = net_of(_stack(described, held, where), described.input_shape)
    except RecursionError as error:
        raise CheckpointError("blocks within blocks without end", where=f"{where}: lipscope.describe") from error
    except UsageError as error:
        raise CheckpointError(error.what, where=error.where, why=error.why, next_step=error.next_step) from error
    unused = sorted(set(tensors) - held.used)
    if unused:
        raise CheckpointError(f"unexpected tensor {unused[0][:80]!r}", where=where, why="no layer uses it")
    net.eval().requires_grad_(False)
    return net


def _after(entry: Entry, layer: LipschitzLayer, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        after = layer.output_shape(shape)
        if math.prod(after) > LARGEST_INPUT:
            raise UsageError("makes too many numbers of an input", where=entry.where, why=f"{after}")
        return after
    except ValueError as error:
        raise UsageError(f"does not fit its input {shape}", where=entry.where, why=str(error)[:200]) from error


def _check_names(stack: list[tuple[str, LipschitzLayer]], where: str) -> None:
    seen: set[str] = set()
    for name in _names_of(stack):
        if name in seen:
            raise UsageError(f"two layers are called {name[:80]!r}", where=where)
        seen.add(name)


def _names_of(stack: list[tuple[str, LipschitzLayer]]) -> Iterator[str]:
    """Of all layers, those inside others too."""
    waiting = list(stack)
    while waiting:
        name, layer = waiting.pop()
        yield name
        if isinstance(layer, Block):
            waiting += layer.named_parts()


def _free(name: str, taken: set[str]) -> str:
    """The name, with underscores behind it where a layer has it already."""
    while name in taken:
        name += "_"
    return name
