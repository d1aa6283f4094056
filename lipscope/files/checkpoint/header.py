"""The header of one safetensors file: what it says of itself before any tensor is read.

Neither torch nor numpy is needed, so that a screen can be painted before they are imported. The metadata are strings
(``lipscope.config`` and ``lipscope.training`` hold JSON) and claims: nothing here trusts them beyond their form.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from lipscope.errors import CheckpointError
from lipscope.files.foreign import START, foreign
from lipscope.files.keys_once import keys_once
from lipscope.files.opening import IrregularError, open_regular

SCHEMA = "lipscope.checkpoint/1"
SUFFIX = ".safetensors"
LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format itself."""

MOST_TENSORS = 500_000
"""Of one file: their entries take 100 times the bytes of the header in memory."""

MOST_AXES = 64
"""Of one tensor."""

DEEPEST = 3
"""Brackets inside each other: the header, an entry, a shape."""

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1, "F8_E8M0": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header describes it: nothing of its bytes has been read."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offsets: tuple[int, int]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself before any tensor is read.

    Args:
        path: the file.
        file_size: in bytes.
        tensors: in the order of the file's bytes.
        metadata: strings, as stored.
        config: the parsed ``lipscope.config``, or ``lipscope.describe`` where the file describes itself; None where the
            file is not one of lipscope's.
        files: of a sharded checkpoint, the file that holds each tensor; ``path`` is then its index.
        shards: and the header of each of these files.
        stamp: what tells the file from one that was written later; empty of a file that was not opened.
    """

    path: Path
    file_size: int
    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    shards: Mapping[Path, Header] = field(default_factory=dict)
    stamp: tuple[int, ...] = field(default=(), compare=False)

    @property
    def describes_itself(self) -> bool:
        """Whether the layers are described, not an architecture of lipscope's configured."""
        return self.config is not None and "lipscope.describe" in self.metadata

    def part_of(self, name: str) -> Header:
        """The header of the file that holds a tensor."""
        return self.shards[self.files[name]] if self.files else self

    @property
    def parameters(self) -> int:
        """The number of stored elements."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def architecture(self) -> str | None:
        """The name of the architecture that the file claims, if it claims one."""
        return None if self.config is None else str(self.config.get("architecture", ""))

    @property
    def training(self) -> Mapping[str, Any]:
        """The parsed ``lipscope.training``; empty where there is none."""
        return _parse_object(self.metadata.get("lipscope.training", "{}"), "lipscope.training", self.path)


def read_file_header(path: Path) -> Header:
    """Read and check the header of one safetensors file.

    Raises:
        CheckpointError: as :func:`opened_file`.
    """
    with opened_file(path) as (header, _):
        return header


@contextmanager
def opened_file(path: Path) -> Iterator[tuple[Header, Callable[[], bytes]]]:
    """One safetensors file, opened once: its header, checked, and what reads all of its bytes.

    Raises:
        CheckpointError: missing, a folder, empty, truncated, not safetensors, overlapping or overlong
            tensors, or a ``lipscope.schema`` that this version does not know; changed while it was read.
    """
    where = str(path)
    try:
        file_size = path.stat().st_size
        if path.is_dir():
            raise CheckpointError(
                "is a folder, not a checkpoint", where=where, next_step="name the model.safetensors inside it"
            )
        with open_regular(path) as file:
            # Before the header is read: a file that is overwritten meanwhile no longer has this stamp.
            stamp = stamp_of(file.fileno())
            beginning = _beginning(file, path, file_size)
            header = _header(beginning, path, file_size, stamp)

            def content() -> bytes:
                found = beginning + file.read()
                if len(found) != file_size:
                    raise CheckpointError("the file changed while it was read", where=where, next_step="run it again")
                return found

            yield header, content
    except FileNotFoundError as error:
        raise CheckpointError("no such file", where=where, next_step="check the path") from error
    except IrregularError as error:
        raise CheckpointError(
            f"is {error.kind}, not a file", where=where, why="a checkpoint is read more than once",
            next_step="save it to a file first",
        ) from error  # fmt: skip
    except OSError as error:
        raise CheckpointError("cannot be read", where=where, why=error) from error


def _beginning(file: BufferedReader, path: Path, file_size: int) -> bytes:
    """The bytes of the header and of its length."""
    where, beginning = str(path), file.read(START)
    kind = foreign(path, beginning) if beginning[8:9] != b"{" else None
    if kind is not None:
        raise CheckpointError(f"not a safetensors file but {kind.name}", where=where, next_step=kind.next_step)
    start = beginning[:8]
    if len(start) < 8:
        raise CheckpointError(
            "the file is empty" if not start else "the file is truncated",
            where=where, why=f"{file_size} bytes", next_step="copy or write it again",
        )  # fmt: skip
    (length,) = struct.unpack("<Q", start)
    if length > LARGEST_HEADER:
        why = f"its first 8 bytes announce a header of {length:,} bytes, the limit is {LARGEST_HEADER:,}"
        raise _not_safetensors(where, why)
    if length > file_size - 8:
        raise _truncated(where, f"the header needs {8 + length} bytes, the file has {file_size}")
    file.seek(0)
    return file.read(8 + length)


def _header(beginning: bytes, path: Path, file_size: int, stamp: tuple[int, ...]) -> Header:
    where = str(path)
    entries = _entries(beginning[8:], where)
    stored = entries.pop("__metadata__", None)
    metadata = {} if stored is None else stored
    if not isinstance(metadata, dict) or not all(map(_is_text, [*metadata.keys(), *metadata.values()])):
        raise _not_safetensors(where, "its metadata are not strings")
    data_size = file_size - len(beginning)
    tensors = tuple(
        sorted((_tensor(name, entry, data_size, where) for name, entry in entries.items()), key=lambda t: t.offsets)
    )
    _check_layout(tensors, data_size, where)
    return Header(path, file_size, tensors, metadata, _config(metadata, path), stamp=stamp)


def stamp_of(descriptor: int) -> tuple[int, ...]:
    """What tells an open file from one that was written later, or put in its place."""
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
SHALLOW = re.compile(rb"[\[{](?:[\[{](?:\[\]|\{\})*+[\]}])*+[\]}]")
"""Brackets that are nested no deeper than :data:`DEEPEST`."""


def _entries(raw: bytes, where: str) -> dict[str, Any]:
    """The header as an object, after a look at its brackets and commas: it costs no more than it weighs.

    Raises:
        CheckpointError: not JSON, too deeply nested, too many tensors or numbers, or a name that is there twice.
    """
    marks = STRINGS.sub(b"", raw).translate(None, delete=_NO_MARKS)
    brackets = marks.replace(b",", b"")
    balanced = brackets.count(b"{") + brackets.count(b"[") == len(brackets) / 2
    if brackets and balanced and not SHALLOW.fullmatch(brackets):
        raise _not_safetensors(where, f"its header is nested more than {DEEPEST} deep")
    if brackets.count(b"{") > MOST_TENSORS + 2:
        raise _not_safetensors(where, f"{brackets.count(b'{') - 1:,} tensors, the limit is {MOST_TENSORS:,}")
    if brackets.count(b"[") > 2 * (MOST_TENSORS + 1) or marks.count(b",") > 12 * MOST_TENSORS:
        raise _not_safetensors(where, f"its header lists more numbers than {MOST_TENSORS:,} tensors have")
    try:
        entries = json.loads(raw.decode(), object_pairs_hook=_without_twins)
    except _TwiceError as error:
        raise _not_safetensors(where, f"{str(error)[:80]!r} is in its header twice") from error
    except (ValueError, RecursionError) as error:
        padded = raw.endswith(b"\0") and b"\0" not in raw.rstrip(b"\0")
        why = (
            "its header is padded with zero bytes, safetensors pads with spaces" if padded else "its header is not JSON"
        )
        raise _not_safetensors(where, why) from error
    if not isinstance(entries, dict):
        raise _not_safetensors(where, "its header is not a JSON object")
    return entries


_NO_MARKS = bytes(set(range(256)) - set(b"{}[],"))


class _TwiceError(Exception):
    """A name that an object of the header has twice: readers would disagree which counts."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise _TwiceError(next(name for name, count in names.items() if count > 1))
    return found


