"""Each family of convolutions from training to certificate, by the commands alone."""

from __future__ import annotations

import json

import pytest
import torch

import lipscope.data
from lipscope.cli import run
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.stored import load_model
from lipscope.records import VERDICT_TOLERANCE

pytestmark = pytest.mark.usefixtures("no_data")

THOROUGHLY = ("soc", "bcop", "cayley", "bro", "lot")
"""Families that are tried in every usual combination; each other one is tried in one of them, in turn."""

USUAL = [
    (1, "maxmin", "lln", ("--float32",)),
    (1, "hh1", "orthogonal", ()),
    (2, "hh2", "lln", ("--float32",)),
]
OTHERS = [
    (3, "maxmin", "orthogonal", ()),
    (1, "hh1", "lln", ()),
    (1, "hh2", "orthogonal", ("--float32",)),
    (1, "groupsort4", "lln", ()),
    *((blocks, "maxmin", "lln", ()) for blocks in range(4, 9)),
]

CELLS = [
    pytest.param(conv, *cell, marks=() if cell in daily else pytest.mark.slow)
    for place, conv in enumerate(CONVOLUTIONS)
    for daily in [USUAL if conv in THOROUGHLY else [USUAL[place % len(USUAL)]]]
    for cell in USUAL + OTHERS
]
"""Every family in every combination."""


@pytest.mark.parametrize(("conv", "blocks", "activation", "head", "precision"), CELLS)
def test_a_net_is_trained_stored_proved_and_certified(
    conv, blocks, activation, head, precision, tmp_path, capsys, monkeypatch, few_images
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(lipscope.data, "load", lambda name, split, data_dir: few_images)
        channels = "4" if activation == "groupsort4" else "2"
        arguments = ["train", "--dataset", "synthetic", "--conv", conv, "--blocks", str(blocks), "--channels", channels]
        arguments += ["--activation", activation, "--head", head, "--batch", "100", "--epochs", "2", "--lr", "0.05"]
        assert run([*arguments, *precision, "--out", str(out)]) == 0
    stdout, stderr = capsys.readouterr()
    model = out / "model.safetensors"
    assert stdout == f"{model}\n"
    assert CONVOLUTIONS[conv].title in stderr

    net = load_model(model).net
    assert not any("parametrization" in name for name in net.state_dict())
    assert any(torch.any(parameter != 0) for parameter in net.parameters())

    assert run(["inspect", "--json", str(model)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["verdict"]["status"] == "proved"
    family = CONVOLUTIONS[conv]
    layers = [layer["bound"] for layer in facts["layers"] if layer["kind"].startswith(f"{family.title} ")]
    # The rows of an orthogonal head are orthonormal, whatever the family of the layers before it.
    last = f"orthogonal ({CONVOLUTIONS[family.head or conv].title} 1x1)"
    heads = [layer["bound"] for layer in facts["layers"] if layer["kind"] == last]
    assert len(layers) == 5 * blocks
    assert len(heads) == (head == "orthogonal")
    assert all(bound["proved"] and bound["value"] <= 1 + VERDICT_TOLERANCE for bound in layers + heads)
    # AOL divides by more than the norm, so that its layers come close to 1 only; no other family gives anything away.
    assert all(bound["value"] > (0.9 if conv == "aol" else 1 - 1e-6) for bound in layers)
    assert all(bound["value"] > 1 - 1e-6 for bound in heads)

    assert run(["certify", "--json", "--eps", "36/255", "--limit", "200", str(model)]) == 0
    certified = json.loads(capsys.readouterr().out)
    assert certified["lipschitz"]["proved"] is True
    assert certified["average_certified_radius"] > 0
