"""Files that are whole or not there, and nothing written through a link."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from lipscope.errors import LipscopeError
from lipscope.files.writing import atomic_path, require_writable
from tests.waiting import GENEROUS


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


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


def in_the_way(path: Path, kind: str) -> None:
    """Put something of this kind under a name."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.symlink_to({"link": "precious", "dangling link": "nothing", "link to a device": "/dev/null"}[kind])


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link", "dangling link", "link to a device"])
def test_only_regular_files_are_replaced(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    Path("precious").write_bytes(b"precious")
    in_the_way(Path("x"), kind)
    before = Path("x").lstat()
    for place in (Path("x"), tmp_path / "x"):
        with pytest.raises(LipscopeError, match="is not a file that can be replaced") as caught, atomic_path(place):
            pytest.fail("opened")
        assert f"it is a {'symbolic link' if 'link' in kind else kind}" in caught.value.why
        with pytest.raises(LipscopeError, match="is not a file that can be replaced"):
            require_writable(place)
    assert os.path.samestat(Path("x").lstat(), before)
    assert Path("precious").read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious", "x"]


def test_an_empty_name_is_no_file() -> None:
    with pytest.raises(LipscopeError, match="folder"), atomic_path(Path()):
        pytest.fail("opened")


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_it_is_known_before_a_computation_whether_there_is_a_place(tmp_path: Path) -> None:
    file = write(tmp_path, b"old")
    require_writable(file)
    require_writable(tmp_path / "new")
    for place in (tmp_path / "no" / "x", file / "x"):
        with pytest.raises(LipscopeError, match="cannot be written"):
            require_writable(place)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


KILLED = """
import sys
from pathlib import Path
from lipscope.files.writing import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, b"old")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    dead, alive = (tmp_path / writer.stdout.readline().strip() for writer in writers)
    writers[0].send_signal(signal.SIGKILL)
    writers[0].communicate(timeout=GENEROUS)
    (tmp_path / ".other.0123456789abcdef.partial").touch()
    (tmp_path / ".model.safetensors.0123456789abcdef.partial").symlink_to("other")
    assert dead.read_bytes() == b"half"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
    assert not dead.exists()
    assert alive.read_bytes() == b"half"
    writers[1].communicate("\n", timeout=GENEROUS)
    assert writers[1].returncode == 0
    assert path.read_bytes() == b"half"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".model.safetensors.0123456789abcdef.partial", ".other.0123456789abcdef.partial", "model.safetensors",
    ]  # fmt: skip


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    leftover = tmp_path / ".x.0123456789abcdef.partial"
    leftover.touch()
    with atomic_path(tmp_path / "x") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert leftover.exists(), "it may be a living writer's"


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
from lipscope.errors import LipscopeError
from lipscope.files.results import write_results
from tests.files.test_results import some_certificates
sys.dont_write_bytecode = True  # Python would leave half of a file of it, and read that the next time
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    write_results(Path(sys.argv[1]), some_certificates([0.5] * 3000, [True] * 3000), {})
except LipscopeError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, b"old")
    result = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, timeout=GENEROUS, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "cannot be written (File too large); free space" in result.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
