"""How often a command opens, parses and hashes the model that it is about: once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import safetensors.torch

import lipscope
from lipscope.cli import run
from lipscope.models import stored

pytestmark = pytest.mark.usefixtures("no_data")

QUICK = ("--steps", "1", "--restarts", "1", "--attacks", "pgd", "--eps", "4/255")


class Counts:
    """Counts what is done with one file."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.parsed = self.hashed = 0
        size, really_open, really_hash = path.stat().st_size, os.open, hashlib.sha256

        def opening(name, *arguments, **keywords):
            self.opened += Path(os.fsdecode(name)).name == path.name if isinstance(name, str | bytes | Path) else 0
            return really_open(name, *arguments, **keywords)

        def parsing(content):
            self.parsed += 1
            return safetensors.torch.load(content)

        def hashing(content=b"", **keywords):
            self.hashed += len(content) == size
            return really_hash(content, **keywords)

        monkeypatch.setattr(os, "open", opening)
        monkeypatch.setattr(stored, "parsed", parsing)
        monkeypatch.setattr(hashlib, "sha256", hashing)
        monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "--json"),
        ("inspect", "--check"),
        ("certify", "--limit", "2"),
        ("certify", "--limit", "2", "--fast"),
        ("attack", "--limit", "2", "--no-keep", *QUICK),
    ],
    ids=" ".join,
)
def test_a_command_opens_its_model_once(arguments, tiny_model: Path, monkeypatch, capsys) -> None:
    counts = Counts(tiny_model, monkeypatch)
    command, *options = arguments
    assert run([command, str(tiny_model), *options]) == 0
    assert (counts.opened, counts.parsed, counts.hashed) == (1, 1, 1)


def test_the_door_opens_its_model_once(tiny_model: Path, monkeypatch) -> None:
    counts = Counts(tiny_model, monkeypatch)
    lipscope.attack(tiny_model, "synthetic", limit=2, eps="4/255", steps=1, restarts=1)
    assert (counts.opened, counts.parsed, counts.hashed) == (1, 1, 1)
