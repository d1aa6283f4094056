"""What ``lipscope.save`` writes: the layers that it found, and that the file computes what the network does."""

from __future__ import annotations

import json
import math
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lipscope
from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import error_budget
from lipscope.errors import LipscopeError, UsageError
from lipscope.files.checkpoint import read_header
from lipscope.models.capture.export import copied
from lipscope.models.composition import LipschitzNet
from tests.models.capture import nets

SHAPE = (4, 6, 6)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def saved(net: nn.Module, target: Path, shape: tuple[int, ...] = SHAPE, **options) -> LipschitzNet:
    lipscope.save(net.eval(), target, input_shape=shape, force=True, **options)
    return lipscope.load(target)


def kinds(target: Path) -> list[str]:
    """Of the layers, those inside blocks after the block's own."""

    def walk(layers: list[dict]) -> list[str]:
        found = []
        for layer in layers:
            found += [layer["kind"], *walk(layer.get("layers", []))]
        return found

    return walk(read_header(target).config["layers"])


def check(net: nn.Module, file: LipschitzNet, shape: tuple[int, ...] = SHAPE, slack: float = 1e-5) -> None:
    """Same outputs, a bound above the dense Jacobian's norm, and a bound on rounding."""
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = net(x).flatten(1)
        torch.testing.assert_close(file(x), wanted, rtol=slack, atol=slack * float(wanted.abs().max()))
    exact = file.double()
    bound = file.lipschitz_bound()
    assert bound.proved
    for point in x[:3].double():
        jacobian = torch.autograd.functional.jacobian(lambda p: exact.features(p[None])[0], point).flatten(1)
        assert float(torch.linalg.svdvals(jacobian)[0]) <= bound.value * (1 + 1e-9)
    budget, _ = error_budget(file.float(), FLOAT64)
    assert math.isfinite(budget.margin)


def check_radii(net: nn.Module, target: Path, shape: tuple[int, ...] = SHAPE) -> None:
    """Inside the certified radius the author's module, in float64, keeps its class: down the margin, and at random."""
    data = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    found = lipscope.certify(target, (data, [0, 0]))
    twin = copied(net, torch.float64)
    generator = torch.Generator().manual_seed(1)
    for image, radius, winner, rival in zip(data, found.radius, found.predicted, found.runner_up, strict=True):
        point = (torch.from_numpy(image).double() / 255).requires_grad_()
        logits = twin(1 * point[None]).flatten()
        assert int(logits.argmax()) == winner or radius == 0
        margin = logits[winner] - logits[rival]
        (slope,) = torch.autograd.grad(margin, point, allow_unused=True, materialize_grads=True)
        noise = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
        for direction in (-slope, *noise):
            length = float(torch.linalg.vector_norm(direction))
            step = direction * (radius * (1 - 1e-9) / length) if length else torch.zeros_like(direction)
            moved = twin((point.detach() + step)[None]).flatten()
            assert radius == 0 or float(moved[winner] - moved.scatter(0, torch.tensor(winner), -math.inf).max()) > 0


