from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.training.recipe import fast
from lipscope.training.step import make_optimizer, take_step
from tests.training.conftest import ALONE

RECIPE = replace(fast(), bfloat16=False)


def trainable(**arguments):
    torch.manual_seed(0)
    net = LipConvnetConfig(**{"channels": 2, **arguments}).build()
    net.make_trainable()
    return net.train()


@pytest.fixture
def batch(few_images):
    return torch.from_numpy(few_images.images[:16]), torch.from_numpy(few_images.labels[:16])


@pytest.mark.parametrize(("activation", "angles"), [("maxmin", 0), ("hh1", 5), ("hh2", 15)])
@pytest.mark.parametrize("head", ["lln", "orthogonal"])
def test_angles_are_free_of_weight_decay(activation, angles, head):
    net = trainable(activation=activation, head=head)
    optimizer = make_optimizer(net, RECIPE)
    assert isinstance(optimizer, torch.optim.SGD)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    decayed = {
        names.pop(id(parameter)): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert not names  # every parameter is in exactly one group
    assert sum("theta" in name for name in decayed) == angles
    for name, decay in decayed.items():
        assert decay == (0.0 if "theta" in name else 5e-4)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize(
    "arguments", [{}, {"activation": "hh1"}, {"activation": "hh2"}, {"head": "orthogonal"}, {"blocks": 2}]
)
def test_steps_move_every_parameter_and_freeze_to_a_proved_model(batch, arguments, bfloat16):
    net = trainable(**arguments)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    recipe = replace(RECIPE, bfloat16=bfloat16)
    optimizer = make_optimizer(net, recipe)
    for group in optimizer.param_groups:
        group["lr"] = 0.05
    for _ in range(3):
        sums = take_step(net, optimizer, batch, recipe, ALONE)
        assert sums.dtype == torch.float64
        assert bool(torch.isfinite(sums).all())
    for name, parameter in net.named_parameters():
        assert parameter.dtype == torch.float32
        assert bool(torch.isfinite(parameter).all())
        # theta1 of order 2 turns a sector that is empty as long as theta2 is held at 0.
        if not name.endswith("theta1"):
            assert not torch.equal(parameter, before[name]), name
    frozen = net.frozen()
    for name, layer, shape in frozen.layers():
        if layer not in (frozen.normalize, frozen.head):
            bound = layer.bound(shape)
            assert bound.proved, name
            assert bound.value == 1.0, name
    assert frozen.lipschitz_bound().value == frozen.normalize.bound(frozen.input_shape).value
    assert net.training
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


@pytest.mark.parametrize("gamma", [0.0, 0.4])
@pytest.mark.parametrize("offset", [0.0, 0.75])
def test_loss_and_counts_by_brute_force(batch, gamma, offset):
    net = trainable()
    images, labels = batch
    twin = copy.deepcopy(net)
    with torch.no_grad():
        logits = twin(images.float() / 255).double().numpy()
    labels = torch.where(torch.arange(16) % 2 > 0, torch.from_numpy(logits.argmax(1)), labels)
    rows = twin.head.rows().detach().double().numpy()
    losses, radii = [], []
    for row, label in zip(logits, labels.tolist(), strict=True):
        distances = np.linalg.norm(rows[label] - rows, axis=1)
        radii.append(min((row[label] - row[i]) / distances[i] * 0.2507 for i in range(10) if i != label))
        shifted = row - offset * np.eye(10)[label]
        losses.append(math.log(np.exp(shifted - shifted[label]).sum()))
    expected = np.mean(losses) - gamma * np.mean([max(radius, 0) for radius in radii])
    recipe = replace(RECIPE, gamma=gamma, offset=offset)
    sums = take_step(net, make_optimizer(net, recipe), (images, labels), recipe, ALONE)
    assert sums[0].item() == pytest.approx(16 * expected, rel=1e-5)
    assert sums[1:].tolist() == [sum(r > 0 for r in radii), sum(r > 36 / 255 for r in radii)]


def test_one_step_of_sgd_by_hand(batch):
    """p - lr (gradient + decay p): the first step of SGD with momentum."""
    net = trainable(activation="hh1")
    twin = copy.deepcopy(net)
    recipe = replace(RECIPE, gamma=0.0, weight_decay=0.01)
    take_step(net, make_optimizer(net, recipe), batch, recipe, ALONE)
    torch.nn.functional.cross_entropy(twin(batch[0].float() / 255), batch[1]).backward()
    for (name, moved), still in zip(net.named_parameters(), twin.parameters(), strict=True):
        decay = 0.0 if "theta" in name else 0.01
        expected = still.detach() - recipe.learning_rate * (still.grad + decay * still.detach())
        torch.testing.assert_close(moved.detach(), expected, rtol=2e-4, atol=2e-6)


def test_images_are_left_alone(batch):
    net, before = trainable(), batch[0].clone()
    take_step(net, make_optimizer(net, RECIPE), batch, RECIPE, ALONE)
    assert torch.equal(batch[0], before)


@pytest.mark.parametrize("parts", [2, 3, 16, 100])
def test_parts_of_a_batch_add_up_to_the_gradients_of_the_whole(batch, parts):
    """3 does not divide 16, and 100 parts are as many as images. SOC's norms go on with every pass, so not for it."""
    gradients, sums = [], []
    for accumulate in (1, parts):
        net = trainable(activation="hh1", conv="cayley")
        recipe = replace(RECIPE, accumulate=accumulate)
        optimizer = make_optimizer(net, recipe)
        sums.append(take_step(net, optimizer, batch, recipe, ALONE))
        gradients.append({name: parameter.grad for name, parameter in net.named_parameters()})
    torch.testing.assert_close(sums[1], sums[0], rtol=1e-5, atol=1e-5)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5, msg=name)
