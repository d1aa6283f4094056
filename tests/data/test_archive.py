from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from lipscope.data import archive as archive_module
from lipscope.data.archive import read_archive, verified_files
from lipscope.data.releases import CIFAR10, Archive, Form
from lipscope.errors import DataError
from tests.data.makers import binary_files, md5, packed, tiny


def blessed(form: Form, data: bytes) -> Form:
    """The form, as if ``data`` were its official archive."""
    return replace(form, archive=Archive(form.archive.name, md5(data), len(data)))


def with_members(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["binary", "python"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_archives_are_read_without_unpacking(tmp_path, tiny_release, kind, split):
    release, archives = tiny_release
    form = release.binary if kind == "binary" else release.python
    path = tmp_path / form.archive.name
    path.write_bytes(archives[form.archive.name])
    images, labels = read_archive(path, form, release, split)
    whole = b"".join(binary_files(release)[name] for name in release.binary.files(split))
    records = np.frombuffer(whole, np.uint8).reshape(len(images), -1)
    assert np.array_equal(images.reshape(len(images), -1), records[:, -3072:])
    assert labels.tolist() == records[:, -3073].tolist()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_an_archive_of_another_checksum_is_not_opened(tmp_path, tiny_release, kind):
    release, archives = tiny_release
    form = release.binary if kind == "binary" else release.python
    path = tmp_path / form.archive.name
    path.write_bytes(archives[form.archive.name] + b"\0")
    with pytest.raises(DataError, match="not the official archive") as caught:
        read_archive(path, form, release, "test")
    assert form.archive.md5 in caught.value.why
    assert "binary" in caught.value.next_step


def test_a_cut_archive_and_a_missing_member_are_named(tmp_path):
    release, archives = tiny(CIFAR10)
    path = tmp_path / "archive.tar.gz"
    form = release.binary
    for data, message in [
        (archives[form.archive.name][:30000], "damaged"),
        (b"no archive at all", "damaged"),
        (gzip.compress(b"no tar at all"), "damaged"),
        (packed(form, {"test_batch.bin": bytes(3073)}), "no cifar-10-batches-bin/data_batch_1.bin in it"),
    ]:
        path.write_bytes(data)
        with pytest.raises(DataError, match=message):
            list(verified_files(path, blessed(form, data), form.train))


def test_links_and_huge_members_are_refused(tmp_path, monkeypatch):
    form = CIFAR10.binary
    link = tarfile.TarInfo(f"{form.folder}/test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    large = tarfile.TarInfo(f"{form.folder}/test_batch.bin")
    large.size = 3073
    monkeypatch.setattr(archive_module, "LARGEST_MEMBER", 3072)
    path = tmp_path / "archive.tar.gz"
    for data in (with_members((link, b"")), with_members((large, bytes(3073)))):
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a file of the expected size"):
            list(verified_files(path, blessed(form, data), form.test))


def test_only_the_files_asked_for_come_out(tmp_path):
    form = CIFAR10.binary
    names = [f"{form.folder}/test_batch.bin", "../test_batch.bin", "/test_batch.bin", f"{form.folder}/../x"]
    members = []
    for name in reversed(names):
        member = tarfile.TarInfo(name)
        member.size = len(name)
        members.append((member, name.encode()))
    data = with_members(*members)
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(data)
    found = list(verified_files(path, blessed(form, data), ("test_batch.bin",)))
    assert found == [("test_batch.bin", names[0].encode())]


def test_an_unreadable_archive_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        list(verified_files(tmp_path / "missing.tar.gz", CIFAR10.binary, CIFAR10.binary.test))
