"""From one line of Python to every command: a network of somebody else's, with no code of its author."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import lipscope
from lipscope.cli import run
from tests.models.capture import nets


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.AvgPool2d(4), nn.Conv2d(3, 4, 3, padding=1), nets.Coupling(4), nn.GELU(),
        nn.Flatten(), nn.Linear(256, 10),
    ).eval()  # fmt: skip
    path = tmp_path / "model.safetensors"
    lipscope.save(net, path, input_shape=(3, 32, 32), dataset="synthetic", mean=(0.5,) * 3, std=(0.25,) * 3)
    return path


def answered(capsys, *arguments: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_inspect_certify_and_attack_take_it(model: Path, capsys) -> None:
    code, facts = answered(capsys, "inspect", str(model), "--check", "--max-lipschitz", "1000")
    assert code == 0
    assert facts["model"]["architecture"] == "Sequential"
    roles = [layer["role"] for layer in facts["layers"]]
    assert roles[0] == "normalisation"
    assert roles[-1] == "head"
    assert "part" in roles
    assert all(layer["bound"]["proved"] for layer in facts["layers"])
    code, certified = answered(capsys, "certify", str(model), "--limit", "20")
    assert code == 0
    assert certified["data"]["n"] == 20
    code, attacked = answered(capsys, "attack", str(model), "--limit", "3")
    assert code == 0
    assert attacked["violations"] == 0


def test_a_model_without_a_data_set_asks_for_one(tmp_path: Path, capsys) -> None:
    path = tmp_path / "model.safetensors"
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)).eval()
    lipscope.save(net, path, input_shape=(3, 32, 32))
    for command in ("certify", "attack"):
        assert run([command, str(path)]) == 2
        assert "names no data set" in capsys.readouterr().err
    assert run(["certify", str(path), "--dataset", "synthetic", "--limit", "5"]) == 0
