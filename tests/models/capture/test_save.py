"""What ``lipscope.save`` writes: the layers that it found, and that the file computes what the network does."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lipscope
from lipscope.errors import UsageError
from lipscope.files.checkpoint import read_header
from tests.models.capture import nets
from tests.models.capture.saving import SHAPE, check, check_radii, kinds, saved

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


class Chance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(())


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
