"""Weights that a layer computes, against torch's own layers in eval mode and float64."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from lipscope.analysis.analysis import inspect_report
from lipscope.analysis.parametrised import UNKNOWN, Effective
from lipscope.analysis.parametrised import spectral_norm as effective_spectral
from lipscope.analysis.parametrised import weight_norm as effective_weight
from tests.dense import covers, zero_padded_matrix

LAYERS = {
    "weight norm": (weight_norm, "weight_v", {"weight_g"}),
    "spectral norm": (spectral_norm, "weight_orig", {"weight_u", "weight_v"}),
    "weight norm, new": (
        parametrizations.weight_norm, "parametrizations.weight.original1", {"parametrizations.weight.original0"},
    ),
    "spectral norm, new": (
        parametrizations.spectral_norm, "parametrizations.weight.original",
        {"parametrizations.weight.0._u", "parametrizations.weight.0._v"},
    ),
    "pruning": (lambda layer: prune.random_unstructured(layer, "weight", 0.4), "weight_orig", {"weight_mask"}),
}  # fmt: skip
MODULES = {
    "linear": lambda: nn.Linear(5, 4),
    "square": lambda: nn.Linear(4, 4),
    "convolution": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("how", LAYERS)
def test_the_bound_is_about_the_weight_that_the_layer_computes(tmp_path, how, module):
    wrap, carrier, others = LAYERS[how]
    torch.manual_seed(0)
    layer = wrap(MODULES[module]()).double()
    for parameter in layer.parameters():  # away from the initial values, at which nothing is parametrised yet
        parameter.data.mul_(1.7)
    layer(torch.randn(1, *((3, 8, 8) if "conv" in module or module == "transposed" else (layer.in_features,))).double())
    layer.eval()
    layer(torch.zeros(1, *((3, 8, 8) if "conv" in module or module == "transposed" else (layer.in_features,))).double())
    save_file({name: value.clone() for name, value in layer.state_dict().items()}, tmp_path / "m.safetensors",
              {"format": "pt"})  # fmt: skip
    rows = {row.name: row for row in inspect_report(tmp_path / "m.safetensors").layers}
    weight = layer.weight.detach().numpy()
    row = rows[carrier]
    assert row.bound.proved
    assert any("bound of the weight that" in note for note in row.notes)
    if weight.ndim == 2:
        norm = np.linalg.norm(weight, 2)
        assert norm * (1 - 1e-14) <= row.bound.value
        if (how, module) != ("spectral norm, new", "square"):  # which of two equal axes is meant is not in the file
            assert row.bound.value <= norm * (1 + 1e-9) or "spectral" in how
        assert row.sigma_max.value <= row.bound.value * (1 + 1e-12)
    else:
        assert covers(row.bound.value, zero_padded_matrix(weight, 6, 5))
        assert row.bound.value < 1.6 * np.linalg.norm(zero_padded_matrix(weight, 9, 9), 2) or "spectral" in how
    for name in others:
        assert not rows[name].bound.proved
        assert carrier in rows[name].bound.reason
    if "spectral" in how and module != "square":
        assert row.bound.value == pytest.approx(row.bound.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("wrap", "pruned"), [(spectral_norm, "weight_orig"), (weight_norm, "weight_v"), (weight_norm, "weight_g")]
)
def test_a_pruned_part_of_a_computed_weight_is_no_weight(tmp_path, wrap, pruned):
    """What pruning leaves is normalised after that: its own norm was called that of the weight."""
    layer = prune.random_unstructured(wrap(nn.Linear(5, 4)), pruned, 0.4)
    save_file(dict(layer.state_dict()), tmp_path / "m.safetensors", {"format": "pt"})
    rows = {row.name: row for row in inspect_report(tmp_path / "m.safetensors").layers}
    assert {row.bound.reason for name, row in rows.items() if name != "bias"} == {UNKNOWN}
    prune.random_unstructured(alone := nn.ParameterDict({"w_v": torch.ones(3, 2)}), "w_v", 0.4)
    save_file(dict(alone.state_dict()), tmp_path / "n.safetensors", {"format": "pt"})
    assert inspect_report(tmp_path / "n.safetensors").layers[1].bound.proved


@pytest.mark.filterwarnings("ignore")
def test_the_stored_vectors_count_not_the_best_ones(tmp_path):
    """Vectors that are not singular ones make sigma small and the weight large: eval mode takes them as they are."""
    layer = spectral_norm(nn.Linear(3, 2)).double().eval()
    with torch.no_grad():
        layer.weight_orig.copy_(torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        layer.weight_u.copy_(torch.tensor([0.0, 1.0]))
        layer.weight_v.copy_(torch.tensor([0.0, 1.0, 0.0]))
    save_file(layer.state_dict(), tmp_path / "m.safetensors", {"format": "pt"})
    row = next(row for row in inspect_report(tmp_path / "m.safetensors").layers if row.name == "weight_orig")
    assert 3.0 <= row.bound.value < 3.0 * (1 + 1e-12)  # 3 / 1, although its largest singular value is 3 / 3 at best


def test_parametrisations_that_the_file_does_not_name_prove_nothing(tmp_path):
    layer = parametrizations.orthogonal(nn.Linear(4, 4))
    state = {name: value.contiguous().clone() for name, value in layer.state_dict().items()}
    save_file({**state, "other.weight_orig": torch.eye(3)}, tmp_path / "m.safetensors", {"format": "pt"})
    rows = {row.name: row for row in inspect_report(tmp_path / "m.safetensors").layers}
    for name in (*(name for name in state if "parametrizations" in name), "other.weight_orig"):
        assert not rows[name].bound.proved
        assert rows[name].bound.reason == UNKNOWN
        assert rows[name].kind.startswith("part of a ")
    json.dumps([row.to_json() for row in rows.values()], allow_nan=False)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1.0, 1e200, 1e305])
def test_lengths_that_would_over_or_underflow(scale):
    directions = scale * torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    found = effective_weight(directions, torch.tensor([[5.0], [2.0]], dtype=torch.float64))
    assert isinstance(found, Effective)
    # What is stored of subnormal numbers is coarse.
    expected = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    assert torch.allclose(found.weight, expected, rtol=1e-3 if scale < 1e-300 else 1e-15, atol=0)
    assert float((found.weight - expected).norm()) <= found.error or scale != 1.0


def test_what_the_layer_divides_by_zero():
    zero = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert "row of the directions is 0" in effective_weight(zero, torch.ones(2, 1, dtype=torch.float64))
    left, right = torch.tensor([1.0, 0.0]).double(), torch.tensor([1.0, 0.0]).double()
    assert "divides by 0" in effective_spectral(zero, left, right)
    assert "do not fit" in effective_spectral(zero, torch.ones(3).double(), right)


def test_of_two_possible_axes_the_smaller_divisor_counts():
    weight = torch.tensor([[0.0, 2.0], [8.0, 0.0]], dtype=torch.float64)
    left, right = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    found = effective_spectral(weight, left, right)  # 2 as torch.nn.Linear has it, 8 for the other axis
    assert isinstance(found, Effective)
    assert math.isclose(found.divisor, 2.0, rel_tol=1e-14)
    assert found.divisor <= 2.0
