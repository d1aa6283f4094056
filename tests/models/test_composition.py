from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from lipscope.errors import UsageError
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.heads import LastLayerNormalized
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.layers.skew import is_skew
from lipscope.layers.soc import SOCConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.records import Bound, Shape
from tests.models.makers import small_config, small_net


class Scale(LipschitzLayer):
    """A layer of known constant, for products computed by hand."""

    kind = "scale"
    gradient_norm_preserving = False

    def __init__(self, factor: float, proved: bool = True) -> None:
        super().__init__()
        self.factor, self.proved = factor, proved

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x

    def bound(self, input_shape: Shape) -> Bound:
        return Bound(self.factor, "by hand") if self.proved else Bound.unproved("nobody knows")

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def composed(*body: tuple[str, LipschitzLayer], std: float = 0.25) -> LipschitzNet:
    layers = [*body, ("flatten", Flatten())]
    return LipschitzNet(Normalize((0.0,) * 3, (std, 1.0, 1.0)), layers, LastLayerNormalized(12, 4), (3, 2, 2)).eval()


def test_the_bound_is_the_product_with_the_normalisation() -> None:
    net = composed(("a", Scale(3.0)), ("b", Scale(0.5)))
    bound = net.lipschitz_bound()
    assert bound.proved
    assert Fraction(6) <= Fraction(bound.value) <= 6 * (1 + Fraction(1, 2**49))
    assert "4 layers" in bound.method


def test_forgetting_the_normalisation_would_be_seen() -> None:
    assert composed(std=0.001).lipschitz_bound().value >= 1000


def test_the_head_is_not_in_the_bound() -> None:
    net = composed()
    with torch.no_grad():
        net.head.weight.fill_(1e6)
    assert net.lipschitz_bound().value < 4 * (1 + 1e-12)


def test_one_layer_without_a_proof_spoils_it_and_is_named() -> None:
    bound = composed(("block.a", Scale(1.0)), ("block.b", Scale(1.0, proved=False))).lipschitz_bound()
    assert not bound.proved
    assert math.isinf(bound.value)
    assert bound.reason == "layer block.b: nobody knows"


def test_names_nest_and_order_is_forward_order() -> None:
    net = composed(("z.one", Scale(2.0)), ("a", Scale(3.0)), ("z.two", Scale(5.0)))
    assert [name for name, _, _ in net.layers()] == ["normalize", "z.one", "a", "z.two", "flatten", "head"]
    assert net.features(torch.ones(1, 3, 2, 2)).amax() == 4 * 30


@pytest.mark.parametrize("activation", ["maxmin", "hh1", "hh2"])
@pytest.mark.parametrize("head", ["lln", "orthogonal"])
def test_no_measured_quotient_exceeds_the_proved_constants(activation: str, head: str) -> None:
    """Features against L, and differences of logits against c L, in float64, with steepest ascent on each pair."""
    net = small_net(3, activation=activation, head=head)
    lipschitz, pairs = net.lipschitz_bound().value, net.head.pair_bounds()
    assert lipschitz == pytest.approx(1 / 0.2507, rel=1e-9)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(16, 3, 32, 32, generator=generator, dtype=torch.float64)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    for _ in range(4):
        point = x.clone().requires_grad_()
        logits = net(point)
        top = logits.topk(2).indices
        (gap,) = (logits.gather(1, top) @ torch.tensor([1.0, -1.0], dtype=torch.float64),)
        (direction,) = torch.autograd.grad(gap.sum(), point)
        for length in (1e-6, 1e-2, 1.0, 10.0):
            step = length * direction / direction.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None, None]
            moved = (net.features(x + step) - net.features(x)).norm(dim=1)
            assert bool((moved <= length * lipschitz * (1 + 1e-9) + 1e-12).all())
            change = net(x + step) - net(x)
            for i in range(16):
                apart = (change[i][:, None] - change[i][None]).abs()
                assert bool((apart <= length * lipschitz * pairs * (1 + 1e-9) + 1e-12).all())
        x = (x + 0.05 * direction.sign()).detach()


def test_training_and_freezing() -> None:
    torch.manual_seed(0)
    net = small_config(activation="hh1", head="orthogonal").build()
    names = set(net.state_dict())
    net.make_trainable()
    net.train()
    images = torch.rand(4, 3, 32, 32)
    net(images).square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    frozen = net.frozen()
    assert set(frozen.state_dict()) == names
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert frozen.lipschitz_bound().value == pytest.approx(1 / 0.2507, rel=1e-9)
    for _, layer, shape in frozen.layers():
        if isinstance(layer, SOCConv2d):
            assert is_skew(layer.kernel)
            assert layer.bound(shape).value == 1.0
    weights = [p.detach().clone() for p in net.parameters()]
    with torch.no_grad():
        for p in frozen.parameters():
            p.add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))


def test_freezing_under_autocast_is_freezing() -> None:
    torch.manual_seed(0)
    net = small_config(head="orthogonal").build()
    net.make_trainable()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net.train()(torch.rand(2, 3, 32, 32))
        under = net.frozen()
    plain = net.frozen()
    for (name, a), (_, b) in zip(under.state_dict().items(), plain.state_dict().items(), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b), name


def test_freezing_what_is_frozen_changes_nothing() -> None:
    net = small_net()
    again = net.frozen()
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_nothing_is_proved_of_a_network_in_training() -> None:
    """Not even when a single layer of it is."""
    net = composed(("block.a", Scale(1.0)), ("block.b", Scale(1.0)))
    assert net.lipschitz_bound().proved
    net.get_submodule("block.b").train()
    with pytest.raises(UsageError, match=r"block\.b: refused: the network is in training mode .*; call \.eval\(\)"):
        net.lipschitz_bound()
