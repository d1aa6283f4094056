from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from lipscope.data.load import load
from lipscope.data.pack import MANIFEST, pack, unpack_parts
from lipscope.data.releases import Release
from lipscope.errors import DataError, LipscopeError
from tests.data.makers import binary_files

Tiny = tuple[Release, dict[str, bytes]]


@pytest.fixture
def here(tiny_release: Tiny, tmp_path: Path) -> tuple[dict[str, Release], Path]:
    """A tiny binary folder, and the releases that know it."""
    release = tiny_release[0]
    folder = tmp_path / "data" / release.binary.folder
    folder.mkdir(parents=True)
    for name, content in binary_files(release).items():
        (folder / name).write_bytes(content)
    return {release.name: release}, folder


@pytest.mark.parametrize("largest", [21_000, 60_000_000])
def test_unpacked_files_are_the_packed_ones_byte_for_byte(here, tmp_path: Path, largest: int) -> None:
    releases, folder = here
    (release,) = releases.values()
    told: list[tuple[int, int]] = []
    parts = pack(
        release.name, tmp_path / "parts", data_dir=folder.parent, releases=releases, largest=largest,
        on_progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert all(part.stat().st_size <= max(largest, 40_000) for part in parts)
    assert (len(parts) > 1) == (largest == 21_000)
    files = (*release.binary.train, *release.binary.test)
    assert told[-1][0] == 4 * len(files)
    # In any order.
    restored = unpack_parts(parts[::-1], data_dir=tmp_path / "elsewhere", releases=releases)
    for name in files:
        assert (restored / name).read_bytes() == (folder / name).read_bytes()
    there, again = (load(release.name, "test", place, releases) for place in (folder.parent, restored.parent))
    assert there.fingerprint() == again.fingerprint()
    assert there.classes == again.classes
    with pytest.raises(DataError, match="is there already"):
        unpack_parts(parts, data_dir=tmp_path / "elsewhere", releases=releases)


def rewritten(part: Path, change) -> None:
    with zipfile.ZipFile(part) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    change(entries)
    with zipfile.ZipFile(part, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)


def flip_a_label(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.endswith(".labels"))
    entries[name] = bytes([entries[name][0] ^ 1]) + entries[name][1:]


def drop_a_strip(entries: dict[str, bytes]) -> None:
    del entries[next(name for name in entries if name.endswith(".webp"))]


def drop_labels(entries: dict[str, bytes]) -> None:
    del entries[next(name for name in entries if name.endswith(".labels"))]


def damage_a_picture(entries: dict[str, bytes]) -> None:
    entries[next(name for name in entries if name.endswith(".webp"))] = b"RIFF"


def rename(entries: dict[str, bytes]) -> None:
    entries[MANIFEST] = json.dumps({**json.loads(entries[MANIFEST]), "name": "../cifar"}).encode()


def another_kind(entries: dict[str, bytes]) -> None:
    entries[MANIFEST] = b"[]"


def files_by_number(entries: dict[str, bytes]) -> None:
    manifest = json.loads(entries[MANIFEST])
    entries[MANIFEST] = json.dumps({**manifest, "files": list(manifest["files"])}).encode()


def no_classes(entries: dict[str, bytes]) -> None:
    entries[MANIFEST] = json.dumps({**json.loads(entries[MANIFEST]), "classes": None}).encode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (flip_a_label, "incomplete or damaged"),
        (drop_a_strip, "incomplete or damaged"),
        (drop_labels, "a damaged part"),
        (damage_a_picture, "cannot be read"),
        (rename, "unknown data set"),
        (another_kind, "not a part"),
        (files_by_number, "names no files"),
        (no_classes, "no classes"),
    ],
)
def test_damaged_parts_restore_nothing(here, tmp_path: Path, change, says: str) -> None:
    releases, folder = here
    (release,) = releases.values()
    (part,) = pack(release.name, tmp_path, data_dir=folder.parent, releases=releases)
    rewritten(part, change)
    with pytest.raises(DataError, match=says):
        unpack_parts([part], data_dir=tmp_path / "elsewhere", releases=releases)
    assert not list((tmp_path / "elsewhere").glob("*"))


def test_entries_that_cannot_be_unpacked_are_damage(here, tmp_path: Path) -> None:
    releases, folder = here
    (release,) = releases.values()
    (part,) = pack(release.name, tmp_path, data_dir=folder.parent, releases=releases)
    with zipfile.ZipFile(part) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
        begin = file.getinfo(next(name for name in entries if name.endswith(".webp"))).header_offset + 60
    content = bytearray(part.read_bytes())
    content[begin : begin + 40] = b"\xff" * 40
    part.write_bytes(content)
    with pytest.raises(DataError, match="a damaged part"):
        unpack_parts([part], data_dir=tmp_path / "elsewhere", releases=releases)


def test_devices_pipes_and_links_are_no_parts(here, tmp_path: Path) -> None:
    releases, folder = here
    (release,) = releases.values()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="not a file"):
            unpack_parts([path], data_dir=tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / f"{release.name}.1.pack").symlink_to(precious)
    with pytest.raises(LipscopeError, match="symbolic link"):
        pack(release.name, tmp_path, data_dir=folder.parent, releases=releases)
    assert precious.read_text() == "precious"


def test_what_is_no_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pack").write_bytes(b"PK\x03\x04nonsense")
    for path, says in ((tmp_path / "a.pack", "not a part"), (tmp_path / "none", "no such file")):
        with pytest.raises(DataError, match=says):
            unpack_parts([path], data_dir=tmp_path)
    with pytest.raises(DataError, match="not found"):
        pack("cifar10", tmp_path, data_dir=tmp_path)
