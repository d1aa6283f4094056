"""What is written: metadata of this version in a settled order, and files that are whole or not there."""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lipscope.errors import LipscopeError
from lipscope.files.checkpoint.header import SCHEMA
from lipscope.version import __version__


def metadata_for(config: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a checkpoint of this version."""
    return {
        "format": "pt",
        "lipscope.schema": SCHEMA,
        "lipscope.version": __version__,
        "lipscope.config": json.dumps(config, sort_keys=True),
        "lipscope.training": json.dumps(training, sort_keys=True),
    }


def with_sorted_metadata(content: bytes) -> bytes:
    """The bytes of a safetensors file with its metadata in order of their keys.

    The library writes them in an order of chance; the same model should be the same bytes.
    """
    (length,) = struct.unpack("<Q", content[:8])
    entries = json.loads(content[8 : 8 + length])
    entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    # The data begin at a multiple of eight bytes.
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place on success and vanishes on failure.

    Every call has a name of its own, so that processes and threads that write the same path leave one whole file.

    Raises:
        LipscopeError: the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        if path.exists() and not path.is_file():
            raise LipscopeError("is not a file that can be replaced", where=str(path), next_step="choose another place")
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise LipscopeError(
            "cannot be written", where=str(path), why=error.strerror or str(error),
            next_step="free space or choose another place",
        ) from error  # fmt: skip
    finally:
        with suppress(OSError):
            temporary.unlink()