SINGLE = {
    "conv zeros": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), ["conv2d"]),
    "conv circular": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), ["conv2d"]),
    "conv reflect": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), ["conv2d"]),
    "conv replicate": (lambda: nn.Conv2d(4, 4, (3, 1), padding=(2, 0), padding_mode="replicate"), ["conv2d"]),
    "conv same": (lambda: nn.Conv2d(4, 4, 4, padding="same"), ["conv2d"]),
    "conv groups, dilated": (lambda: nn.Conv2d(4, 8, 3, dilation=2, groups=2, bias=False), ["conv2d"]),
    "explicit pad": (lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(4, 2, 3)), ["conv2d"]),
    "pad alone": (lambda: nn.ReflectionPad2d(2), ["pad"]),
    "circular by hand": (lambda: nn.Sequential(nets.Lambda(nets.wrapped), nn.Conv2d(4, 4, 3)), ["conv2d"]),
    "replicate by hand": (lambda: nets.Lambda(lambda x: torch.cat([x[..., :1], x[..., :1], x], 3)), ["pad"]),
    "transposed": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1), ["conv_transpose2d"]),
    "batch norm": (lambda: nets.trained(nn.BatchNorm2d(4), SHAPE), ["batch_norm"]),
    "prelu": (lambda: nn.PReLU(4), ["prelu"]),
    "relu6": (nn.ReLU6, ["clamp"]),
    "relu in place": (lambda: nn.ReLU(inplace=True), ["relu"]),
    "steps in place": (
        lambda: nets.Lambda(lambda x: (x + 0).mul_(2).neg_().clamp_min_(0).sub_(1).tanh_()),
        ["scale_shift", "relu", "scale_shift", "tanh"],
    ),
    "swish in place": (lambda: nets.Lambda(lambda x: (1 * x).mul_(x.sigmoid())), ["silu"]),
    "leaky": (lambda: nn.LeakyReLU(0.2), ["leaky_relu"]),
    "hardtanh": (lambda: nn.Hardtanh(-0.5, 2.0), ["clamp"]),
    "sigmoid": (nn.Sigmoid, ["sigmoid"]),
    "log sigmoid": (nn.LogSigmoid, ["scale_shift", "softplus", "scale_shift"]),
    "hard sigmoid": (nn.Hardsigmoid, ["normalize", "clamp"]),
    "tanh": (nn.Tanh, ["tanh"]),
    "softplus": (lambda: nn.Softplus(2.0), ["softplus"]),
    "elu": (lambda: nn.ELU(0.7), ["elu"]),
    "selu": (nn.SELU, ["elu"]),
    "celu": (lambda: nn.CELU(1.5), ["elu"]),
    "gelu": (nn.GELU, ["gelu"]),
    "gelu tanh": (lambda: nn.GELU(approximate="tanh"), ["gelu"]),
    "silu": (nn.SiLU, ["silu"]),
    "hardswish": (nn.Hardswish, ["hardswish"]),
    "softsign": (nn.Softsign, ["softsign"]),
    "swish by hand": (lambda: nets.Lambda(lambda x: x * torch.sigmoid(x)), ["silu"]),
    "abs": (lambda: nets.Lambda(torch.abs), ["absolute"]),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), ["max_pool"]),
    "average pool": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), ["average_pool"]),
    "l2 pool": (lambda: nn.LPPool2d(2, 2), ["l2_pool"]),
    "adaptive average": (lambda: nn.AdaptiveAvgPool2d((2, 5)), ["adaptive_average_pool"]),
    "adaptive max": (lambda: nn.AdaptiveMaxPool2d(3), ["adaptive_max_pool"]),
    "mean": (lambda: nets.Lambda(lambda x: x.mean(dim=(2, 3))), ["global_average_pool", "flatten"]),
    "max": (lambda: nets.Lambda(lambda x: x.flatten(2).max(-1)[0]), ["reshape", "adaptive_max_pool", "flatten"]),
    "matrix on the left": (
        lambda: nets.Lambda(lambda x: torch.arange(12.0).reshape(2, 6).to(x.dtype) / 9 @ x),
        ["permute", "linear", "permute"],
    ),
    "matrices of a batch of one": (
        lambda: nets.Lambda(lambda x: torch.ones(1, 1, 2, 6).to(x) / 9 @ x @ torch.ones(1, 6, 3).to(x)),
        ["permute", "linear", "permute", "linear"],
    ),
    "tensordot": (
        lambda: nets.Lambda(
            lambda x: torch.tensordot(x, torch.arange(72.0).reshape(6, 4, 3).to(x) / 99, ([2, 1], [0, 1]))
        ),
        ["permute", "reshape", "linear"],
    ),
    "relu by maximum": (
        lambda: nets.Lambda(lambda x: torch.max(x, torch.zeros(())).minimum(torch.full((1,), 0.7))),
        ["relu", "clamp"],
    ),
    "1x1 convolution as einsum": (
        lambda: nets.Lambda(
            lambda x: torch.einsum("oc,nchw->nohw", torch.arange(12.0).reshape(3, 4).to(x.dtype) / 9, x)
        ),
        ["permute", "linear", "permute"],
    ),
    "einsum over several axes": (
        lambda: nets.Lambda(lambda x: torch.einsum("nchw,hckd->nkwd", x, torch.ones(6, 4, 2, 3).to(x.dtype) / 9)),
        ["permute", "reshape", "linear", "reshape", "permute"],
    ),
    "mean of tokens": (
        lambda: nets.Lambda(lambda x: torch.relu(x.flatten(2).transpose(1, 2)).mean(1)),
        ["reshape", "permute", "relu", "permute", "reshape", "global_average_pool", "flatten"],
    ),
    "sum of channels": (
        lambda: nets.Lambda(lambda x: x.sum(1, keepdim=True)),
        ["permute", "reshape", "global_average_pool", "scale_shift", "reshape"],
    ),
    "maxout": (
        lambda: nets.Lambda(lambda x: x.unflatten(1, (2, 2)).amax(2)),
        ["reshape", "permute", "reshape", "adaptive_max_pool", "reshape"],
    ),
    "norm": (lambda: nets.Lambda(lambda x: x.norm(dim=(2, 3))), ["l2_pool", "flatten"]),
    "sum": (lambda: nets.Lambda(lambda x: x.sum((-2, -1))), ["global_average_pool", "scale_shift", "flatten"]),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), ["pixel_shuffle"]),
    "pixel unshuffle": (lambda: nn.PixelUnshuffle(3), ["pixel_unshuffle"]),
    "channel shuffle": (lambda: nn.ChannelShuffle(2), ["channel_shuffle"]),
    "permute": (lambda: nets.Lambda(lambda x: x.permute(0, 2, 3, 1)), ["permute"]),
    "transpose": (lambda: nets.Lambda(lambda x: x.transpose(-1, 1)), ["permute"]),
    "reshape": (lambda: nets.Lambda(lambda x: x.reshape(len(x), 8, 18)), ["reshape"]),
    "slice": (lambda: nets.Lambda(lambda x: x[:, 1:3, ::2]), ["slice", "slice"]),
    "flip and roll": (lambda: nets.Lambda(lambda x: x.flip(3).roll(1, 2)), ["flip", "roll"]),
    "upsample": (lambda: nn.Upsample(scale_factor=2), ["nearest_upsample"]),
    "dropout": (lambda: nn.Sequential(nn.Dropout(), nn.Identity(), nn.ReLU()), ["relu"]),
    "scale and shift": (lambda: nets.Lambda(lambda x: torch.relu(x) * 3 - 1), ["relu", "scale_shift"]),
    "normalisation": (lambda: nets.Lambda(lambda x: torch.relu((x - 0.5) / 0.25)), ["normalize", "relu"]),
    "soc": (lambda: nets.Skew(4), ["soc", "scale_shift"]),
    "sll": (lambda: nets.Potential(4, 6), ["potential_step"]),
    "sll with a larger step": (lambda: nets.Potential(4, 6, 3.0), ["potential_step"]),
    "householder": (lambda: nets.Householder(4), ["householder"]),
    "householder by clamp": (lambda: nets.Mirrors(4), ["householder"]),
    "max min by rank": (
        lambda: nets.Lambda(
            lambda x: torch.cat([x.unflatten(1, (-1, 2)).max(2)[0], x.unflatten(1, (-1, 2)).amin(2)], 1)
        ),
        ["max_min", "channel_shuffle"],
    ),
    "max min of halves, interleaved": (
        lambda: nets.Lambda(
            lambda x: torch.stack([torch.max(*x.chunk(2, 1)), torch.min(*x.chunk(2, 1))], 2).flatten(1, 2)
        ),
        ["max_min", "channel_shuffle"],
    ),
    "group sort": (lambda: nets.Lambda(lambda x: x.sort(dim=1, descending=True).values), ["group_sort"]),
    "residual": (lambda: nets.Halved(4), ["block", "scale_shift", "conv2d", "silu", "scale_shift", "sum"]),
    "coupling": (
        lambda: nets.Coupling(4),
        ["block", "part", "part", "conv2d", "relu", "sum", "concatenation"],
    ),
    "dense": (
        lambda: nets.Dense(4),
        ["block", "conv2d", "relu", "concatenation", "block", "conv2d", "tanh", "concatenation"],
    ),
    "property": (lambda: nets.SelfNormalised(4), ["conv2d"]),
}