def _not_safetensors(where: str, why: str) -> CheckpointError:
    return CheckpointError(
        "not a safetensors file", where=where, why=why,
        next_step="for a .pth of the paper's published code use `lipscope convert`",
    )  # fmt: skip


def _truncated(where: str, why: str) -> CheckpointError:
    return CheckpointError("the file is truncated", where=where, why=why, next_step="copy or write it again")


def _tensor(name: str, entry: object, data_size: int, where: str) -> TensorInfo:
    try:
        if not isinstance(entry, dict) or not isinstance(entry["shape"], list):
            raise TypeError(name)
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        numbers = [*shape, begin, end]
        if (
            not _is_text(name)
            or not isinstance(dtype, str)
            or not all(type(n) is int and 0 <= n < 2**63 for n in numbers)
        ):
            raise ValueError(name)
        if len(shape) > MOST_AXES:
            raise _not_safetensors(where, f"tensor {name[:80]!r} has {len(shape):,} axes, the limit is {MOST_AXES}")
        # Of a dtype that is not known, each number takes a bit at least.
        size, count = ITEM_SIZES.get(dtype), _elements(shape, 8 * max(data_size, end))
        if (size is None and count > 8 * (end - begin)) or (size is not None and end - begin != count * size):
            raise ValueError(name)
    except (KeyError, TypeError, ValueError) as error:
        raise _not_safetensors(where, f"the entry of tensor {name[:80]!r} is malformed") from error
    return TensorInfo(name, dtype, shape, (begin, end))


