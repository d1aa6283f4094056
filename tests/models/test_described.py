from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lipscope.errors import CheckpointError, UsageError
from lipscope.layers.residual import Residual
from lipscope.models.described import described_net, load_described
from lipscope.models.kinds import KINDS


class Block(nn.Module):
    def __init__(self, taken: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(taken, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out, eps=1e-3)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, padding_mode="circular", groups=2)
        self.down = nn.Conv2d(taken, out, 1, stride) if stride > 1 else None

    def forward(self, x):
        y = self.conv2(nn.functional.leaky_relu(self.bn1(self.conv1(x)), 0.2))
        return torch.relu(y + (x if self.down is None else self.down(x)))


class Net(nn.Module):
    """Every kind that torch has a module for."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0))
        self.one, self.two = Block(4, 4, 1), Block(4, 8, 2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = (x - 0.5) / 0.25
        x = nn.functional.max_pool2d(torch.relu(self.stem(x)), 3, 2, 1)
        x = nn.functional.avg_pool2d(self.two(self.one(x)), 2, 1)
        return self.fc(x.mean((2, 3)))


def block(name: str, stride: int) -> list[dict]:
    main = [
        {"kind": "conv2d", "name": f"{name}.conv1", "stride": stride, "padding": 1, "bias": None},
        {"kind": "batch_norm", "name": f"{name}.bn1", "eps": 1e-3},
        {"kind": "leaky_relu", "negative_slope": 0.2},
        {"kind": "conv2d", "name": f"{name}.conv2", "padding": [1, 1], "padding_mode": "circular", "groups": 2},
    ]
    shortcut = {"shortcut": [{"kind": "conv2d", "name": f"{name}.down", "stride": stride}]} if stride > 1 else {}
    return [{"kind": "residual", "name": name, "layers": main, **shortcut}, {"kind": "relu"}]


LAYERS = [
    {"kind": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    {"kind": "conv2d", "name": "stem", "stride": [2, 1], "padding": [1, 0]},
    {"kind": "relu"},
    {"kind": "max_pool", "kernel_size": 3, "stride": 2, "padding": 1},
    *block("one", 1),
    *block("two", 2),
    {"kind": "average_pool", "kernel_size": 2, "stride": 1},
    {"kind": "global_average_pool"},
    {"kind": "flatten"},
    {"kind": "linear", "name": "last", "weight": "fc.weight", "bias": "fc.bias"},
]


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(64, 3, 16, 16))  # running statistics
    return net.eval().requires_grad_(False)


@pytest.fixture
def described(net, tmp_path):
    """Writes the file and a description, and loads both."""
    save_file({**net.state_dict(), "ema.decay": torch.tensor([0.9])}, tmp_path / "net.safetensors")

    def load(layers=LAYERS, **changes):
        content = {"schema": "lipscope.describe/1", "input_shape": [3, 16, 16], "layers": layers, **changes}
        (tmp_path / "arch.json").write_text(json.dumps(content))
        return load_described(tmp_path / "net.safetensors", tmp_path / "arch.json")

    return load


def test_it_computes_what_torchs_modules_compute(net, described):
    model, x = described(), torch.rand(5, 3, 16, 16)
    torch.testing.assert_close(model.net(x), net(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.net(x.double()), net.double()(x.double()), rtol=1e-12, atol=1e-12)


def test_names_shapes_and_what_is_left_over(described):
    model = described()
    assert [name for name, _, _ in model.net.layers()] == [
        "0.normalize", "stem", "2.relu", "3.max_pool", "one", "5.relu", "two", "7.relu", "8.average_pool",
        "9.global_average_pool", "10.flatten", "last",
    ]  # fmt: skip
    residual = {name: layer for name, layer, _ in model.net.layers()}["two"]
    assert isinstance(residual, Residual)
    names = [name for name, _ in residual.named_parts()]
    assert names == ["two.conv1", "two.bn1", "two.2.leaky_relu", "two.conv2", "two.down"]
    assert (len(residual.main), len(residual.shortcut)) == (4, 1)
    assert set(model.unused) == {"ema.decay", "one.bn1.num_batches_tracked", "two.bn1.num_batches_tracked"}
    assert model.description.dataset is None
    assert not model.net.training


def test_the_product_of_the_bounds_covers_the_jacobian(net, described):
    """The product of the layers' bounds, and the norm of the whole Jacobian by automatic differentiation."""
    product = 1.0
    for _, layer, shape in described().net.layers():
        bound = layer.bound(shape)
        assert bound.proved
        product *= bound.value
    for seed in range(3):
        x = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda x: net.double()(x[None])[0], x).flatten(1)
        assert float(torch.linalg.svdvals(jacobian)[0]) <= product


