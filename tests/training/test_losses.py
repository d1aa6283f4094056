from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.training.emma import FLOOR, emma
from lipscope.training.losses import (
    certificate_regularisation,
    logit_annealing,
    multi_margin,
    nominal_pair_constants,
    offset_cross_entropy,
    true_radius,
)
from lipscope.training.recipe import LOSSES


def brute_radius(logits: np.ndarray, label: int, constants: np.ndarray) -> float:
    """The smallest quotient over every other class."""
    return min((logits[label] - logits[i]) / constants[label, i] for i in range(len(logits)) if i != label)


def brute_cross_entropy(logits: np.ndarray, label: int) -> float:
    return math.log(math.fsum(math.exp(value - logits[label]) for value in logits))


@pytest.fixture(params=[2, 3, 10])
def drawn(request):
    """Logits (50, classes), labels, and pair constants that are symmetric, with NaN on the diagonal."""
    random = np.random.default_rng(request.param)
    classes = request.param
    logits, labels = random.normal(size=(50, classes)) * 3, random.integers(0, classes, 50)
    logits[0] = 1.0  # a tie of all classes
    constants = random.uniform(0.2, 3.0, (classes, classes))
    constants = constants + constants.T
    np.fill_diagonal(constants, np.nan)
    return logits, labels, constants


def tensors(drawn):
    return tuple(torch.from_numpy(part) for part in drawn)


def test_radius_of_the_true_label_over_every_pair(drawn):
    expected = [brute_radius(row, label, drawn[2]) for row, label in zip(*drawn[:2], strict=True)]
    np.testing.assert_allclose(true_radius(*tensors(drawn)).numpy(), expected, rtol=1e-14)


def test_the_pair_that_decides_need_not_be_the_runner_up():
    logits, constants = torch.tensor([[3.0, 2.9, 0.0]]), torch.ones(3, 3)
    assert true_radius(logits, torch.tensor([0]), constants).item() == pytest.approx(0.1)
    constants[0, 2] = 300.0
    assert true_radius(logits, torch.tensor([0]), constants).item() == pytest.approx(0.01)


def test_certificate_regularisation_by_hand(drawn):
    logits, labels, constants = drawn
    radii = [brute_radius(row, label, constants) for row, label in zip(logits, labels, strict=True)]
    expected = math.fsum(max(radius, 0.0) for radius in radii) / len(radii)
    assert certificate_regularisation(*tensors(drawn)).item() == pytest.approx(expected, rel=1e-13)


