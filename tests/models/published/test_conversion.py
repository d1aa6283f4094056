from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipscope.errors import UsageError
from lipscope.files.checkpoint import read_header, sha256_of
from lipscope.models.published import convert
from tests.commands.test_convert import published


def test_it_lies_beside_its_source_and_is_overwritten_only_by_force(tmp_path: Path) -> None:
    source, told = tmp_path / "best.pth", list[str]()
    torch.save({"ema": {"module." + name: value for name, value in published().items()}}, source)
    target = convert(source, note=told.append)
    assert target == tmp_path / "best.safetensors"
    assert told[0] == "the state dict is at ema"
    assert told[1].startswith("taken off before the names: module.")
    assert told[-1].endswith("10 classes")
    assert read_header(target).training["source_sha256"] == sha256_of(source)
    before = target.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        convert(source)
    assert convert(source, force=True) == target
    assert target.read_bytes() == before
    assert convert(source, tmp_path / "other.safetensors").read_bytes() == before
