from __future__ import annotations

import os
from dataclasses import replace

import pytest

from lipscope.data import load
from lipscope.data.install import fetch, import_archive, unpack
from lipscope.data.releases import CIFAR10, Archive
from lipscope.data.transfer import Patience
from lipscope.errors import DataError
from tests.data.makers import binary_files, md5, packed, tiny
from tests.data.server import answer, answer_range, serving

QUICK = Patience(seconds=60, tries=3, pause=0.001)


def test_fetch_ends_in_a_folder_that_load_reads(tmp_path, tiny_release):
    release, archives = tiny_release
    releases = {release.name: release}
    body = archives[release.binary.archive.name]

    def script(handler, number):
        answer_range(handler, body, stop=10_000 if number == 0 else None)

    with serving(script) as server:
        folder = fetch(release.name, url=server.url, data_dir=tmp_path, releases=releases, patience=QUICK)
    assert folder == tmp_path / release.binary.folder
    assert [path.name for path in tmp_path.iterdir()] == [release.binary.folder]
    files = binary_files(release)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert len(load(release.name, "train", tmp_path, releases)) == release.sizes["train"]


def test_fetch_takes_mirror_and_folder_from_the_environment(tmp_path, monkeypatch):
    release, archives = tiny(CIFAR10)
    body = archives[release.binary.archive.name]
    monkeypatch.setenv("LIPSCOPE_DATA", str(tmp_path / "data"))
    with serving(lambda handler, number: answer_range(handler, body)) as server:
        monkeypatch.setenv("LIPSCOPE_CIFAR10_URL", server.url)
        folder = fetch("cifar10", releases={"cifar10": release}, patience=QUICK)
    assert folder == tmp_path / "data" / "cifar-10-batches-bin"
    assert len(server.headers) == 1


def test_fetch_of_what_is_there_asks_nobody(tmp_path):
    release, _ = tiny(CIFAR10)
    folder = tmp_path / release.binary.folder
    folder.mkdir()
    for name, data in binary_files(release).items():
        (folder / name).write_bytes(data)
    lines = []
    with serving(lambda handler, number: answer(handler, 500)) as server:
        fetch("cifar10", url=server.url, data_dir=tmp_path, releases={"cifar10": release}, narrate=lines.append)
        assert server.headers == []
        assert lines == ["cifar10 is already there: 20 training and 4 test images"]
        (folder / "data_batch_1.bin").unlink()
        with pytest.raises(DataError, match="missing") as caught:
            fetch("cifar10", url=server.url, data_dir=tmp_path, releases={"cifar10": release})
    assert "move the folder away" in caught.value.next_step


def test_fetch_of_other_bytes_leaves_nothing(tmp_path):
    release, archives = tiny(CIFAR10)
    body = archives[release.binary.archive.name]
    with (
        serving(lambda handler, number: answer_range(handler, body[:-1] + b"x")) as server,
        pytest.raises(DataError, match="other bytes"),
    ):
        fetch("cifar10", url=server.url, data_dir=tmp_path, releases={"cifar10": release}, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_fetch_asks_for_room_first(tmp_path):
    form = replace(CIFAR10.binary, archive=Archive("a.tar.gz", "0" * 32, 10**18))
    release = replace(CIFAR10, binary=form)
    with pytest.raises(DataError, match="too little space"):
        fetch("cifar10", url="https://192.0.2.1/a", data_dir=tmp_path, releases={"cifar10": release})


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_import_knows_an_archive_by_its_checksum(tmp_path, tiny_release, kind):
    release, archives = tiny_release
    form = release.binary if kind == "binary" else release.python
    path = tmp_path / "renamed"
    path.write_bytes(archives[form.archive.name])
    place = import_archive(path, data_dir=tmp_path / "data", releases={"x": CIFAR10, release.name: release})
    assert (place.release, place.form, place.packing) == (release, form, "folder")
    assert place.path == tmp_path / "data" / form.folder
    assert path.exists()
    assert {file.name for file in place.path.iterdir()} == {*form.train, *form.test, form.names}
    assert len(load(release.name, "test", tmp_path / "data", {release.name: release})) == 4
    with pytest.raises(DataError, match="is there already"):
        import_archive(path, data_dir=tmp_path / "data", releases={release.name: release})


def test_import_of_anything_else(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with pytest.raises(DataError, match="no such file"):
        import_archive(path, data_dir=tmp_path)
    path.write_bytes(packed(CIFAR10.binary, binary_files(CIFAR10)))
    with pytest.raises(DataError, match="none of the official archives") as caught:
        import_archive(path, data_dir=tmp_path)
    assert md5(path.read_bytes()) in caught.value.why
    assert "cifar-100-python.tar.gz" in caught.value.why
    with pytest.raises(DataError, match="cannot be read"):
        import_archive(tmp_path, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [b"", b"\x0a" + bytes(3072), bytes(100)])
def test_unpack_is_all_or_nothing(tmp_path, damage):
    files = binary_files(CIFAR10)
    files["test_batch.bin"] = damage
    data = packed(CIFAR10.binary, files)
    form = replace(CIFAR10.binary, archive=Archive("a.tar.gz", md5(data), len(data)))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        unpack(path, form, CIFAR10, tmp_path)
    assert caught.value.where == f"{path}:test_batch.bin"
    assert list(tmp_path.iterdir()) == [path]


def test_unpack_where_it_cannot(tmp_path):
    release, archives = tiny(CIFAR10)
    path = tmp_path / "archive"
    path.write_bytes(archives[release.binary.archive.name])
    with pytest.raises(DataError, match="cannot be written"):
        unpack(path, release.binary, release, path)


def test_unpack_removes_what_a_killed_one_left(tmp_path):
    release, archives = tiny(CIFAR10)
    path = tmp_path / "archive"
    path.write_bytes(archives[release.binary.archive.name])
    leftover = tmp_path / f".{release.binary.folder}.12345.partial"
    leftover.mkdir()
    (leftover / "data_batch_1.bin").touch()
    folder = unpack(path, release.binary, release, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, folder])


def test_import_waits_for_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is a pipe"):
        import_archive(tmp_path / "pipe", data_dir=tmp_path)
