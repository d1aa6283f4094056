from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from lipscope.analysis.analysis import inspect_report
from lipscope.analysis.exhibit import exhibit
from lipscope.analysis.witness import NETWORK, read_witness
from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.files.checkpoint import sha256_of
from lipscope.records import Verdict

TRIPLE = 3 * torch.eye(4) + torch.diag(torch.ones(3), 1)


@pytest.fixture
def files(tmp_path):
    """A described network whose only layer expands."""
    save_file({"fc.weight": TRIPLE}, tmp_path / "m.safetensors")
    content = {"schema": "lipscope.describe/1", "input_shape": [4], "layers": [{"kind": "linear", "name": "fc"}]}
    (tmp_path / "m.json").write_text(json.dumps(content))
    return tmp_path / "m.safetensors", tmp_path / "m.json"


def test_what_stands_in_the_file_is_what_the_verdict_says(files, tmp_path):
    path, description = files
    judged = inspect_report(path, description=description).verdict
    target = tmp_path / "w.safetensors"
    found = exhibit(path, target, judged, description=description)
    assert judged.status == "violated"
    assert found.ratio == pytest.approx(judged.lipschitz, rel=1e-9)
    kept = read_witness(target)
    assert (kept.layer, kept.model_sha256, kept.ratio) == (NETWORK, sha256_of(path), found.ratio)
    step = (kept.x - kept.y).double()
    assert float((TRIPLE.double() @ step).norm() / step.norm()) == pytest.approx(kept.ratio, rel=1e-9)
    largest = float(torch.linalg.svdvals(TRIPLE.double())[0])
    assert 0.99 * largest < kept.ratio <= largest * (1 + 1e-9)


def test_a_model_that_has_become_another_is_no_violation(files, tmp_path):
    """The verdict was about other bytes: the vectors do not hold, and that is said."""
    path, description = files
    save_file({"fc.weight": TRIPLE / 100}, path)
    judged = Verdict("violated", 4.0, "the whole network")
    with pytest.raises(CheckpointError, match="the witness does not hold"):
        exhibit(path, tmp_path / "w.safetensors", judged, description=description)
    assert not (tmp_path / "w.safetensors").exists()


def test_the_model_is_not_overwritten(files):
    path, description = files
    before = path.read_bytes()
    with pytest.raises(UsageError, match="would overwrite the model"):
        exhibit(path, path.parent / "." / path.name, Verdict("violated", 4.0, ""), description=description)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written(files, tmp_path):
    path, description = files
    judged = Verdict("violated", 4.0, "")
    with pytest.raises(LipscopeError, match="cannot be written"):
        exhibit(path, tmp_path / "nowhere" / "w.safetensors", judged, description=description)
