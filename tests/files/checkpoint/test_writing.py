from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from lipscope.files.checkpoint import with_sorted_metadata


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


def test_sorted_metadata_are_the_same_file_to_safetensors(tmp_path: Path) -> None:
    arrays = {"b": np.arange(5, dtype=np.int8), "a": np.ones((2, 2)), "ü": np.zeros(3, np.float32)}
    metadata = {f"key {i}": "λ" * i for i in range(20)}
    found = {with_sorted_metadata(save(arrays, metadata)) for _ in range(20)}
    assert len(found) == 1
    path = write(tmp_path, found.pop())
    with safe_open(path, "np") as file:
        assert file.metadata() == metadata
        assert list(json.loads(_header_of(path))["__metadata__"]) == sorted(metadata)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] % 8 == 0


def _header_of(path: Path) -> bytes:
    content = path.read_bytes()
    return content[8 : 8 + struct.unpack("<Q", content[:8])[0]]
