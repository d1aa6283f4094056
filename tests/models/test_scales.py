"""Eight-bit weights and their scales, against torch's own dequantisation in float64."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lipscope.analysis import tensors as room
from lipscope.analysis.analysis import inspect_report
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import TensorInfo
from lipscope.models.described import load_described
from lipscope.models.scales import scales_of

WEIGHT = torch.from_numpy(np.random.default_rng(3).normal(size=(12, 20))).to(torch.float8_e4m3fn)


def scales(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(4).uniform(0.01, 3, size=shape)).float()


CASES = {
    "one": ("weight_scale", scales(), scales().expand(12, 20)),
    "one, as a vector": ("scale_weight", scales(1), scales(1).expand(12, 20)),
    "one a row": ("weight_scale", scales(12), scales(12).reshape(12, 1)),
    "one a row, bfloat16": ("weight_scale", scales(12, 1).bfloat16(), scales(12, 1).bfloat16()),
    "one a block": (
        "weight_scale_inv", scales(3, 3), scales(3, 3).repeat_interleave(4, 0).repeat_interleave(8, 1)[:, :20],
    ),
    "powers of two": (
        "weight_scale", torch.tensor([[120], [130], [127]], dtype=torch.uint8).view(torch.float8_e8m0fnu),
        torch.tensor([[2.0**-7], [2.0**3], [1.0]]).repeat_interleave(4, 0),
    ),
}  # fmt: skip


def saved(folder: Path, name: str, scale: Tensor, weight: Tensor = WEIGHT) -> Path:
    """What safetensors for torch has no name for is written under another one of the same size."""
    path = folder / "m.safetensors"
    odd = scale.dtype == torch.float8_e8m0fnu
    save_file({"a.weight": weight, f"a.{name}": scale.view(torch.uint8) if odd else scale}, path, {"format": "pt"})
    if odd:
        content = path.read_bytes()
        length = 8 + int.from_bytes(content[:8], "little")
        header = content[8:length].replace(b'"U8"', b'"F8_E8M0"').rstrip()
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[length:])
    return path


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in parts"])
@pytest.mark.parametrize("case", CASES)
def test_the_bound_is_of_the_product(tmp_path: Path, case: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name, scale, factors = CASES[case]
    if not whole:
        monkeypatch.setattr(room, "WHOLE", 10)
    path = saved(tmp_path, name, scale)
    rows = {row.name: row for row in inspect_report(path).layers}
    product = WEIGHT.double() * factors.double()
    norm = np.linalg.norm(product.numpy(), 2)
    found = rows["a.weight"]
    assert norm * (1 - 1e-14) <= found.bound.value <= norm * (1 + 1e-9)
    assert found.sigma_max is not None
    assert found.sigma_max.value == pytest.approx(norm, rel=1e-9)
    assert f"scaling gives with a.{name}" in found.notes[0]
    assert not rows[f"a.{name}"].bound.proved


@pytest.mark.parametrize("case", CASES)
def test_a_description_uses_the_product_too(tmp_path: Path, case: str) -> None:
    name, scale, factors = CASES[case]
    path = saved(tmp_path, name, scale)
    about = tmp_path / "d.json"
    layers = [{"kind": "linear", "weight": "a.weight"}]
    about.write_text(json.dumps({"schema": "lipscope.describe/1", "input_shape": [20], "layers": layers}))
    model = load_described(path, about)
    x = torch.eye(20, dtype=torch.float64)
    assert torch.equal(model.net.double()(x).mT, WEIGHT.double() * factors.double())
    assert model.unused == ()


def test_a_convolution_has_a_scale_for_every_output(tmp_path: Path) -> None:
    kernel = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0)).to(torch.float8_e5m2)
    factor = torch.tensor([4.0, 1.0, 1.0, 1.0])
    _, row = inspect_report(saved(tmp_path, "weight_scale", factor, kernel)).layers
    (plain,) = inspect_report(_alone(tmp_path, kernel.double() * factor.double().reshape(4, 1, 1))).layers
    assert row.bound.value == plain.bound.value


def _alone(folder: Path, kernel: Tensor) -> Path:
    save_file({"a.weight": kernel}, folder / "alone.safetensors", {"format": "pt"})
    return folder / "alone.safetensors"


@pytest.mark.parametrize(
    ("weight", "scale", "dtype", "why"),
    [
        ((12, 20), (5, 1), "F32", "does not tell which numbers"),
        ((192, 8), (2, 1), "F32", "does not tell which numbers"),  # blocks of 96 or of 128
        ((12, 20), (12,), "I32", "its scales are I32"),
        ((12, 20), (12,), "F64", "its scales are F64"),
        ((4, 3, 3), (2, 1, 1), "F32", "does not tell which numbers"),
    ],
)
def test_scales_that_cannot_be_told_are_said_to_be(
    weight: tuple[int, ...], scale: tuple[int, ...], dtype: str, why: str
) -> None:
    info = TensorInfo("a.weight", "F8_E4M3", weight, (0, 0))
    known = {"a.weight": info, "a.weight_scale": TensorInfo("a.weight_scale", dtype, scale, (0, 0))}
    assert why in str(scales_of(known, info))


def test_neither_report_nor_description_uses_a_weight_whose_scales_are_not_understood(tmp_path: Path) -> None:
    path = saved(tmp_path, "weight_scale", scales(5, 1))
    row = next(row for row in inspect_report(path).layers if row.name == "a.weight")
    assert not row.bound.proved
    assert "which numbers each of them is for" in row.bound.reason
    about = tmp_path / "d.json"
    layers = [{"kind": "linear", "weight": "a.weight"}]
    about.write_text(json.dumps({"schema": "lipscope.describe/1", "input_shape": [20], "layers": layers}))
    with pytest.raises(CheckpointError, match="cannot be used") as caught:
        load_described(path, about)
    assert "which numbers each of them is for" in caught.value.why


@pytest.mark.parametrize("shape", [(4, 3, 3), (4, 3, 3, 3, 3)])
def test_kernels_of_one_and_three_dimensions_are_said_to_be_no_part_of_a_description(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = _alone(tmp_path, torch.ones(shape))
    assert inspect_report(path).layers[0].bound.proved
    about = tmp_path / "d.json"
    layers = [{"kind": "conv2d", "weight": "a.weight"}]
    about.write_text(json.dumps({"schema": "lipscope.describe/1", "input_shape": [3, 8, 8], "layers": layers}))
    with pytest.raises(CheckpointError, match="does not fit a conv2d") as caught:
        load_described(path, about)
    assert "without --describe" in caught.value.next_step
