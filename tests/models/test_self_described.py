"""Files that carry their description: read back as networks, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import described_metadata, read_header, with_sorted_metadata
from lipscope.models.described import described_net
from lipscope.models.stored import load, load_model

LAYERS = [
    {"kind": "conv2d", "name": "stem", "padding": 1},
    {"kind": "block", "name": "body", "layers": [
        {"kind": "relu", "name": "a"},
        {"kind": "sum", "name": "s", "of": ["a", "input"], "factors": [1, -0.5]},
    ]},
    {"kind": "flatten", "name": "row"},
    {"kind": "linear", "name": "fc"},
]  # fmt: skip


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"stem.weight": (2, 3, 3, 3), "fc.weight": (3, 32), "fc.bias": (3,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def written(tmp_path: Path):
    def write(layers: Any = LAYERS, held: dict[str, Tensor] | None = None, **changes: Any) -> Path:
        content = {"schema": "lipscope.describe/2", "input_shape": [3, 4, 4], "layers": layers, **changes}
        path = tmp_path / "model.safetensors"
        path.write_bytes(with_sorted_metadata(save(held or tensors(), described_metadata(content, {}))))
        return path

    return write


def test_it_is_a_network_with_a_head(written) -> None:
    path = written(architecture="Mine", dataset="synthetic")
    model = load_model(path)
    held = tensors()
    x = torch.rand(2, 3, 4, 4)
    before = torch.conv2d(x, held["stem.weight"], padding=1)
    features = (before.relu() - 0.5 * before).flatten(1)
    torch.testing.assert_close(model.net(x), features @ held["fc.weight"].T + held["fc.bias"])
    assert [name for name, _, _ in model.net.layers()] == ["normalize", "stem", "body", "row", "head"]
    assert model.header.describes_itself
    assert model.header.architecture == "Mine"
    assert model.net.lipschitz_bound().value >= 1.5 * dict(model.net.bounds())["stem"].value
    assert isinstance(load(path), torch.nn.Module)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"layers": []}, "at least one layer"),
    ({"layers": [{"kind": "lamp"}]}, "unknown kind 'lamp'"),
    ({"layers": LAYERS[:1]}, "unexpected tensor 'fc.bias'"),
    ({"layers": [*LAYERS, {"kind": "linear", "name": "gone"}]}, "'gone.weight' is missing"),
    ({"layers": [{"kind": "pad", "padding": [[2**40, 0]]}, *LAYERS]}, "too large"),
    ({"layers": [{"kind": "nearest_upsample", "factors": [10_000, 10_000]}, *LAYERS]}, "too many numbers"),
    ({"schema": "lipscope.describe/9"}, "not a description of this version"),
    ({"colour": "red"}, "unknown key 'colour'"),
    ({"classes": "cat"}, "classes must be a list of names"),
    ({"layers": [{"kind": "block", "layers": [{"kind": "sum", "of": ["x", "input"]}]}, *LAYERS]}, "'x' comes before"),
    ({"layers": [{"kind": "block", "layers": [{"kind": "part", "start": 0, "stop": 9}]}, *LAYERS]}, "no channels 0:9"),
    ({"layers": [{"kind": "block", "layers": [{"kind": "relu", "of": 7}]}, *LAYERS]}, "of must be a name"),
    ({"layers": [{"kind": "sum"}, *LAYERS]}, "unknown kind 'sum'"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_a_description_may_not_say(written, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_model(written(**changes))


def test_numbers_that_are_none_are_refused(written) -> None:
    held = tensors()
    held["fc.bias"][0] = torch.nan
    with pytest.raises(CheckpointError, match="NaN"):
        load_model(written(held=held))
    half = {name: value.half() for name, value in tensors().items()}
    with pytest.raises(CheckpointError, match="not float32"):
        load_model(written(held=half))


def test_blocks_without_end_are_refused(written) -> None:
    layers: list[dict[str, Any]] = [{"kind": "relu"}]
    for depth in range(300):
        layers = [{"kind": "block", "name": f"b{depth}", "layers": layers}]
    with pytest.raises(CheckpointError):
        load_model(written([*layers, *LAYERS]))


def test_a_description_that_is_no_object_is_refused(written) -> None:
    path = written()
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["lipscope.describe"] = "[1]"
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[8 + length :])
    with pytest.raises(CheckpointError, match="not a JSON object"):
        read_header(path)


ODD = {
    "negative sides": {"kind": "reshape", "shape": [-2, -9]},
    "an axis twice": {"kind": "flip", "axes": [0, 0]},
    "no axis": {"kind": "roll", "axes": [], "shifts": []},
    "no int64": {"kind": "roll", "axes": [0], "shifts": [10**30]},
    "a huge divisor": {"kind": "average_pool", "kernel_size": 2, "divisor": 10**30},
    "a huge stride": {"kind": "max_pool", "kernel_size": 2, "stride": 10**30},
    "more cut off than there is": {"kind": "pad", "padding": [[-5, 7]]},
    "a maximum of nothing": {"kind": "max_pool", "kernel_size": 2, "padding": 1, "stride": 1, "dilation": 4},
    "output padding": {"kind": "conv_transpose2d", "weight": "kernel", "output_padding": 5},
    "no numbers": {"kind": "scale_shift", "scale": "nothing", "shift": None},
}


@pytest.mark.parametrize("name", ODD)
def test_what_torch_cannot_compute_is_refused_in_words(name: str) -> None:
    tensors = {"kernel": torch.ones(2, 2, 3, 3), "nothing": torch.ones(0)}
    with pytest.raises(CheckpointError, match=r"layers\[0\]|is empty"):
        described_net({"schema": "lipscope.describe/1", "input_shape": [2, 3, 3], "layers": [ODD[name]]}, tensors, "x")
