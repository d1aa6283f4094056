"""The transfer of an archive: resumed where it broke off, bounded by the known size, believed by its checksum.

Not ``torchvision.datasets.utils``, which begins anew what broke off and takes whatever comes, over plain http too
(``tests/data/test_torchvision.py``). The bytes gather in ``<archive>.partial``, which an interruption leaves behind and
the next fetch continues.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError

from lipscope.data.address import check_address, open_address, shown
from lipscope.data.releases import Archive
from lipscope.data.storage import cannot_write
from lipscope.errors import DataError
from lipscope.system import lock

CHUNK = 1 << 18
WORTH_MORE_TRIES = 0.01
"""The share of the archive that a try has to add before the count of tries starts anew."""

WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all."""

Narrate = Callable[[str], None]
"""Called with a line for the user."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to come back.

    Args:
        seconds: the longest wait for a connection, and for each piece of an answer.
        tries: requests in a row that bring nearly nothing.
        pause: seconds before the second of them, doubled before each further one.
    """

    seconds: float = 20.0
    tries: int = 6
    pause: float = 1.0


PATIENCE = Patience()


class BrokenOffError(Exception):
    """A transfer ended early; it is worth another try."""


def transfer(
    url: str,
    archive: Archive,
    folder: Path,
    *,
    patience: Patience = PATIENCE,
    progress: Progress = lambda done, size: None,
    narrate: Narrate = lambda line: None,
) -> Path:
    """Bring an archive into a folder and return the path of the verified file, ``<archive>.partial``.

    Raises:
        UsageError: an address that is refused.
        DataError: the server has another file, does not answer, or breaks off again and again; the disk is full;
            another fetch is writing the same file. What has arrived stays, unless its checksum is wrong.
    """
    check_address(url)
    path = partial_path(archive, folder)
    with open_partial(path) as file:
        resumed = _size(file) > 0
        complete(url, archive, file, patience=patience, progress=progress, narrate=narrate)
        found = _md5(file)
        if found != archive.md5 and resumed:
            narrate("the earlier part does not fit the checksum; starting over")
            _empty(file)
            complete(url, archive, file, patience=patience, progress=progress, narrate=narrate)
            found = _md5(file)
        if found != archive.md5:
            _empty(file)
            raise DataError(
                "the server sent other bytes than the official archive; they were removed", where=shown(url),
                why=f"MD5 {found}, the release has {archive.md5}",
                next_step="give the address of another mirror with --url",
            )  # fmt: skip
    return path


def complete(
    url: str, archive: Archive, file: io.FileIO, *, patience: Patience, progress: Progress, narrate: Narrate
) -> None:
    """Request until the file has the archive's size.

    Raises:
        DataError: the server has another file, or the tries are used up.
    """
    if _size(file) > archive.size:
        _empty(file)
    if _size(file) == archive.size:
        return
    furthest, failures = _size(file), 0
    while True:
        try:
            request_rest(url, archive, file, patience.seconds, progress)
            return
        except BrokenOffError as error:
            failures += 1
            if _size(file) - furthest >= archive.size * WORTH_MORE_TRIES:
                furthest, failures = _size(file), 1
            if failures == patience.tries:
                raise DataError(
                    "the transfer broke off", where=shown(url),
                    why=f"{error}; {_size(file):,} of {archive.size:,} bytes are here",
                    next_step="run the same command again to continue, or name a mirror with --url",
                ) from error  # fmt: skip
            narrate(f"{error}; trying again ({failures + 1} of {patience.tries})")
            time.sleep(patience.pause * 2 ** (failures - 1))


