"""Data sets in a few smaller files, to be carried in pieces: lossless, and a third smaller than the official ones.

A part is a zip file that holds strips of up to 500 images of one official binary file, as lossless WebP, their labels,
and a manifest with the SHA-256 of every official file. Unpacked, the files are the same byte for byte, or not there.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lipscope.data.binary import class_names, parse_records, read_file
from lipscope.data.install import unpacked_size
from lipscope.data.locate import Located, find, not_found, target_folder
from lipscope.data.releases import RELEASES, Release
from lipscope.data.storage import cannot_write, check_room
from lipscope.errors import DataError
from lipscope.files.opening import open_regular
from lipscope.files.writing import atomic_path

SCHEMA = "lipscope.pack/1"
STRIP = 500
"""Images in one strip."""

LARGEST_PART = 60_000_000
"""Bytes of a part, at most."""

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 100_000

DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, ValueError)
"""What a zip file that others wrote can raise: an encrypted entry or an unknown compression a RuntimeError."""

Entry = tuple[str, bytes]
OnProgress = Callable[[int, int], None]


def pack(
    name: str,
    destination: Path,
    *,
    data_dir: Path | None = None,
    releases: Mapping[str, Release] = RELEASES,
    largest: int = LARGEST_PART,
    on_progress: OnProgress = lambda done, total: None,
) -> tuple[Path, ...]:
    """Write a data set as parts ``NAME.1.pack``, ``NAME.2.pack``, ... into a folder.

    Args:
        name: a key of ``releases``; its official binary folder must be at hand.
        destination: the folder, made where there is none.
        data_dir: searched first.
        releases: the data sets that are known.
        largest: bytes of a part, at most.
        on_progress: told (images packed, images in all).

    Raises:
        DataError: not found, in another form, damaged, or the folder cannot be written.
    """
    release = releases[name]
    place = find(name, data_dir, releases)
    if place is None:
        raise not_found(release, data_dir)
    if place.packing != "folder" or place.form.kind != "binary":
        raise DataError(
            "only the official binary folder can be packed", where=str(place.path),
            next_step=f"run `lipscope data fetch {name}`, or import its binary archive",
        )  # fmt: skip
    total = sum(release.sizes.values())
    manifest: dict[str, Any] = {"schema": SCHEMA, "name": name, "classes": list(class_names(place.path, release))}
    manifest["files"] = {file: _sha256(read_file(place.path / file, release)) for file in _files(release)}
    written: list[Path] = []
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for number, entries in enumerate(_parts(_strips(place, total, on_progress), largest), start=1):
            path = destination / f"{name}.{number}.pack"
            with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as part:
                part.writestr(MANIFEST, json.dumps({**manifest, "part": number}))
                for entry, content in entries:
                    part.writestr(entry, content)
            written.append(path)
    except OSError as error:
        raise cannot_write(destination, error) from error
    return tuple(written)


def unpack_parts(
    parts: Sequence[Path], *, data_dir: Path | None = None, releases: Mapping[str, Release] = RELEASES
) -> Path:
    """The official binary folder that the parts of :func:`pack` hold, in the first folder that is searched.

    Raises:
        DataError: not such parts, not all of them, damaged, or the folder is there already or cannot be written.
    """
    manifest, entries = _opened(parts)
    release = releases.get(str(manifest.get("name")))
    if release is None or set(manifest.get("files", {})) != set(_files(release)):
        raise DataError("parts of an unknown data set", where=str(parts[0]), why=str(manifest.get("name"))[:80])
    folder = target_folder(data_dir)
    check_room(folder, unpacked_size(release))
    final = folder / release.binary.folder
    if final.exists():
        raise DataError("is there already", where=str(final), next_step="move it away, or choose another --data-dir")
    temporary = folder / f".{final.name}.unpacked.partial"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for file in _files(release):
            content = b"".join(_records(file, strip, release) for strip in entries(file))
            if _sha256(content) != manifest["files"][file]:
                raise DataError(
                    f"{file} is incomplete or damaged", where=", ".join(map(str, parts)),
                    why="its SHA-256 is not the one of the manifest", next_step="name all parts, or copy them again",
                )  # fmt: skip
            (temporary / file).write_bytes(content)
        names = "".join(f"{name}\n" for name in manifest["classes"])
        (temporary / release.binary.names).write_text(names, encoding="utf-8")
        temporary.rename(final)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _files(release: Release) -> tuple[str, ...]:
    return (*release.binary.train, *release.binary.test)


def _strips(place: Located, total: int, on_progress: OnProgress) -> Iterator[list[Entry]]:
    """The strips of all files in order, each with its labels."""
    release, done = place.release, 0
    for file in _files(release):
        content = read_file(place.path / file, release)
        parse_records(content, release, str(place.path / file))
        records = np.frombuffer(content, np.uint8).reshape(-1, release.record_size)
        for start in range(0, len(records), STRIP):
            some = records[start : start + STRIP]
            labels = len(release.label_limits)
            pixels = some[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(-1, 32, 3)
            picture = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(pixels)).save(picture, "webp", lossless=True, quality=60, exact=True)
            stem = f"{file}/{start // STRIP:04d}"
            yield [(f"{stem}.webp", picture.getvalue()), (f"{stem}.labels", some[:, :labels].tobytes())]
            done += len(some)
            on_progress(done, total)


def _parts(strips: Iterator[list[Entry]], largest: int) -> Iterator[list[Entry]]:
    """The strips in groups whose files are no larger than asked for."""
    # The manifest, and the directory of the zip file.
    overhead = 20_000
    part: list[Entry] = []
    size = overhead
    for strip in strips:
        more = sum(len(content) + 400 for _, content in strip)
        if part and size + more > largest:
            yield part
            part, size = [], overhead
        part += strip
        size += more
    yield part


def _opened(parts: Sequence[Path]) -> tuple[dict[str, Any], Callable[[str], Iterator[tuple[bytes, bytes]]]]:
    """The manifest that all parts share, and a function from a file's name to its strips in order."""
    places: dict[str, Path] = {}
    manifest: dict[str, Any] | None = None
    for path in parts:
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as part:
                if part.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
                    raise ValueError("its manifest is too long")
                found = json.loads(part.read(MANIFEST))
                if not isinstance(found, dict) or found.pop("schema", None) != SCHEMA:
                    raise ValueError("its manifest is of another kind")
                if not (isinstance(found.get("files"), dict) and _are_names(found.get("classes"))):
                    raise ValueError("its manifest names no files or no classes")
                found.pop("part", None)
                places.update({name: path for name in part.namelist() if name != MANIFEST})
        except FileNotFoundError as error:
            raise DataError("no such file", where=str(path), next_step="check the path") from error
        except DAMAGE as error:
            raise DataError("not a part that `lipscope data pack` made", where=str(path), why=_reason(error)) from error
        if manifest is not None and found != manifest:
            raise DataError("parts of different packs", where=str(path), next_step="name the parts of one")
        manifest = found
    if manifest is None:
        raise DataError("no parts were named", next_step="name all files that `lipscope data pack` made")

    def strips(file: str) -> Iterator[tuple[bytes, bytes]]:
        for name in sorted(name for name in places if name.startswith(f"{file}/") and name.endswith(".webp")):
            yield _read(places[name], name), _read(places[name], f"{name.removesuffix('.webp')}.labels")

    return manifest, strips


def _read(path: Path, name: str) -> bytes:
    """One entry; no larger than 500 images may be."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as part:
            if part.getinfo(name).file_size > 2 * STRIP * 32 * 32 * 3:
                raise ValueError(f"{name} is too long")
            return part.read(name)
    except DAMAGE as error:
        raise DataError("a damaged part", where=str(path), why=_reason(error)) from error


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]


def _records(file: str, strip: tuple[bytes, bytes], release: Release) -> bytes:
    """The official records of one strip."""
    picture, labels = strip
    count = len(labels) // len(release.label_limits)
    try:
        with Image.open(io.BytesIO(picture), formats=["webp"]) as image:
            if image.size != (32, 32 * count) or count > STRIP:
                raise ValueError(f"a strip of {image.size} for {count} images")
            pixels = np.asarray(image.convert("RGB")).reshape(count, 32, 32, 3).transpose(0, 3, 1, 2)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"a strip of {file} cannot be read", why=str(error)[:200]) from error
    known = np.frombuffer(labels, np.uint8).reshape(count, -1)
    return np.concatenate([known, pixels.reshape(count, -1)], axis=1).tobytes()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
