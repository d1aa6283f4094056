from __future__ import annotations

import os
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from lipscope.commands.models import choose_model
from lipscope.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def file(name: str, time: float = 1e9) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time, time))
    return path


def test_the_given_model_even_if_it_is_not_there(capsys):
    file("runs/a/model.safetensors")
    assert choose_model(Path("mine.safetensors")) == Path("mine.safetensors")
    assert capsys.readouterr().err == ""


def test_the_newest_run_before_any_checkpoint(capsys):
    file("runs/a/model.safetensors", 1e9)
    newest = file("runs/b/model.safetensors", 1e9 + 5)
    file("runs/c/model.safetensors", 1e9 + 1)
    file("runs/b/model.certified.safetensors", 1e9 + 9)
    file("checkpoints/z.safetensors", 1e9 + 100)
    assert choose_model(None) == newest
    assert capsys.readouterr() == ("", f"lipscope: model {newest}\n")


def test_the_first_checkpoint_without_runs():
    Path("runs/unfinished").mkdir(parents=True)
    for name in ("b.safetensors", "a.safetensors", "a.md"):
        file(f"checkpoints/{name}")
    for name in ("a.adversarial", "a.certified"):
        kind = "lipscope.adversarial" if "adversarial" in name else "lipscope.results"
        save_file({}, f"checkpoints/{name}.safetensors", {kind: "1"})
    assert choose_model(None) == Path("checkpoints/a.safetensors")


def test_nothing_here():
    with pytest.raises(UsageError) as caught:
        choose_model(None)
    assert "lipscope train" in caught.value.next_step
