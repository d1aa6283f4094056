"""The official archives: verified before anything in them is read, and only what is expected comes out.

Not ``torchvision.datasets``, whose archives may write outside of their folder (``tests/data/test_torchvision.py``), and
which needs torch.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from lipscope.data.binary import Records, joined, parse_records
from lipscope.data.dataset import Split
from lipscope.data.pickles import parse_pickled
from lipscope.data.releases import Form, Release
from lipscope.errors import DataError
from lipscope.files.opening import open_regular

LARGEST_MEMBER = 250_000_000
"""Bytes; the largest official file has 155 million."""


REFUSED = {
    "binary": "fetch it again, or unpack it yourself if you trust it: a folder of binary files is read as it is",
    "python": "fetch it again, or use the binary version",
}


def read_archive(path: Path, form: Form, release: Release, split: Split) -> Records:
    """All records of a split, straight from the archive; nothing is written.

    Raises:
        DataError: not the official archive, or damaged.
    """
    names = form.files(split)
    files = dict(verified_files(path, form, names))
    return joined([parse_file(files[name], name, form, release, f"{path}:{name}") for name in names])


def parse_file(data: bytes, name: str, form: Form, release: Release, where: str) -> Records:
    """Images and labels of one file of either form, given its bytes.

    Raises:
        DataError: malformed, or a pickle that is not the official one.
    """
    if form.kind == "python":
        return parse_pickled(data, name, release, where)
    return parse_records(data, release, where)


def verified_files(path: Path, form: Form, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The bytes of the files ``names``, one after the other, once the archive's checksum has matched.

    Raises:
        DataError: not the official archive, damaged, or a file is missing in it, too large, or not a file.
    """
    try:
        with open_regular(path) as file:
            verify(file, form, path)
            yield from _members(file, form, names, path)
    except OSError as error:
        raise DataError("cannot be read", where=str(path), why=error) from error


def verify_archive(path: Path, form: Form) -> None:
    """Check the MD5 of an archive.

    Raises:
        DataError: unreadable, or not the official archive.
    """
    try:
        with open_regular(path) as file:
            verify(file, form, path)
    except OSError as error:
        raise DataError("cannot be read", where=str(path), why=error) from error


def verify(file: BufferedReader, form: Form, path: Path) -> None:
    """Check the MD5 of an open archive and rewind it.

    Raises:
        DataError: not the official archive.
    """
    found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != form.archive.md5:
        raise DataError(
            "not the official archive; it was not unpacked", where=str(path),
            why=f"MD5 {found}, the release has {form.archive.md5}",
            next_step=REFUSED[form.kind],
        )  # fmt: skip
    file.seek(0)


def _members(file: BufferedReader, form: Form, names: tuple[str, ...], path: Path) -> Iterator[tuple[str, bytes]]:
    wanted = {f"{form.folder}/{name}": name for name in names}
    try:
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            for member in archive:
                name = wanted.pop(member.name.removeprefix("./"), None)
                if name is None:
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None or member.size > LARGEST_MEMBER:
                    raise _damaged(path, f"{member.name} is not a file of the expected size")
                data = stream.read(member.size)
                if len(data) != member.size:
                    raise _damaged(path, f"{member.name} is cut short")
                yield name, data
                if not wanted:
                    return
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    raise _damaged(path, f"no {next(iter(wanted))} in it")


def _damaged(path: Path, why: str) -> DataError:
    return DataError("the archive is damaged", where=str(path), why=why, next_step="fetch it again")