def _elements(shape: tuple[int, ...], most: int) -> int:
    """The product of the shape, multiplied only until it is passed: 0 or the product, or more than ``most``."""
    if 0 in shape:
        return 0
    product = 1
    for length in shape:
        product *= length
        if product > most:
            break
    return product


SURROGATES = re.compile("[\ud800-\udfff]")


def _is_text(value: object) -> bool:
    """Whether this is a string that can be written: JSON can spell halves of surrogate pairs, UTF-8 cannot."""
    return isinstance(value, str) and (value.isascii() or not SURROGATES.search(value))


def _check_layout(tensors: tuple[TensorInfo, ...], data_size: int, where: str) -> None:
    position = 0
    for tensor in tensors:
        if tensor.offsets[0] != position:
            raise _not_safetensors(where, f"tensor {tensor.name[:80]!r} overlaps another or leaves a gap")
        position = tensor.offsets[1]
    if position > data_size:
        raise _truncated(where, f"the tensors need {position} bytes, the file has {data_size} for them")
    if position < data_size:
        raise _not_safetensors(where, f"{data_size - position} bytes follow the last tensor")


def _config(metadata: Mapping[str, str], path: Path) -> Mapping[str, Any] | None:
    schema = metadata.get("lipscope.schema")
    if schema is None:
        return None
    if schema != SCHEMA:
        raise CheckpointError(
            f"unknown checkpoint schema {schema[:80]!r}", where=str(path), why=f"this version reads {SCHEMA}",
            next_step="use the lipscope version that wrote it",
        )  # fmt: skip
    key = "lipscope.describe" if "lipscope.describe" in metadata else "lipscope.config"
    return _parse_object(metadata.get(key, ""), key, path)


def _parse_object(text: str, key: str, path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=keys_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the metadata {key} is not JSON", where=str(path), why=str(error)[:200]) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"the metadata {key} is not a JSON object", where=str(path))
    return value
