"""The model that comes with the program is looked into without a file, images or training."""

from __future__ import annotations

from pathlib import Path

from lipscope.cli import run
from lipscope.commands.demo import MODEL, unpacked
from lipscope.files.results import results_path


def test_the_model_is_proved_and_its_radii_are_shown_without_images(no_data: Path, capsys) -> None:
    assert run(["demo"]) == 0
    told, said = capsys.readouterr()
    assert "PROVED 1-Lipschitz" in told
    assert "claimed on 10,000 images of cifar10 test" in told  # another key signed them
    assert str(no_data / "demo" / MODEL) in said


def test_the_results_that_a_user_computed_stay_and_those_of_another_model_go(tmp_path: Path) -> None:
    model = unpacked(tmp_path / "demo")
    whole = {path.name: path.read_bytes() for path in model.parent.iterdir()}
    assert len(whole) == 3
    results_path(model).write_bytes(b"own")
    assert unpacked(model.parent) == model
    assert results_path(model).read_bytes() == b"own"
    model.write_bytes(b"of an earlier version")
    unpacked(model.parent)
    assert {path.name: path.read_bytes() for path in model.parent.iterdir()} == whole


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run(["demo"]) == 1
    assert "XDG_CACHE_HOME" in capsys.readouterr().err
