from __future__ import annotations

import json

import pytest
import torch

from lipscope.cli import run
from lipscope.files.signing import Signer
from lipscope.version import __version__

pytestmark = pytest.mark.usefixtures("no_data")


def test_the_facts(capsys, tmp_path, no_data):
    assert run(["doctor", "--json", "--data-dir", str(tmp_path)]) == 0
    stdout, stderr = capsys.readouterr()
    facts = json.loads(stdout)
    assert stderr == ""
    assert facts["schema"] == "lipscope.doctor/1"
    assert facts["versions"]["lipscope"] == __version__
    assert facts["versions"]["torch"] == torch.__version__
    assert {"textual", "safetensors"} <= set(facts["versions"])
    assert "thread" in facts["devices"]["cpu"]
    assert list(facts["data searched in"].values()) == [str(tmp_path), str(no_data)]
    assert facts["data found"]["cifar10"].startswith("not found")
    assert facts["data found"]["synthetic"].startswith("generated")
    assert facts["what you keep is signed"] == {"key": str(Signer().path), "usable": "yes"}


def test_why_nothing_is_signed(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["what you keep is signed"]
    assert told["usable"] == f"your key {told['key']} cannot be used: Not a directory"


def test_as_text(capsys):
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("versions\n")
    assert f"lipscope {__version__}" in " ".join(text.split())
    assert "cudnn.conv" in text
