from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lipscope.errors import LipscopeError
from lipscope.files.checkpoint import atomic_path, with_sorted_metadata


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


def test_atomic_path_replaces_on_success(tmp_path: Path) -> None:
    path = write(tmp_path, b"old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_process_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
        assert first.read_bytes() == b"first"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError, SafetensorError])
@pytest.mark.parametrize("existing", [True, False])
def test_atomic_path_leaves_nothing_behind_on_failure(
    error: type[BaseException], existing: bool, tmp_path: Path
) -> None:
    path = write(tmp_path, b"old") if existing else tmp_path / "model.safetensors"

    def fail_halfway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert path.exists() == existing
    assert not existing or path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == ([path] if existing else [])


def test_atomic_path_says_where_it_cannot_write(tmp_path: Path) -> None:
    file = write(tmp_path, b"old")
    for path in (tmp_path / "no" / "x", file / "x", tmp_path / ("x" * 300)):
        with pytest.raises(LipscopeError, match="cannot be written") as caught, atomic_path(path) as temporary:
            temporary.write_bytes(b"new")
        assert caught.value.where == str(path)
        assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == b"old"


def test_atomic_path_replaces_no_folder_and_no_device(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "folder", tmp_path / "pipe"):
        with pytest.raises(LipscopeError, match="is not a file"), atomic_path(path):
            pytest.fail("opened")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_atomic_path_keeps_the_usual_permissions(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    path = tmp_path / "model.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.stat().st_mode == usual.stat().st_mode


FILL = """
import resource, sys
from pathlib import Path
import numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from lipscope.errors import LipscopeError
from lipscope.files.results import write_results
from tests.files.test_results import some_certificates
try:
    write_results(Path(sys.argv[1]), some_certificates([0.5] * 3000, [True] * 3000), {})
except LipscopeError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, b"old")
    result = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, timeout=60, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert "cannot be written (File too large); free space" in result.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
