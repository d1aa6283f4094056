from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from lipscope.analysis.gradients import SEED, gradient_flow, gradient_norms, tightness
from lipscope.layers.activations import activation
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.elementwise import ReLU
from lipscope.layers.groupsort import MaxMin
from lipscope.layers.heads import LastLayerNormalized
from lipscope.layers.linear import Linear
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.residual import Residual
from lipscope.layers.soc import SOCConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.models.network import LayerStack

SHAPE = (2, 8, 8)


def net_of(body, features, std=(0.25, 0.5)) -> LipschitzNet:
    torch.manual_seed(0)
    net = LipschitzNet(Normalize((0.4, 0.5), std), body, LastLayerNormalized(features, 5), SHAPE)
    net.make_trainable()
    return net.frozen()


@pytest.fixture
def net():
    first, second = activation("hh1", 8), activation("hh2", 12)
    net = net_of(
        [
            ("a.conv", SOCConv2d(2, 8, 3, 2)),
            ("a.activation", first),
            ("b.conv", SOCConv2d(8, 12, 3)),
            ("b.activation", second),
            ("c.conv", SOCConv2d(12, 4, 1, 2)),
            ("c.activation", MaxMin()),
            ("flatten", Flatten()),
        ],
        16,
    )
    with torch.no_grad():
        net.get_submodule("a.activation").theta.uniform_(0, 6)
        for name in ("theta0", "theta1", "theta2"):
            getattr(net.get_submodule("b.activation"), name).uniform_(0, 6)
    return net


@pytest.fixture
def images():
    return torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(1))


def ratios_by_jacobians(net: LipschitzNet, images: Tensor) -> dict[str, list[float]]:
    """||J^T g|| / ||g|| with the explicit Jacobian of every layer, g pulled back from the margin layer by layer."""
    places = [(name, layer) for name, layer, _ in net.layers()]
    result: dict[str, list[float]] = {name: [] for name, _ in places}
    for image in images.double():
        inputs = [image]
        for _, layer in places:
            inputs.append(layer(inputs[-1].unsqueeze(0)).squeeze(0))
        order = inputs[-1].argsort(descending=True)
        g = torch.zeros_like(inputs[-1])
        g[order[0]], g[order[1]] = 1.0, -1.0
        for (name, layer), x in reversed(list(zip(places, inputs, strict=False))):
            jacobian = jacrev(lambda x, layer=layer: layer(x.unsqueeze(0)).flatten())(x)
            pulled = jacobian.flatten(1).T @ g.flatten()
            result[name].append(float(pulled.norm() / g.norm()))
            g = pulled.reshape(x.shape)
    return result


def test_against_explicit_jacobians(net, images):
    measured = gradient_norms(net, images, "6 images")
    expected = ratios_by_jacobians(net, images)
    assert measured.keys() == expected.keys()
    for name, ratios in expected.items():
        values, norms = torch.tensor(ratios, dtype=torch.float64), measured[name]
        assert norms.images == "6 images"
        for found, true in (
            (norms.mean, values.mean()),
            (norms.minimum, values.min()),
            (norms.maximum, values.max()),
            (norms.p05, values.quantile(0.05)),
            (norms.p95, values.quantile(0.95)),
        ):
            assert found == pytest.approx(float(true), rel=1e-4), name


def test_who_passes_gradient_whole(net, images):
    """Layers with no more outputs than inputs, and every activation; more outputs than inputs lose some."""
    measured = gradient_norms(net, images, "")
    whole = {name for name, layer, _ in net.layers() if layer.gradient_norm_preserving}
    assert whole == {"a.conv", "a.activation", "b.activation", "c.conv", "c.activation", "flatten"}
    for name in whole:
        assert measured[name].minimum == pytest.approx(1, abs=1e-4), name
        assert measured[name].maximum == pytest.approx(1, abs=1e-4), name
    assert measured["b.conv"].maximum < 1 - 1e-3  # 12 outputs from 8 inputs
    assert 2.0 <= measured["normalize"].minimum <= measured["normalize"].maximum <= 4.0 + 1e-6
    for name, layer, shape in net.layers():
        assert measured[name].maximum <= layer.bound(shape).value + 1e-5


@pytest.mark.parametrize("name", ["maxmin", "hh1", "hh2"])
@pytest.mark.parametrize("outputs", [8, 4])
def test_each_activation_and_narrow_convolution_preserves(name, outputs, images):
    body = [
        ("conv", SOCConv2d(2, outputs, 3, 2)),
        ("activation", activation(name, outputs)),
        ("flatten", Flatten()),
    ]
    measured = gradient_norms(net_of(body, 16 * outputs), images, "")
    for layer in ("conv", "activation", "flatten"):
        assert (measured[layer].minimum, measured[layer].maximum) == pytest.approx((1, 1), abs=1e-4)


def test_a_layer_that_shrinks_is_seen(images):
    """|p_3(i lambda)|^2 = 1 - lambda^4 / 12 + lambda^6 / 36."""
    shrunk = net_of([("conv", SOCConv2d(2, 8, 3, 2, terms=3)), ("flatten", Flatten())], 128)
    assert gradient_norms(shrunk, images, "")["conv"].maximum < 0.999