def test_sorting_activations_are_built(described):
    layers = [{"kind": "normalize", "mean": [0, 0, 0], "std": [1, 1, 1]}, {"kind": "conv2d", "name": "stem"}]
    model = described([*layers, {"kind": "max_min"}, {"kind": "group_sort", "group_size": 4}], input_shape=[3, 4, 4])
    x = model.net(torch.rand(2, 3, 4, 4))
    assert bool((x.diff(dim=1) <= 0).all())


def test_l2_pooling_is_torchs_own_and_the_bounds_cover_the_jacobian(net, described):
    model = described(
        [{"kind": "conv2d", "name": "stem"}, {"kind": "l2_pool", "kernel_size": [3, 2], "stride": [2, 1]}]
    )
    stem = net.stem.state_dict()
    net = nn.Sequential(nn.Conv2d(3, 4, (3, 2)), nn.LPPool2d(2, (3, 2), (2, 1))).double()
    net[0].load_state_dict({name: value.double() for name, value in stem.items()})
    x = torch.rand(3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.net(x[None]), net(x[None]), rtol=1e-12, atol=1e-12)
    bounds = {name: layer.bound(shape) for name, layer, shape in model.net.layers()}
    assert bounds["1.l2_pool"].value == 2.0
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x[None])[0].flatten(), x).flatten(1)
    assert float(torch.linalg.svdvals(jacobian)[0]) <= bounds["stem"].value * bounds["1.l2_pool"].value


def test_half_precision_is_read_exactly(net, tmp_path):
    weight = net.fc.weight.to(torch.bfloat16)
    save_file({"fc.weight": weight}, tmp_path / "half.safetensors")
    content = {"schema": "lipscope.describe/1", "input_shape": [8], "layers": [{"kind": "linear", "name": "fc"}]}
    (tmp_path / "arch.json").write_text(json.dumps(content))
    model = load_described(tmp_path / "half.safetensors", tmp_path / "arch.json")
    ((_, layer, _),) = model.net.layers()
    assert torch.equal(layer.weight, weight.float())
    assert layer.bias is None