def request_rest(url: str, archive: Archive, file: io.FileIO, seconds: float, progress: Progress) -> None:
    """One request for the bytes that are missing; they are appended to the file.

    Raises:
        BrokenOffError: fewer bytes came than are missing, or the server has to be asked again from the start.
        DataError: the server refuses, or has a file of another size; the disk is full.
    """
    have = _size(file)
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with open_address(url, headers, seconds) as answer:
            if not begins_right(answer, have, archive, url):
                _empty(file)
                raise BrokenOffError("the server does not continue where it should")
            if answer.status == 200:
                _empty(file)
            done = file.seek(0, os.SEEK_END)
            progress(done, archive.size)
            while done < archive.size and (data := answer.read1(min(CHUNK, archive.size - done))):
                _write(file, data)
                done += len(data)
                progress(done, archive.size)
            if done < archive.size and answer.chunked:
                raise _another_file(answer, f"{done}", archive, url)
    except HTTPError as error:
        with error:
            if error.code == 416 and have:
                _empty(file)
                raise BrokenOffError("the server does not continue where it should") from error
            if error.code in WORTH_A_RETRY:
                raise BrokenOffError(f"the server answers {error.code} {error.reason}") from error
            raise DataError(
                f"the server answers {error.code} {error.reason}", where=shown(url),
                next_step="give the address of a mirror with --url",
            ) from error  # fmt: skip
    except (OSError, HTTPException) as error:
        raise _broken_off(error, url, seconds) from error
    if done < archive.size:
        raise BrokenOffError("the connection was closed early")


def begins_right(answer: HTTPResponse, have: int, archive: Archive, url: str) -> bool:
    """Whether the answer is the whole archive or its rest from byte ``have`` on.

    Raises:
        DataError: it is all of a file of another size.
    """
    if answer.status == 206:
        fields = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        return fields is not None and int(fields[1]) == have and fields[3] in ("*", str(archive.size))
    length = answer.headers.get("Content-Length")
    if answer.status != 200 or (length is not None and length.strip() != str(archive.size)):
        raise _another_file(answer, length or "unknown", archive, url)
    return True


def _another_file(answer: HTTPResponse, length: str, archive: Archive, url: str) -> DataError:
    kind = answer.headers.get("Content-Type", "unknown")
    return DataError(
        "the server has another file", where=shown(url),
        why=f"status {answer.status}, length {length}, type {kind}; the archive has {archive.size} bytes",
        next_step="give the address of a mirror with --url",
    )  # fmt: skip


def partial_path(archive: Archive, folder: Path) -> Path:
    """Where the bytes of an archive gather until they are verified."""
    return folder / f"{archive.name}.partial"


def partial_size(archive: Archive, folder: Path) -> int:
    """How many bytes an earlier fetch left."""
    path = partial_path(archive, folder)
    return path.stat().st_size if path.exists() else 0


@contextmanager
def open_partial(path: Path) -> Iterator[io.FileIO]:
    """The partial file, open for reading and writing by this process alone; an empty one does not stay.

    Raises:
        DataError: the folder cannot be written to, or another process fetches the same archive.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        file = io.FileIO(path, "r+")
    except OSError as error:
        raise cannot_write(path, error) from error
    empty = False
    try:
        with file:
            _lock(file, path)
            try:
                yield file
            finally:
                empty = _size(file) == 0
    finally:
        if empty:
            path.unlink(missing_ok=True)


def _lock(file: io.FileIO, path: Path) -> None:
    try:
        lock(file.fileno())
    except BlockingIOError as error:
        raise DataError(
            "another process is fetching it", where=str(path), next_step="wait until it has finished"
        ) from error
    except OSError:
        # Some network file systems have no locks; the checksum still decides.
        return


def _broken_off(error: OSError | HTTPException, url: str, seconds: float) -> Exception:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, socket.gaierror | ssl.SSLCertVerificationError):
        what = "no such host" if isinstance(reason, socket.gaierror) else "its certificate is not valid"
        return DataError(
            f"the server cannot be reached: {what}", where=shown(url), why=str(reason),
            next_step="check the network, or name a mirror with --url",
        )  # fmt: skip
    if isinstance(reason, TimeoutError):
        return BrokenOffError(f"no answer for {seconds:g} s")
    return BrokenOffError(str(reason) or type(reason).__name__)


def _write(file: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise cannot_write(Path(str(file.name)), error) from error


def _empty(file: io.FileIO) -> None:
    if _size(file) == 0:
        return
    try:
        file.truncate(0)
    except OSError as error:
        raise cannot_write(Path(str(file.name)), error) from error


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _md5(file: io.FileIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
