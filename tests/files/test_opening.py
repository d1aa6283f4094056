"""Only regular files are opened, and nothing else holds anybody up."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lipscope.files.opening import IrregularError, open_regular, read_regular


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", follow=False) == read_regular(tmp_path / "link") == b"content"
    with pytest.raises(IrregularError, match="a symbolic link"):
        read_regular(tmp_path / "link", follow=False)


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a folder", "a device"])
@pytest.mark.parametrize("through", ["itself", "a link"])
def test_everything_else_is_refused_at_once(
    kind: str, through: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("x")
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("x")
    elif kind == "a folder":
        path.mkdir()
    else:
        path = Path("/dev/null")
    if through == "a link":
        Path("link").symlink_to(path)
        path = Path("link")
    with pytest.raises(IrregularError) as caught:
        open_regular(path)
    assert caught.value.strerror == f"it is {kind}, not a file"


def test_a_pipe_that_takes_a_files_place_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the opening: it must not wait for a writer either."""
    path = tmp_path / "x"
    path.touch()
    real = os.open

    def swap(name: Path, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(name, flags)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(IrregularError, match="a pipe"):
        open_regular(path)


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "x")