def test_vanished_gradients_are_left_out(images):
    """Logits that do not depend on the features: no gradient arrives below the head."""
    dead = net_of([("flatten", Flatten())], 128)
    with torch.no_grad():
        dead.head.weight.zero_()
        dead.head.bias.copy_(torch.tensor([3.0, 1.0, 0.0, 0.0, 0.0]))
    measured = gradient_norms(dead, images, "")
    assert set(measured) == {"head"}
    assert measured["head"].maximum == 0.0


def test_images_that_overflow_are_left_out(net, images):
    spoilt = images.clone()
    spoilt[2] = 3e38
    assert gradient_norms(net, spoilt, "")["a.conv"] == gradient_norms(net, images[[0, 1, 3, 4, 5]], "")["a.conv"]
    assert gradient_norms(net, torch.full_like(images, torch.inf), "") == {}


def test_the_network_is_left_without_gradients(net, images):
    before = images.clone()
    gradient_norms(net, images, "")
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in net.parameters())
    assert not images.requires_grad
    assert torch.equal(images, before)


def jacobians(net: LipschitzNet, images: Tensor) -> dict[str, list[Tensor]]:
    """(outputs, inputs) of every layer at every image's own activations, in float64, by name."""
    result: dict[str, list[Tensor]] = {name: [] for name, _, _ in net.layers()}
    for image in images.double():
        x = image
        for name, layer, _ in net.layers():
            jacobian = jacrev(lambda x, layer=layer: layer(x.unsqueeze(0)).flatten())(x)
            result[name].append(jacobian.flatten(1))
            x = layer(x.unsqueeze(0)).squeeze(0)
    return result


def statistics(values: Tensor) -> tuple[float, ...]:
    values = values.double()
    return tuple(map(float, (values.mean(), values.min(), values.max(), values.quantile(0.05), values.quantile(0.95))))


def found(norms) -> tuple[float, ...]:
    return (norms.mean, norms.minimum, norms.maximum, norms.p05, norms.p95)


def test_random_directions_against_explicit_jacobians(net, images):
    """The same Gaussian numbers, drawn layer after layer, through matrices."""
    flow = gradient_flow(net, images, "6 images")
    generator = torch.Generator().manual_seed(SEED)
    for name, dense in jacobians(net, images).items():
        shape = {name: layer.output_shape(shape) for name, layer, shape in net.layers()}[name]
        g = torch.randn(len(images), *shape, generator=generator).double().flatten(1)
        ratios = torch.stack([(J.T @ v).norm() / v.norm() for J, v in zip(dense, g, strict=True)])
        assert found(flow.random[name]) == pytest.approx(statistics(ratios), rel=1e-4), name
        assert (flow.random[name].gradients, flow.random[name].images) == ("random", "6 images")


def test_random_directions_see_the_root_mean_square_of_the_singular_values(net):
    """E ||J^T g||^2 / ||g||^2 = ||J||_F^2 / outputs: 8 kept directions of 12 pass 2/3 of the square."""
    many = torch.rand(400, *SHAPE, generator=torch.Generator().manual_seed(2))
    flow = gradient_flow(net, many, "")
    assert flow.random["b.conv"].mean == pytest.approx(math.sqrt(8 / 12), abs=5e-3)
    assert flow.random["a.activation"].minimum == pytest.approx(1, abs=1e-4)


def test_the_cumulative_norm_is_the_product_down_to_the_layer(net, images):
    flow = gradient_flow(net, images, "")
    dense = jacobians(net, images)
    names = [name for name, _, _ in net.layers()]
    assert list(flow.cumulative) == names[:-1]
    rows = net.head.weight.double()
    for position, name in enumerate(names[:-1]):
        ratios = []
        for number in range(len(images)):
            g = start = rows[flow.predicted[number]] - rows[flow.runner_up[number]]
            for later in reversed(names[position:-1]):
                g = dense[later][number].T @ g
            ratios.append(g.norm() / start.norm())
        assert found(flow.cumulative[name]) == pytest.approx(statistics(torch.stack(ratios)), rel=1e-4), name
        assert flow.cumulative[name].gradients == "margin, cumulative"


def constants(net: LipschitzNet, flow) -> Tensor:
    return net.head.pair_bounds()[flow.predicted, flow.runner_up]


def test_tightness_against_the_whole_jacobian(net, images):
    """||(J_l - J_i)|| of the pixels over ||w_l - w_i|| L, and never above 1."""
    flow = gradient_flow(net, images, "6 images")
    lipschitz = net.lipschitz_bound().value
    tight = tightness(flow, constants(net, flow), lipschitz)
    expected = []
    for image in images.double():
        logits = net(image.unsqueeze(0)).squeeze(0)
        first, second = logits.argsort(descending=True)[:2]
        jacobian = jacrev(lambda x: net(x.unsqueeze(0)).squeeze(0))(image).flatten(1)
        rows = net.head.weight.double()
        expected.append((jacobian[first] - jacobian[second]).norm() / (rows[first] - rows[second]).norm() / lipschitz)
    values = torch.stack(expected)
    assert tight.values == pytest.approx(values.tolist(), rel=1e-4)
    assert found(tight) == pytest.approx(statistics(values), rel=1e-4)
    assert 0 < tight.minimum <= tight.maximum < 1
    assert (tight.lipschitz, tight.images) == (lipschitz, "6 images")
    # What the layers pass on, one after the other, is what is left of the bound.
    passed = flow.cumulative["normalize"]
    assert tight.mean == pytest.approx(passed.mean / lipschitz, rel=1e-4)


