from __future__ import annotations

from lipscope.data.listing import listing
from lipscope.data.releases import CIFAR10
from tests.data.makers import binary_files, python_files, tiny


def test_nothing_found(tmp_path):
    entries = listing(tmp_path)
    assert [(entry.name, entry.form, entry.usable) for entry in entries] == [
        ("cifar10", "not found", False),
        ("cifar100", "not found", False),
        ("synthetic", "generated", True),
        ("synthetic100", "generated", True),
    ]
    assert "lipscope data fetch cifar100" in entries[1].note


def test_every_place_with_its_counts_and_troubles(tmp_path):
    release, archives = tiny(CIFAR10)
    releases = {"cifar10": release}
    for form, files in ((release.binary, binary_files(release)), (release.python, python_files(release))):
        (tmp_path / form.folder).mkdir()
        for name, data in files.items():
            (tmp_path / form.folder / name).write_bytes(data)
        (tmp_path / form.archive.name).write_bytes(archives[form.archive.name])
    good = listing(tmp_path, releases)[:4]
    forms = ["binary folder", "python folder", "binary archive", "python archive"]
    assert [(entry.form, entry.train, entry.test, entry.note) for entry in good] == [
        (form, 20, 4, "") for form in forms
    ]
    for name in ("cifar-10-batches-bin/data_batch_2.bin", "cifar-10-batches-py/test_batch"):
        (tmp_path / name).write_bytes(b"too short")
    for form in release.forms:
        (tmp_path / form.archive.name).write_bytes(b"other")
    bad = listing(tmp_path, releases)[:4]
    assert [(entry.form, entry.usable) for entry in bad] == [(form, False) for form in forms]
    for entry, words in zip(
        bad, ["truncated", "not the official one", "not the official archive", "not the official archive"],
        strict=True,
    ):  # fmt: skip
        assert words in entry.note


def test_a_part_of_the_release_is_usable_and_says_so(tmp_path):
    folder = tmp_path / CIFAR10.binary.folder
    folder.mkdir()
    for name, data in binary_files(CIFAR10).items():
        (folder / name).write_bytes(data)
    entry = listing(tmp_path)[0]
    assert (entry.usable, entry.train, entry.test) == (True, 20, 4)
    assert entry.note == "the release has 50,000 + 10,000 images"


def test_json_has_what_scripts_need(tmp_path):
    entry = listing(tmp_path)[2].to_json()
    assert entry == {
        "name": "synthetic", "classes": 10, "form": "generated", "path": None, "train": 5000, "test": 1000,
        "usable": True, "note": "seeded, always there",
    }  # fmt: skip
