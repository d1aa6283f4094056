"""A checkpoint wherever it lies, in one file or in shards behind an index: its header and its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint.header import Header, TensorInfo, opened_file, read_file_header, stamp_of
from lipscope.files.checkpoint.shards import index_of, read_sharded_header, sha256_of_shards
from lipscope.files.opening import open_regular, read_regular


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file, or of all shards that an index names.

    Args:
        path: the file; ``*.safetensors.index.json``; or a folder with one such index.

    Raises:
        CheckpointError: as :func:`read_file_header` and :func:`read_sharded_header`.
    """
    with opened(path) as (header, _):
        return header


@contextmanager
def opened(path: Path) -> Iterator[tuple[Header, Callable[[], bytes]]]:
    """A checkpoint, opened once: its header, and what reads all bytes of a single file.

    Raises:
        CheckpointError: as :func:`read_header`; the file changed while it was read.
    """
    index = index_of(path)
    if index is None:
        with opened_file(path) as found:
            yield found
    else:
        yield read_sharded_header(index), lambda: read_regular(index)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; of a sharded checkpoint's as :func:`sha256_of_shards`."""
    index = index_of(path)
    if index is not None:
        return sha256_of_shards(index)
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_at(header: Header, info: TensorInfo) -> FileIO:
    """The file that holds a tensor, open at its first byte.

    Raises:
        CheckpointError: it is not the file any more whose header was read.
    """
    part = header.part_of(info.name)
    try:
        # Read, not mapped: a file that is cut off while it is mapped kills the process.
        file = part.path.open("rb", buffering=0)
    except OSError as error:
        raise changed(part.path) from error
    if stamp_of(file.fileno()) != part.stamp and not _rewritten(part):
        file.close()
        raise changed(part.path)
    file.seek(8 + int.from_bytes(file.read(8), "little") + info.offsets[0])
    return file


def _rewritten(header: Header) -> bool:
    """Whether a file that was touched, or copied over by itself, still says the same."""
    try:
        return read_file_header(header.path) == header
    except CheckpointError:
        return False


def changed(path: Path) -> CheckpointError:
    """What is said of a file that did not stay what it was."""
    return CheckpointError(
        "the file changed or went while it was analysed", where=str(path), next_step="run it again"
    )  # fmt: skip