@pytest.mark.parametrize("name", SINGLE)
def test_each_layer_is_found_and_computes_the_same(name: str, target: Path) -> None:
    torch.manual_seed(3)
    make, wanted = SINGLE[name]
    net = make().eval()
    file = saved(net, target)
    assert [kind for kind in kinds(target) if kind != "flatten" or "flatten" in wanted] == wanted
    check(net, file)
    check_radii(net, target)


@pytest.mark.parametrize("name", nets.max_min_spellings())
def test_max_min_in_its_common_spellings(name: str, target: Path) -> None:
    net = nets.max_min_spellings()[name]
    file = saved(net, target, (4, 3, 3))
    assert kinds(target) == ["max_min"]
    assert file.lipschitz_bound().value == 1.0
    check(net, file, (4, 3, 3))


ROWS = {
    "linear": lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)),
    "matrix": lambda: nets.Lambda(lambda x: torch.tanh(x) @ torch.eye(5)[:, :3]),
    "lln": lambda: nn.Sequential(nn.ReLU(), nets.LastLayerNormalised(5, 3)),
    "batch norm": lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ELU(), nn.Linear(4, 2)),
    "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(5, 4)),
}


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_hooks_that_compute_weights(norm, target: Path) -> None:
    """They leave a tensor with a history behind, which torch refuses to copy."""
    torch.manual_seed(4)
    net = nn.Sequential(norm(nn.Conv2d(4, 3, 3)), nn.Flatten())
    net(torch.rand(2, *SHAPE))
    check(net.eval(), saved(net, target))