CONV = {"kind": "conv2d", "name": "stem"}
MISTAKES = [
    ([{"kind": "transformer"}], UsageError, "unknown kind 'transformer' (known are absolute, adaptive_average_pool"),
    ([{**CONV, "strid": 2}], UsageError, "layers[0] (stem): unknown key 'strid' (a conv2d knows bias, dilation"),
    ([{**CONV, "dilation": 0}], UsageError, "dilation must be a whole number from 1"),
    ([{**CONV, "stride": 0}], UsageError, "stride must be a whole number from 1"),
    ([{**CONV, "stride": [1, 2, 3]}], UsageError, "stride must be"),
    ([{**CONV, "stride": True}], UsageError, "stride must be"),
    ([{**CONV, "padding_mode": "wrap"}], UsageError, "padding_mode must be one of zeros, circular, reflect, replicate"),
    ([{**CONV, "groups": 3}], UsageError, "cannot be built (4 output channels cannot be put in 3 groups)"),
    ([{**CONV, "weight": 7}], UsageError, "weight must be a string"),
    ([{"kind": "conv2d", "name": "steem"}], CheckpointError, "tensor 'steem.weight' is missing"),
    ([{"kind": "conv2d", "name": "steem"}], CheckpointError, "the file has stem.weight"),
    ([{"kind": "conv2d", "name": "fc"}], CheckpointError, "'fc.weight' does not fit a conv2d (shape (5, 8)"),
    ([{**CONV, "bias": "fc.bias"}], CheckpointError, "the bias does not fit (5 numbers for 4 outputs)"),
    ([{"kind": "linear", "name": "fc"}], UsageError, "layers[0] (fc): does not fit its input (3, 16, 16)"),
    ([CONV, CONV], UsageError, "layers[1] (stem): does not fit its input (4, 14, 15)"),
    ([CONV, {"kind": "normalize", "mean": [0], "std": [1]}], UsageError, "normalize can only come first"),
    ([{"kind": "normalize", "mean": [0], "std": [0]}], UsageError, "std must be positive"),
    ([{"kind": "normalize", "mean": "x", "std": [1]}], UsageError, "mean must be a list of numbers of at most"),
    ([{"kind": "clamp", "min": 2, "max": 1}], UsageError, "no number lies between 2.0 and 1.0"),
    ([{"kind": "leaky_relu", "negative_slope": "a"}], UsageError, "negative_slope must be a number of at most"),
    ([{"kind": "leaky_relu", "negative_slope": 10**400}], UsageError, "negative_slope must be a number of at most"),
    ([{"kind": "clamp", "min": -1e39}], UsageError, "min must be a number of at most 3.4e+38"),
    ([{"kind": "normalize", "mean": [10**400], "std": [1]}], UsageError, "mean must be a list of numbers of at most"),
    ([{"kind": "max_pool"}], UsageError, "kernel_size must be"),
    ([{"kind": "max_pool", "kernel_size": 2, "ceil_mode": 1}], UsageError, "ceil_mode must be true or false"),
    ([{"kind": "l2_pool"}], UsageError, "kernel_size must be"),
    ([{"kind": "l2_pool", "kernel_size": 2, "padding": 1}], UsageError, "unknown key 'padding'"),
    ([{"kind": "l2_pool", "kernel_size": 2, "ceil_mode": True}], UsageError, "unknown key 'ceil_mode'"),
    ([{"kind": "l2_pool", "kernel_size": 20}], UsageError, "does not fit its input (3, 16, 16)"),
    ([{"kind": "group_sort", "group_size": 1}], UsageError, "group_size must be a whole number from 2"),
    ([{"kind": "residual", "layers": []}], UsageError, "a residual sum needs layers"),
    ([{"kind": "residual", "layers": [CONV]}], UsageError, "the branches end in different shapes"),
    ([{"kind": "residual", "layers": [{"kind": "lamp"}]}], UsageError, "layers[0] (0.residual).layers[0]"),
    ([{"kind": "relu", "name": "a"}, {"kind": "relu", "name": "a"}], UsageError, "two layers are called 'a'"),
    ([{"kind": "batch_norm", "name": "one.bn1", "running_mean": "fc.bias"}], CheckpointError, "do not fit together"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "error", "said"), MISTAKES)
def test_mistakes_are_named(described, layers, error, said):
    with pytest.raises(error) as caught:
        described(layers)
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    save_file({"fc.weight": torch.full((2, 8), value)}, tmp_path / "net.safetensors")
    content = {"schema": "lipscope.describe/1", "input_shape": [8], "layers": [{"kind": "linear", "name": "fc"}]}
    (tmp_path / "arch.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"'fc\.weight' holds NaN or infinite"):
        load_described(tmp_path / "net.safetensors", tmp_path / "arch.json")


def test_a_weight_without_numbers_is_refused(tmp_path):
    save_file({"fc.weight": torch.zeros(0, 8)}, tmp_path / "net.safetensors")
    content = {"schema": "lipscope.describe/1", "input_shape": [8], "layers": [{"kind": "linear", "name": "fc"}]}
    (tmp_path / "arch.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"'fc\.weight' is empty"):
        load_described(tmp_path / "net.safetensors", tmp_path / "arch.json")
    with pytest.raises(CheckpointError, match=r"'fc\.weight' is empty"):
        described_net(content, {"fc.weight": torch.zeros(0, 8)}, "net.safetensors")


def test_every_kind_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "describe.md").read_text()
    for kind in KINDS:
        assert any(f"`{kind}`" in line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
