"""Archives become folders: fetched or given, verified, unpacked beside their place, then put there at once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from lipscope.data.archive import parse_file, verified_files
from lipscope.data.binary import count_records
from lipscope.data.locate import Located, target_folder
from lipscope.data.releases import RELEASES, Form, Release
from lipscope.data.storage import cannot_write, check_room
from lipscope.data.transfer import PATIENCE, Narrate, Patience, Progress, partial_size, transfer
from lipscope.errors import DataError
from lipscope.files.locks import exclusive
from lipscope.files.opening import open_regular
from lipscope.visible import counted


def fetch(
    name: str,
    *,
    url: str | None = None,
    data_dir: Path | None = None,
    releases: Mapping[str, Release] = RELEASES,
    patience: Patience = PATIENCE,
    progress: Progress = lambda done, size: None,
    narrate: Narrate = lambda line: None,
) -> Path:
    """Fetch the binary archive of a data set and unpack it; return the folder.

    Args:
        name: a key of ``releases``.
        url: a mirror; else the environment variable ``LIPSCOPE_<NAME>_URL``, else the official address.
        data_dir: where to; else ``LIPSCOPE_DATA``, else the cache folder.
        releases: the data sets that are known.
        patience: with a slow or broken server.
        progress, narrate: told of the bytes and of what happens.

    Raises:
        UsageError: an address that is refused.
        DataError: see ``transfer`` and ``unpack``.
    """
    release = releases[name]
    form = release.binary
    folder = target_folder(data_dir)
    final = folder / form.folder
    if final.exists():
        counts = [count_records(final, release, "train"), count_records(final, release, "test")]
        narrate(f"{name} is already there: {counts[0]:,} training and {counted(counts[1], 'test image')}")
        return final
    check_room(folder, form.archive.size + unpacked_size(release) - partial_size(form.archive, folder))
    address = url or os.environ.get(release.url_variable, "").strip() or release.url
    path = transfer(address, form.archive, folder, patience=patience, progress=progress, narrate=narrate)
    narrate("the checksum is right; unpacking")
    unpack(path, form, release, folder)
    path.unlink()
    return final


def import_archive(path: Path, *, data_dir: Path | None = None, releases: Mapping[str, Release] = RELEASES) -> Located:
    """Unpack an official archive that is already on this machine, recognised by its checksum.

    Raises:
        DataError: unreadable, none of the official archives, or see ``unpack``.
    """
    try:
        with open_regular(path) as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), next_step="check the path") from error
    except OSError as error:
        raise DataError("cannot be read", where=str(path), why=error) from error
    for release in releases.values():
        for form in release.forms:
            if form.archive.md5 == found:
                folder = target_folder(data_dir)
                check_room(folder, unpacked_size(release))
                return Located(release, form, "folder", unpack(path, form, release, folder))
    known = ", ".join(form.archive.name for release in releases.values() for form in release.forms)
    raise DataError(
        "none of the official archives; it was not unpacked", where=str(path),
        why=f"its MD5 is {found}; known are {known}",
        next_step="copy it again: it may be damaged, or a different packing",
    )  # fmt: skip


def unpack(path: Path, form: Form, release: Release, folder: Path) -> Path:
    """Unpack a verified archive into ``folder``: whole and readable, or not at all.

    Raises:
        DataError: not the official archive, damaged, its files hold no images; the folder is there already or
            cannot be written; the disk is full.
        BusyError: another process unpacks it into the same folder.
    """
    final = folder / form.folder
    if final.exists():
        raise DataError("is there already", where=str(final), next_step="move it away, or choose another --data-dir")
    temporary = folder / f".{form.folder}.{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(final, error) from error
    with exclusive(final, busy="another process is unpacking it"):
        for leftover in folder.glob(f".{form.folder}.*.partial"):
            # Of a process that was killed: whoever lives holds the lock.
            shutil.rmtree(leftover, ignore_errors=True)
        _unpack_into(temporary, path, form, release)
    return final


def _unpack_into(temporary: Path, path: Path, form: Form, release: Release) -> None:
    final, names = temporary.with_name(form.folder), (*form.train, *form.test)
    try:
        temporary.mkdir()
        for name, data in verified_files(path, form, (*names, form.names)):
            if name in names:
                parse_file(data, name, form, release, f"{path}:{name}")
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(final)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpacked_size(release: Release) -> int:
    """Bytes of the official files of a release, nearly."""
    return sum(release.sizes.values()) * release.record_size