def test_tightness_where_nothing_can_be_said(net, images):
    flow = gradient_flow(net, torch.full_like(images, torch.inf), "")
    assert (flow.margin, flow.random, flow.cumulative) == ({}, {}, {})
    assert tightness(flow, constants(net, flow), 4.0) is None
    flow = gradient_flow(net, images, "")
    assert tightness(flow, constants(net, flow), math.inf) is None
    spoilt = images.clone()
    spoilt[2] = 3e38
    flow = gradient_flow(net, spoilt, "")
    assert len(tightness(flow, constants(net, flow), 4.0).values) == 5


def test_the_same_file_gives_the_same_report(net, images):
    assert gradient_flow(net, images, "").random == gradient_flow(net, images, "").random


@pytest.fixture
def residual():
    """A stack without a head: a convolution, a residual sum with a projection, an average, a linear layer."""

    def normal(*shape, seed):
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 3

    block = Residual(
        [
            ("block.a", Conv2d(normal(4, 3, 3, 3, seed=2), stride=(2, 2), padding=(1, 1))),
            ("block.b", ReLU()),
            ("block.c", Conv2d(normal(4, 4, 3, 3, seed=3), padding=(1, 1))),
        ],
        [("block.down", Conv2d(normal(4, 3, 1, 1, seed=4), stride=(2, 2)))],
    )
    layers = [
        ("stem", Conv2d(normal(3, 2, 3, 3, seed=1), padding=(1, 1))),
        ("block", block),
        ("relu", ReLU()),
        ("flatten", Flatten()),
        ("fc", Linear(normal(5, 64, seed=5))),
    ]
    return LayerStack(layers, SHAPE).eval().requires_grad_(False)


def test_inside_a_residual_sum_against_explicit_jacobians(residual, images):
    """The gradient at the sum goes into both branches; each layer is measured by what arrives through its own."""
    flow = gradient_flow(residual, images, "")
    assert set(flow.margin) == {"stem", "block.a", "block.b", "block.c", "block.down", "block", "relu", "flatten", "fc"}
    expected = {name: [] for name in flow.margin}
    layers = {name: layer for name, layer, _ in residual.layers()}
    parts = {name: layer for name, layer, _ in layers["block"].parts((3, 8, 8))}

    def pull(name, layer, x, g):
        jacobian = jacrev(lambda x: layer(x.unsqueeze(0)).flatten())(x).flatten(1)
        pulled = jacobian.T @ g.flatten()
        expected[name].append(float(pulled.norm() / g.norm()))
        return pulled.reshape(x.shape)

    def run(layer, x):
        return layer(x.unsqueeze(0)).squeeze(0)

    for image in images.double():
        x1 = run(layers["stem"], image)
        a = run(parts["block.a"], x1)
        b = run(parts["block.b"], a)
        x2 = run(layers["block"], x1)
        x3 = run(layers["relu"], x2)
        x4 = run(layers["flatten"], x3)
        order = run(layers["fc"], x4).argsort(descending=True)
        g = torch.zeros(5, dtype=torch.float64)
        g[order[0]], g[order[1]] = 1.0, -1.0
        for name, x in (("fc", x4), ("flatten", x3), ("relu", x2)):
            g = pull(name, layers[name], x, g)
        through = g
        for name, x in (("block.c", b), ("block.b", a), ("block.a", x1)):
            through = pull(name, parts[name], x, through)
        around = pull("block.down", parts["block.down"], x1, g)
        whole = pull("block", layers["block"], x1, g)
        torch.testing.assert_close(whole, through + around)
        pull("stem", layers["stem"], image, whole)
    for name, ratios in expected.items():
        assert found(flow.margin[name]) == pytest.approx(statistics(torch.tensor(ratios)), rel=1e-4), name
    # Only the layers before the head have a cumulative norm, and it starts at the features.
    assert list(flow.cumulative) == ["stem", "block", "relu", "flatten"]
    assert flow.cumulative["flatten"].mean == pytest.approx(flow.margin["flatten"].mean)
    product = math.prod(expected[name][0] for name in flow.cumulative)
    one = gradient_flow(residual, images[:1], "")
    assert one.cumulative["stem"].mean == pytest.approx(product, rel=1e-4)


def test_one_output_is_its_own_margin(images):
    weight = torch.arange(1.0, 129.0).reshape(1, 128)
    net = LayerStack([("flatten", Flatten()), ("fc", Linear(weight))], SHAPE)
    flow = gradient_flow(net, images, "")
    assert torch.equal(flow.predicted, flow.runner_up)
    assert flow.slopes.tolist() == pytest.approx([float(weight.norm())] * 6)
