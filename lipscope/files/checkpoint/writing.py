"""The metadata of a checkpoint of this version, in a settled order."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

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


def described_metadata(description: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a file that describes its own layers."""
    return {
        "format": "pt",
        "lipscope.schema": SCHEMA,
        "lipscope.version": __version__,
        "lipscope.describe": json.dumps(description),
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