def test_wrappers_are_taken_off(target: Path) -> None:
    net = nn.Linear(4, 3).eval()
    for wrapped in (nn.DataParallel(net), torch.compile(net)):
        lipscope.save(wrapped.eval(), target, input_shape=(4,), force=True)
        assert read_header(target).architecture == "Linear"


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_features(name: str, target: Path) -> None:
    torch.manual_seed(4)
    net = ROWS[name]().eval()
    check(net, saved(net, target, (5,)), (5,))
    if name != "matrix":
        assert lipscope.load(target).head.kind == "linear"


def test_sequences(target: Path) -> None:
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1, stride=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 4, 2, padding="same"),
        nn.ConvTranspose1d(4, 2, 2, stride=2), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(4, 3),
    ).eval()  # fmt: skip
    check(net, saved(net, target, (2, 8)), (2, 8))


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_padding_of_sequences_is_bounded_with_their_convolution(mode: str, target: Path) -> None:
    torch.manual_seed(4)
    net = nn.Conv1d(2, 3, 3, padding=1, padding_mode=mode).double().eval()
    file = saved(net, target, (2, 8))
    assert kinds(target) == ["reshape", "conv2d", "reshape"]
    check(net.float(), file, (2, 8))
    rows = torch.autograd.functional.jacobian(lambda x: net.double()(x[None]), torch.zeros(2, 8).double())
    exact = float(torch.linalg.svdvals(rows.reshape(24, 16))[0])
    assert exact <= lipscope.bound(net, (2, 8)).value <= exact * (1 + 1e-6)


def test_the_last_linear_layer_is_the_head_and_a_temperature_goes_into_it(target: Path) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(4, 3)
    net = nn.Sequential(nn.ReLU(), linear, nets.Lambda(lambda x: x / 0.25))
    file = saved(net, target, (4,))
    assert kinds(target) == ["relu", "linear"]
    torch.testing.assert_close(file.head.weight, 4 * linear.weight)
    rows = 4 * linear.weight.detach().double()
    pairs = torch.linalg.vector_norm(rows[:, None] - rows[None], dim=2)
    torch.testing.assert_close(file.head.pair_bounds(), pairs, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["head", "normalize"])
