"""A checkpoint wherever it lies, in one file or in shards behind an index: its header and its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lipscope.files.checkpoint.header import Header, opened_file
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
