"""The worked example of docs/adding-a-layer.md, run as it is printed there."""

from __future__ import annotations

import math
import re
import sys
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import lipscope.data
from lipscope.bounds.rounding import FLOAT32, FLOAT64
from lipscope.cli import run
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.records import Shape
from tests.always import always
from tests.dense import Matrix, unshuffle_matrix, zero_padded_matrix
from tests.layers.contract import Case, LinearLayerContract, noise

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-layer.md"
LAYER, LINE, TEST = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)

schur = types.ModuleType("lipscope.layers.schur")
sys.modules[schur.__name__] = schur  # deepcopy and torch look a class's module up by name, and so does the registry
exec(compile(LAYER, "adding-a-layer.md, the file", "exec"), schur.__dict__)
SchurConv2d, rescaled = schur.SchurConv2d, schur.rescaled


def frozen(layer):
    """The layer as a checkpoint would store it, with a bias."""
    layer.make_trainable(torch.Generator().manual_seed(3))
    layer.freeze()
    with torch.no_grad():
        layer.bias.copy_(noise(layer.out_channels, seed=9))
    return layer


used = (ClassVar, Case, LinearLayerContract, Matrix, Shape, unshuffle_matrix, zero_padded_matrix)
exec(compile("from __future__ import annotations\n" + TEST, "adding-a-layer.md, the test", "exec"), globals())


@always(
    outputs=st.integers(1, 4), inputs=st.integers(1, 4), size=st.sampled_from([1, 3]), side=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_rescaled_kernel_never_expands(outputs, inputs, size, side, seed):
    kernel = rescaled(noise(outputs, inputs, size, size, seed=seed))
    assert np.linalg.norm(zero_padded_matrix(kernel.numpy(), side, side), 2) <= 1 + 1e-12


@pytest.mark.parametrize("stride", [1, 2])
def test_the_rounding_error_of_float32_is_covered(stride: int) -> None:
    layer = frozen(SchurConv2d(3, 5, 3, stride, 4)).eval().requires_grad_(False)
    for seed in range(20):
        x = noise(1, 3, 4, 4, seed=seed).float() * 10.0 ** (seed % 5 - 2)
        claimed = layer.rounding((3, 4, 4), float(x.double().norm()) * (1 + 1e-12), FLOAT32)
        assert float((layer(x).double() - layer(x.double())).norm()) <= claimed.error < 1e-3 * claimed.norm
        assert float(layer(x.double()).norm()) <= claimed.norm


def test_no_rounding_bound_is_claimed_while_it_trains() -> None:
    layer = SchurConv2d(3, 5, 3, 1, 4)
    layer.make_trainable(torch.Generator().manual_seed(0))
    assert math.isinf(layer.rounding((3, 4, 4), 1.0, FLOAT64).error)


def test_after_the_line_it_trains_inspects_and_certifies(monkeypatch, tmp_path, capsys, few_images):
    ((name, place),) = eval("{" + LINE + "}").items()
    monkeypatch.setitem(CONVOLUTIONS.places, name, place)
    out = tmp_path / "run"
    options = ("--dataset", "synthetic", "--channels", "2", "--epochs", "1", "--batch", "100", "--holdout", "100")
    monkeypatch.setattr(lipscope.data, "load", lambda name, split, data_dir: few_images)
    assert run(["train", "--conv", "schur", *options, "--out", str(out)]) == 0
    model = str(out / "model.safetensors")
    assert run(["inspect", "--check", model]) == 0
    assert run(["certify", model, "--limit", "50"]) == 0
    assert "Schur 3x3, stride 2" in capsys.readouterr().out


def test_the_page_names_files_that_exist():
    for path in re.findall(r"`((?:lipscope|tests)/[\w/.-]+)`", PAGE.read_text()):
        assert (PAGE.parents[1] / path).exists(), path


def test_without_the_line_it_is_refused_by_name(tmp_path, capsys):
    assert run(["train", "--conv", "schur", "--dataset", "synthetic", "--out", str(tmp_path / "run")]) == 2
    assert "unknown conv 'schur'" in capsys.readouterr().err