def test_a_layer_may_have_the_name_of_a_part_of_the_network(name: str, target: Path) -> None:
    """The last linear layer is the head, whatever the author calls a head: what is certified is this network."""
    torch.manual_seed(0)
    first, last = nn.Linear(4, 4), nn.Linear(4, 4)
    net = nn.Sequential(OrderedDict([(name, first), ("act", nn.ReLU()), ("last", last)])).eval()
    file = saved(net, target, (4,))
    x = torch.rand(5, 4)
    for evaluated in (file, file.prepared(1000)):
        torch.testing.assert_close(evaluated(x), net(x))
    names = [found for found, _, _ in file.layers()]
    assert name in names
    assert len(set(names)) == len(names)
    first.weight.data *= 1000
    saved(net, target, (4,))
    bounds = {layer.name: layer.bound.value for layer in lipscope.inspect(target).layers}
    assert bounds[name] > 100


def test_without_a_linear_layer_the_outputs_are_the_logits(target: Path) -> None:
    file = saved(nn.Sequential(nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), target)
    pairs = file.head.pair_bounds()
    assert file.head.classes == 3
    assert float(pairs[0, 0]) == 0.0
    assert math.sqrt(2) <= float(pairs[0, 1]) <= math.sqrt(2) * (1 + 1e-12)


