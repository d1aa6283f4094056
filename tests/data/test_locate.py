from __future__ import annotations

from pathlib import Path

import pytest

from lipscope.data.locate import find, find_all, not_found, search_folders, target_folder
from lipscope.data.releases import CIFAR10


def test_the_search_order(monkeypatch, tmp_path):
    named, variable, cache = tmp_path / "named", tmp_path / "variable", tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert search_folders() == (cache / "lipscope",)
    monkeypatch.setenv("LIPSCOPE_DATA", str(variable))
    assert search_folders() == (variable, cache / "lipscope")
    assert search_folders(named) == (named, variable, cache / "lipscope")
    assert search_folders(variable) == (variable, cache / "lipscope")
    assert (target_folder(named), target_folder()) == (named, variable)
    monkeypatch.setenv("LIPSCOPE_DATA", "  ")
    assert target_folder() == cache / "lipscope"


def test_the_variable_knows_the_home_folder(monkeypatch):
    monkeypatch.setenv("LIPSCOPE_DATA", "~/data")
    assert search_folders()[0] == Path.home() / "data"


def test_forms_in_the_order_of_preference(monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("LIPSCOPE_DATA", str(second))
    assert find("cifar10", first) is None
    second.mkdir()
    (second / "cifar-10-batches-bin").mkdir()
    first.mkdir()
    (first / "cifar-10-python.tar.gz").touch()
    (first / "cifar-10-binary.tar.gz").touch()
    (first / "cifar-10-batches-py").mkdir()
    expected = [
        (first / "cifar-10-batches-py", "python", "folder"),
        (first / "cifar-10-binary.tar.gz", "binary", "archive"),
        (first / "cifar-10-python.tar.gz", "python", "archive"),
        (second / "cifar-10-batches-bin", "binary", "folder"),
    ]
    places = find_all("cifar10", first)
    assert [(place.path, place.form.kind, place.packing) for place in places] == expected
    assert find("cifar10", first) == places[0]
    assert find("cifar100", first) is None


def test_the_folder_itself_may_be_named(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    place = find("cifar10", folder)
    assert place is not None
    assert place.path == folder


def test_a_file_of_the_folders_name_is_not_found(tmp_path):
    (tmp_path / "cifar-10-batches-bin").touch()
    (tmp_path / "cifar-10-binary.tar.gz").mkdir()
    assert find("cifar10", tmp_path) is None


@pytest.mark.parametrize("needed", ["first", "second", "no-cache/lipscope"])
def test_the_error_names_every_folder(monkeypatch, tmp_path, needed):
    monkeypatch.setenv("LIPSCOPE_DATA", str(tmp_path / "second"))
    (tmp_path / "first").mkdir()
    error = not_found(CIFAR10, tmp_path / "first")
    assert str(tmp_path / needed) in error.why
    assert f"{tmp_path / 'second'} (no such folder)" in error.why
    assert f"{tmp_path / 'first'}," in error.why
    for advice in ("lipscope data fetch cifar10", "LIPSCOPE_DATA", "--data-dir", "--dataset synthetic"):
        assert advice in error.next_step
