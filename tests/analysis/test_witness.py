from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from lipscope.analysis.witness import (
    NETWORK,
    body_of,
    linear_witness,
    network_witness,
    proved_ratio,
    read_witness,
    recomputed,
    witness_of,
    write_witness,
)
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header
from lipscope.layers.contract import UNBOUNDED
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import ReLU
from lipscope.layers.linear import Linear
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.network import LayerStack

SHA = "ab" * 32


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def linear():
    return Linear(noise(6, 4, seed=1), noise(6, seed=2))


def test_a_linear_layer_is_stretched_by_its_norm(linear):
    witness = linear_witness("fc", linear, (4,), SHA)
    assert witness.ratio == pytest.approx(np.linalg.norm(linear.weight.detach().numpy(), 2), rel=1e-12)
    assert (witness.layer, witness.model_sha256) == ("fc", SHA)
    # The images hold the bias, which the difference drops.
    np.testing.assert_allclose(witness.image_y, linear.bias.detach())


def test_the_file_alone_gives_the_ratio(linear, tmp_path):
    """Read by numpy, with no code of lipscope's."""
    path = tmp_path / "w.safetensors"
    write_witness(path, linear_witness("fc", linear, (4,), SHA))
    content, metadata = load_file(path), read_header(path).metadata
    assert {array.dtype for array in content.values()} == {np.dtype(np.float64)}
    ratio = np.linalg.norm(content["image_x"] - content["image_y"]) / np.linalg.norm(content["x"] - content["y"])
    assert ratio == pytest.approx(float(metadata["ratio"]), rel=1e-12)
    assert (metadata["layer"], metadata["model_sha256"]) == ("fc", SHA)
    image = content["x"] @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(content["image_x"], image, rtol=1e-12)


def test_what_is_read_back_holds(linear, tmp_path):
    path = tmp_path / "w.safetensors"
    written = linear_witness("fc", linear, (4,), SHA)
    write_witness(path, written)
    kept = read_witness(path)
    assert kept.ratio == written.ratio
    assert recomputed(kept, linear) == pytest.approx(kept.ratio, rel=1e-12)
    with torch.no_grad():
        linear.weight.mul_(0.5)
    assert recomputed(kept, linear) == pytest.approx(kept.ratio / 2, rel=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda content, metadata: content.update(image_x=content["image_x"] * 2),
        lambda content, metadata: content.update(y=np.zeros(3)),
        lambda content, metadata: content.update({name: value.astype(np.float32) for name, value in content.items()}),
        lambda content, metadata: content.pop("x"),
        lambda content, metadata: metadata.update(ratio="7"),
        lambda content, metadata: metadata.update(ratio="much"),
        lambda content, metadata: metadata.pop("layer"),
        lambda content, metadata: metadata.update({"lipscope.witness": "lipscope.witness/9"}),
    ],
)
def test_an_altered_witness_is_refused(linear, tmp_path, change):
    path = tmp_path / "w.safetensors"
    write_witness(path, linear_witness("fc", linear, (4,), SHA))
    content, metadata = load_file(path), dict(read_header(path).metadata)
    change(content, metadata)
    save_file(content, path, metadata)
    with pytest.raises(CheckpointError, match="witness"):
        read_witness(path)


def test_a_pair_of_inputs_of_a_network(tmp_path):
    """Against the norm of the Jacobian, by automatic differentiation of torch's own modules."""
    conv, fc = noise(3, 2, 3, 3, seed=1), noise(5, 48, seed=2)
    net = LayerStack(
        [
            ("normalize", Normalize((0.5, 0.5), (0.1, 0.1))),
            ("conv", Conv2d(conv, padding=(1, 1))),
            ("relu", ReLU()),
            ("flatten", Flatten()),
            ("fc", Linear(fc)),
            ("last", ReLU()),
        ],
        (2, 4, 4),
    )
    images = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    witness = network_witness(net, images, SHA)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5, bias=False), nn.ReLU()
    )
    module = module.double()
    with torch.no_grad():
        module[0].weight.copy_(conv)
        module[3].weight.copy_(fc)
        moved = module(witness.x[None]) - module(witness.y[None])
    assert witness.ratio == pytest.approx(float(moved.norm() / (witness.x - witness.y).norm()), rel=1e-9)
    starts = (images[:2].double() - 0.5) / 0.1
    norms = [
        float(torch.linalg.svdvals(torch.autograd.functional.jacobian(lambda x: module(x[None])[0], x).flatten(1))[0])
        for x in starts
    ]
    assert 0.9 * max(norms) < witness.ratio
    assert witness.layer == NETWORK
    write_witness(tmp_path / "w.safetensors", witness)
    assert recomputed(read_witness(tmp_path / "w.safetensors"), body_of(net)) == pytest.approx(witness.ratio, rel=1e-9)


def test_a_constant_network_moves_nothing_apart():
    net = LayerStack([("fc", Linear(torch.zeros(3, 4)))], (4,))
    assert network_witness(net, torch.rand(2, 4), SHA) is None


def test_an_isometry_stays_within_rounding():
    """A rotation of a point far from the origin: the quotient of rounded numbers is 1 up to far less than 1e-6."""
    rotation, _ = torch.linalg.qr(noise(6, 6, seed=3))
    net = LayerStack([("fc", Linear(rotation, 1e6 * torch.ones(6, dtype=torch.float64)))], (6,))
    witness = network_witness(net, torch.rand(2, 6), SHA)
    assert math.isclose(witness.ratio, 1, abs_tol=1e-6)


def exact_ratio_squared(weight, step):
    """||W d||^2 / ||d||^2 in rational arithmetic."""
    rows = [[Fraction(value) for value in row] for row in weight.tolist()]
    image = [sum(map(Fraction.__mul__, row, step), Fraction(0)) for row in rows]
    return sum(v * v for v in image) / sum(v * v for v in step)


@pytest.mark.parametrize(("seed", "bias"), itertools.product(range(5), [0.0, 1.0, 2.0**30, 2.0**52]))
def test_what_is_proved_holds_in_exact_arithmetic(seed, bias):
    """Whatever the bias hides of the images; with none, hardly anything is lost."""
    weight, shift = noise(5, 7, seed=seed), bias * noise(5, seed=seed + 100)
    layer = Linear(weight, shift)
    found = [
        witness_of("fc", layer, noise(7, seed=seed + 1), noise(7, seed=seed + 2), SHA),
        linear_witness("fc", layer, (7,), SHA),
    ]
    for witness in found:
        proved = proved_ratio(witness, [(layer, (7,))])
        # x - y is rounded where it is computed; here it is exact.
        step = [Fraction(a) - Fraction(b) for a, b in zip(witness.x.tolist(), witness.y.tolist(), strict=True)]
        exact = exact_ratio_squared(weight, step)
        assert Fraction(proved) ** 2 <= exact
    # The pair is as long as the bias, so that the layer's norm is shown all the same.
    assert proved >= math.sqrt(exact) * (1 - 1e-10)


def test_without_a_bound_on_the_rounding_nothing_is_proved(linear):
    class Unknown(Linear):
        def rounding(self, input_shape, norm, arithmetic):
            return UNBOUNDED

    witness = linear_witness("fc", linear, (4,), SHA)
    assert proved_ratio(witness, [(Unknown(linear.weight), (4,))]) == 0.0
    assert proved_ratio(witness, [(linear, (4,))]) == pytest.approx(witness.ratio, rel=1e-10)