def test_names_of_layers_are_the_authors(target: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(4, 4, 3)
            self.features = nn.Sequential(nn.ReLU(), nn.Flatten())
            self.body = nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(self.features(self.stem(x)))

    file = saved(Net(), target)
    assert [name for name, _ in file.body()] == ["stem", "features.0", "features.1"]
    assert {"stem.weight", "stem.bias", "body.weight", "body.bias"} == {t.name for t in read_header(target).tensors}


def test_a_given_normalisation_comes_first(target: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4, 2)).eval()
    file = saved(net, target, (3, 2, 2), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    assert file.normalize.constants == ((0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    x = torch.rand(4, 3, 2, 2)
    centred = (x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 1.0]).view(3, 1, 1)
    torch.testing.assert_close(file(x), net(centred))
    assert 4.0 <= file.normalize.bound((3, 2, 2)).value < 4.0 + 1e-12


def test_learnt_angles_are_reported(target: Path) -> None:
    net = nets.Householder(4).eval()
    lipscope.save(net, target, input_shape=SHAPE)
    (found,) = (layer.angles for layer in lipscope.inspect(target).layers if layer.angles)
    assert list(found) == ["theta"]
    assert found["theta"] == pytest.approx(net.theta.tolist(), rel=1e-6)


def test_what_normalises_nothing_has_no_row(target: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    lipscope.save(net, target, input_shape=(4,))
    report = lipscope.inspect(target)
    assert [layer.role for layer in report.layers] == ["body", "body", "head"]
    assert str(report.chain.body.scope) == "from input to features"
    lipscope.save(net, target, input_shape=(4,), std=(0.5,) * 4, force=True)
    assert str(lipscope.inspect(target).chain.body.scope) == "from normalised pixels to features"


def test_the_file_says_what_it_is_and_what_was_compared(target: Path, capsys) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4, 2)).eval()
    found = lipscope.save(
        net, target, input_shape=(3, 2, 2), classes=["cat", "dog"], dataset="cifar10", examples=torch.rand(5, 3, 2, 2)
    )
    header = read_header(target)
    assert header.describes_itself
    assert header.config["classes"] == ["cat", "dog"]
    assert header.config["dataset"] == "cifar10"
    assert header.architecture == "Sequential"
    assert header.training["compared_inputs"] == 16 + 5 == found.comparison.inputs
    assert header.training["largest_difference"] == found.comparison.largest <= found.comparison.allowed
    assert str(found) in capsys.readouterr().err
    # The same network is the same bytes.
    before = target.read_bytes()
    lipscope.save(
        net, target, input_shape=[3, 2, 2], classes=["cat", "dog"], dataset="cifar10", examples=torch.rand(5, 3, 2, 2),
        force=True,
    )  # fmt: skip
    assert json.loads(read_header(target).metadata["lipscope.describe"]) == header.config
    assert len(target.read_bytes()) in range(len(before) - 40, len(before) + 40)


def scripted(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net.eval())


class Chance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(())


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if x.sum() > 0 else x


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Mixing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


def cut_maxima(x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.cat([torch.maximum(torch.maximum(a, b), torch.tensor(-1e3)), torch.minimum(a, b)], 1)


def broken() -> nn.Module:
    net = nn.Linear(4, 2)
    net.weight.data[0, 0] = math.nan
    return net


REFUSED = {
    "in training": (lambda: nn.Linear(4, 2).train(), (4,), "training mode"),
    "nan": (broken, (4,), "NaN"),
    "lazy": (lambda: nn.LazyLinear(2), (4,), "holds no numbers yet"),
    "meta": (lambda: nn.Linear(4, 2, device="meta"), (4,), "holds no numbers yet"),
    "scripted": (lambda: scripted(nn.Linear(4, 2)), (4,), "scripted module"),
    "in a dict": (lambda: nets.Lambda(lambda x: {"logits": x}), (4,), "does not give its output alone"),
    "shape": (lambda: nn.Linear(4, 2), (5,), "cannot be evaluated"),
    "no shape": (lambda: nn.Linear(4, 2), (0,), "input_shape"),
    "control flow": (Branching, (4,), "cannot be exported"),
    "two inputs": (Two, (4,), "takes several inputs"),
    "two outputs": (lambda: nets.Lambda(lambda x: (x, x)), (4,), "several outputs"),
    "batch": (Mixing, (4,), "mean cannot be described"),
    "softmax": (lambda: nn.Softmax(1), (4,), "softmax cannot be described"),
    "layer norm": (lambda: nn.LayerNorm(4), (4,), "layer_norm cannot be described"),
    "product": (lambda: nets.Lambda(lambda x: x * x.tanh()), (4,), "mul cannot be described"),
    "growing exponential": (lambda: nn.CELU(-1.0), (4,), "grows without bound"),
    "jumping softplus": (lambda: nn.Softplus(threshold=6.0), (4,), "jumps at its threshold"),
    "cut sigmoid": (lambda: nets.Lambda(lambda x: x * x.clamp(-9.0, 9.0).sigmoid()), (4,), "mul cannot be described"),
    "cut softsign": (lambda: nets.Lambda(lambda x: x / (1 + x.abs().clamp(max=1e3))), (4,), "div cannot be described"),
    "einsum of each number": (
        lambda: nets.Lambda(lambda x: torch.einsum("nc,c->nc", x, torch.ones(4).to(x.dtype))),
        (4,),
        "einsum cannot be",
    ),
    "einsum with itself": (lambda: nets.Lambda(lambda x: torch.einsum("nc,nd->ncd", x, x)), (4,), "einsum cannot be"),
    "cut maxima": (lambda: nets.Lambda(cut_maxima), (4,), "maximum cannot be described"),
    "half": (lambda: nets.Lambda(lambda x: x.half().float() + 9), (4,), "in steps"),
    "bits": (lambda: nets.Lambda(lambda x: x.view(torch.int32).view(torch.float32)), (4,), "bits of numbers"),
    "nothing": (nn.Identity, (4,), "gives back its input"),
    "no module": (lambda: torch.relu, (4,), "not a torch.nn.Module"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_saved_is_refused_and_leaves_no_file(name: str, target: Path) -> None:
    make, shape, said = REFUSED[name]
    net = make()
    if isinstance(net, nn.Module) and name != "in training":
        net.eval()
    with pytest.raises(LipscopeError, match=said):
        lipscope.save(net, target, input_shape=shape)
    assert list(target.parent.iterdir()) == []


def test_a_refusal_names_the_authors_line(target: Path) -> None:
    with pytest.raises(UsageError) as caught:
        lipscope.save(nets.Lambda(lambda x: F.softmax(x, dim=1)).eval(), target, input_shape=(4,))
    assert "nets.py, line" in caught.value.where
    assert "self.function(x)" in caught.value.where


def changed_pieces(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :2] = F.relu(x[:, :2])
    return x


def test_every_refusal_says_where(target: Path) -> None:
    with pytest.raises(UsageError) as caught:
        lipscope.save(nets.Lambda(changed_pieces).eval(), target, input_shape=(4,))
    assert "nets.py, line" in caught.value.where
    with pytest.raises(UsageError) as caught:
        lipscope.save(nn.Sequential(nn.ReLU(), nn.Softmax(1)).eval(), target, input_shape=(4,))
    assert caught.value.where == "module 1"


def test_what_depends_on_chance_is_not_the_network(target: Path) -> None:
    with pytest.raises(UsageError, match="when it is asked again"):
        lipscope.save(Chance().eval(), target, input_shape=(4,))
    assert list(target.parent.iterdir()) == []


def test_an_existing_file_stays(target: Path) -> None:
    target.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        lipscope.save(nn.Linear(2, 2).eval(), target, input_shape=(2,))
    assert target.read_bytes() == b"mine"
    with pytest.raises(UsageError, match="must end in"):
        lipscope.save(nn.Linear(2, 2).eval(), target.with_suffix(".bin"), input_shape=(2,))


def test_the_network_itself_is_left_alone(target: Path) -> None:
    net = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    lipscope.save(net, target, input_shape=(4,))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert nn.utils.parametrize.is_parametrized(net, "weight")


def test_sound_radii_of_a_linear_network_survive_the_dense_truth(target: Path) -> None:
    """The nearest point of another class of a linear network lies at margin / ||(w_l - w_i) A||, never nearer."""
    from lipscope.certification.evaluate import certify
    from lipscope.data import ImageSet
    from lipscope.models.stored import load_model

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).eval()
    lipscope.save(net, target, input_shape=(3, 4, 4))
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    data = ImageSet("noise", "test", images, np.zeros(6, dtype=np.int64), ("a", "b", "c"), "made")
    radius = certify(load_model(target), data).certificates.radius
    exact = lipscope.load(target).double()
    x = torch.from_numpy(images).double() / 255
    for point, found in zip(x, radius, strict=True):
        rows = torch.autograd.functional.jacobian(lambda p: exact(p[None])[0], point).flatten(1)
        logits = exact(point[None])[0]
        winner = int(logits.argmax())
        distances = [
            float((logits[winner] - logits[i]) / torch.linalg.vector_norm(rows[winner] - rows[i]))
            for i in range(3)
            if i != winner
        ]
        assert 0 < found <= min(distances)


LAYERS = (
    lambda c: nn.Conv2d(c, c, 3, padding=1),
    lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="circular", groups=2),
    lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="reflect"),
    nn.BatchNorm2d,
    lambda c: nn.ReLU(),
    lambda c: nn.GELU(),
    lambda c: nn.Softplus(),
    lambda c: nets.max_min_spellings()["halves"],
    lambda c: nets.max_min_spellings()["neighbours"],
    nets.Householder,
    nets.Coupling,
    nets.Halved,
    lambda c: nets.Skew(c, 5),
    lambda c: nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2)),
    lambda c: nn.MaxPool2d(3, 1, 1),
    lambda c: nn.ChannelShuffle(2),
)


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 150))])
def test_random_networks_are_saved_and_bounded(seed: int, target: Path) -> None:
    generator = torch.manual_seed(seed)
    chosen = torch.randint(len(LAYERS), (int(torch.randint(1, 6, (), generator=generator)),), generator=generator)
    layers = [LAYERS[number](4) for number in chosen.tolist()]
    net = nn.Sequential(nn.Conv2d(2, 4, 1), *layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).eval()
    check(net, saved(net, target, (2, 4, 4)), (2, 4, 4))
    check_radii(net, target, (2, 4, 4))
