from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import lipscope
from lipscope.cli import run
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header
from lipscope.files.kind import KINDS, kind_beside, require_model


def test_every_schema_that_is_written_beside_a_model_is_known() -> None:
    """Found in the source: a new kind of file must say here what it is."""
    source = "".join(path.read_text(encoding="utf-8") for path in Path(lipscope.__file__).parent.rglob("*.py"))
    assert "lipscope.results" in (written := set(re.findall(r'"(lipscope\.[a-z]+)": SCHEMA', source)))
    assert written - {"lipscope.schema"} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("command", ["inspect", "certify", "attack"])
def test_what_lies_beside_a_model_is_named_and_not_taken_for_one(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.certified.safetensors"
    save_file({"radius": np.zeros(3)}, path, {name: "any version"})
    with pytest.raises(CheckpointError, match=KINDS[name]):
        require_model(read_header(path))
    assert run([command, str(path)]) == 4
    assert f"holds {KINDS[name]}, not a model" in capsys.readouterr().err


def test_a_model_is_none_of_them(tiny_model: Path) -> None:
    assert kind_beside(read_header(tiny_model).metadata) is None
    require_model(read_header(tiny_model))


def test_a_bare_command_takes_no_results_for_a_model(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    Path("checkpoints").mkdir()
    save_file({"radius": np.zeros(3)}, "checkpoints/a.safetensors", {"lipscope.results": "1"})
    tiny_model.rename("checkpoints/c.safetensors")
    assert run(["inspect", "--json"]) == 0
    assert "model checkpoints/c.safetensors" in capsys.readouterr().err