def test_its_gradient_raises_the_radius_of_certified_images_only():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], requires_grad=True)
    constants = torch.tensor([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]])
    certificate_regularisation(logits, torch.tensor([0, 0]), constants).backward()
    # (2 - 0) / 4 = 0.5 decides the first image; the second is wrong, so relu passes nothing.
    assert logits.grad.tolist() == [[0.125, 0.0, -0.125], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("offset", [0.0, 0.5, 1.25])
def test_offset_cross_entropy_by_hand(drawn, offset):
    logits, labels, _ = drawn
    expected = []
    for row, label in zip(logits, labels, strict=True):
        shifted = row.copy()
        shifted[label] -= offset
        expected.append(brute_cross_entropy(shifted, label))
    loss = offset_cross_entropy(*tensors(drawn)[:2], offset, temperature=1.0)
    assert loss.item() == pytest.approx(math.fsum(expected) / 50, rel=1e-13)


def test_no_offset_is_plain_cross_entropy(drawn):
    logits, labels, _ = tensors(drawn)
    assert offset_cross_entropy(logits, labels, 0.0, 1.0) == torch.nn.functional.cross_entropy(logits, labels)


@pytest.mark.parametrize("temperature", [0.25, 3.0])
def test_a_temperature_divides_the_logits_and_multiplies_the_loss(drawn, temperature):
    logits, labels, _ = drawn
    expected = [
        temperature * brute_cross_entropy(np.array(row) / temperature, label)
        for row, label in zip(logits, labels, strict=True)
    ]
    loss = offset_cross_entropy(*tensors(drawn)[:2], 0.0, temperature)
    assert loss.item() == pytest.approx(math.fsum(expected) / 50, rel=1e-13)


@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_multi_margin_by_hand(drawn, margin):
    logits, labels, _ = drawn
    expected = [
        sum(max(0.0, margin - row[label] + value) for i, value in enumerate(row) if i != label) / len(row)
        for row, label in zip(logits, labels, strict=True)
    ]
    loss = multi_margin(*tensors(drawn)[:2], margin)
    assert loss.item() == pytest.approx(math.fsum(expected) / 50, rel=1e-13)


@pytest.mark.parametrize(("offset", "temperature", "beta"), [(2.0, 0.75, 5.0), (0.0, 1.0, 1.0), (0.5, 2.0, 0.0)])
def test_logit_annealing_by_hand(drawn, offset, temperature, beta):
    logits, labels, _ = drawn
    expected = []
    for row, label in zip(logits, labels, strict=True):
        shifted = row.copy()
        shifted[label] -= offset
        entropy = brute_cross_entropy(np.array(shifted) / temperature, label)
        expected.append(temperature * (1 - math.exp(-entropy)) ** beta * entropy)
    loss = logit_annealing(*tensors(drawn)[:2], offset, temperature, beta)
    assert loss.item() == pytest.approx(math.fsum(expected) / 50, rel=1e-11)


def test_an_image_that_is_far_from_the_boundary_stops_pulling_under_annealing():
    logits = torch.tensor([[30.0, 0.0], [0.5, 0.0]], requires_grad=True)
    logit_annealing(logits, torch.tensor([0, 0]), 0.0, 1.0).backward()
    assert logits.grad[0].abs().max() < 1e-12
    assert logits.grad[1].abs().max() > 1e-3


@pytest.mark.parametrize(("radius", "temperature"), [(0.3, 1.0), (1.5, 0.5)])
def test_emma_by_hand(drawn, radius, temperature):
    """Every rival at its worst within the radius, or within the margin that the image has."""
    logits, labels, constants = drawn
    expected = []
    for row, label in zip(logits, labels, strict=True):
        worst = row.copy()
        for i in range(len(row)):
            if i != label:
                reach = min(max((row[label] - row[i]) / constants[label, i], FLOOR * radius), radius)
                worst[i] += reach * constants[label, i]
        expected.append(temperature * brute_cross_entropy(worst / temperature, label))
    offset = radius * math.sqrt(2) / 0.2507
    loss = LOSSES["emma"](*tensors(drawn)[:2], offset, temperature, tensors(drawn)[2])
    assert loss.item() == pytest.approx(math.fsum(expected) / 50, rel=1e-11)


def test_emma_holds_shares_of_margins_constant_and_pulls_an_image_until_it_has_them():
    logits = torch.tensor([[1.0, 0.0, -9.0]], dtype=torch.float64, requires_grad=True)
    emma(logits, torch.tensor([0]), 4.0).backward()
    # The second class is raised by its margin 1 to a draw, the third by 4: softmax(1, 1, -5) minus one-hot.
    weights = np.exp([1.0, 1.0, -5.0]) / np.exp([1.0, 1.0, -5.0]).sum()
    np.testing.assert_allclose(logits.grad[0].numpy(), weights - [1, 0, 0], rtol=1e-12)
    # Its paper asks for margins up to three times 36/255.
    assert LOSSES["emma"].offset * 0.2507 / math.sqrt(2) == pytest.approx(108 / 255)


def test_every_loss_is_its_function_with_its_papers_settings():
    functions = {name: loss.of for name, loss in LOSSES.items()}
    assert functions == {
        "cross-entropy": offset_cross_entropy, "offset-cross-entropy": offset_cross_entropy,
        "multi-margin": multi_margin, "logit-annealing": logit_annealing,
        "emma": emma,
    }  # fmt: skip
    assert (LOSSES["logit-annealing"].offset, LOSSES["logit-annealing"].temperature) == (2.0, 0.75)


def trainable(**arguments):
    torch.manual_seed(0)
    net = LipConvnetConfig(channels=2, **arguments).build()
    net.make_trainable()
    return net


def test_pair_constants_of_normalised_rows():
    net = trainable(std=(0.5, 0.25, 0.3))
    rows = net.head.weight.detach().double().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    constants = nominal_pair_constants(net).detach().numpy()
    for i in range(10):
        for j in range(10):
            if i != j:
                assert constants[i, j] == pytest.approx(np.linalg.norm(rows[i] - rows[j]) / 0.25, rel=1e-5)


def test_pair_constants_of_the_orthogonal_head():
    constants = nominal_pair_constants(trainable(head="orthogonal", classes=7))
    assert constants.shape == (7, 7)
    assert constants.flatten().tolist() == pytest.approx([math.sqrt(2) / 0.2507] * 49)


def test_the_gradient_through_the_diagonal_is_finite():
    net = trainable()
    nominal_pair_constants(net).sum().backward()
    assert bool(torch.isfinite(net.head.weight.grad).all())
    net.zero_grad()
    logits = net.head(torch.randn(20, 64, generator=torch.Generator().manual_seed(1)))
    labels = logits.argmax(dim=1)
    certificate_regularisation(logits, labels, nominal_pair_constants(net)).backward()
    assert bool(torch.isfinite(net.head.weight.grad).all())
    assert net.head.weight.grad.abs().max() > 0


def test_the_gradient_of_the_regularisation_by_differences():
    net = trainable()
    features = torch.randn(6, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    net.head.double()
    labels = net.head(features).argmax(dim=1)

    def value() -> torch.Tensor:
        return certificate_regularisation(net.head(features), labels, nominal_pair_constants(net))

    value().backward()
    weight, step = net.head.weight, 1e-6
    for position in ((0, 0), (3, 17), (9, 63)):
        with torch.no_grad():
            weight[position] += step
            above = value().item()
            weight[position] -= 2 * step
            below = value().item()
            weight[position] += step
        assert weight.grad[position].item() == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-9)
