"""What a file of another format is, told by its first bytes, so that the wrong file is named for what it is."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

START = 1024
"""Bytes that are looked at."""

CONVERT = "`lipscope convert` reads the state dicts of the paper's published code"
UNPACK = "unpack it first"


@dataclass(frozen=True)
class Foreign:
    """A file of another format.

    Args:
        name: with its article, e.g. ``"an HTML page"``.
        next_step: what its owner can do.
    """

    name: str
    next_step: str


STARTS: tuple[tuple[bytes, Foreign], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        Foreign("a Git LFS pointer, not the file itself", "get the file with `git lfs pull`"),
    ),
    (b"GGUF", Foreign("a GGUF file", "name the safetensors file that it was made from")),
    (b"\x1f\x8b", Foreign("a gzip file", UNPACK)),
    (b"BZh", Foreign("a bzip2 file", UNPACK)),
    (b"\xfd7zXZ\x00", Foreign("an xz file", UNPACK)),
    (b"\x28\xb5\x2f\xfd", Foreign("a zstd file", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Foreign("a 7z archive", UNPACK)),
    (b"\x93NUMPY", Foreign("a NumPy array", "write the tensors with safetensors.numpy.save_file")),
    (b"\x89HDF\r\n\x1a\n", Foreign("an HDF5 file", "write the tensors with safetensors.numpy.save_file")),
    (b"%PDF-", Foreign("a PDF file", "check the path")),
    (b"\x89PNG\r\n\x1a\n", Foreign("a PNG image", "check the path")),
    (b"\xff\xd8\xff", Foreign("a JPEG image", "check the path")),
)
PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml")
PICKLE = Foreign("a pickle, as old versions of torch.save wrote", CONVERT)
TAR = Foreign("a tar archive", "unpack it first; if torch.save wrote it, load and save it with a newer torch")
HTML = Foreign("an HTML page", "download the file itself: a page to log in or of an error was saved in its place")
TEXT = Foreign("a text file", "look into it: a message may have been saved in place of the file")
LETTERS = bytes(range(32, 127)) + b"\t\n\r"
ZEROS = Foreign("nothing but zero bytes where a file begins", "copy or download it again: that broke off")
TORCH_ZIP = Foreign("a file of torch.save", CONVERT)
TORCHSCRIPT = Foreign(
    "a TorchScript archive, which is a program with its weights",
    "in the code that wrote it: torch.save(model.state_dict(), 'best.pth')",
)
ZIP = Foreign("a zip archive", UNPACK)
BROKEN_ZIP = Foreign("a zip archive, as torch.save writes, and damaged", "copy or download it again")


def foreign(path: Path, start: bytes) -> Foreign | None:
    """What a file is by its first :data:`START` bytes; None where they tell nothing.

    Args:
        path: the file; of a zip archive the names inside are looked at.
        start: its first bytes.
    """
    for magic, kind in STARTS:
        if start.startswith(magic):
            return kind
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(PAGES):
        return HTML
    if start[257:262] == b"ustar":
        return TAR
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if start.startswith(b"PK\x03\x04"):
        return _zip(path)
    if start and not start.translate(None, delete=LETTERS):
        return TEXT
    return ZEROS if len(start) > 16 and not any(start) else None


def _zip(path: Path) -> Foreign:
    """Which kind of zip archive; torch.save and TorchScript write one as well."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return BROKEN_ZIP
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return TORCHSCRIPT
    return TORCH_ZIP if "data.pkl" in inside else ZIP
