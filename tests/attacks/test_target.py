from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from hypothesis import strategies as st

from lipscope.attacks.target import distances, linearised, margins
from tests.always import always

from .makers import images, linear_net, target


@always(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1e-7, 1e-4, 0.1, 1.0]))
def test_distances_are_never_below_the_truth(seed, spread):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (1, 3, 2, 2)).astype(np.uint8)
    points = np.clip(pixels.astype(np.float32) / 255 + spread * random.normal(size=pixels.shape), 0, 1)
    points = points.astype(np.float32)
    told = Fraction(float(distances(torch.from_numpy(points), torch.from_numpy(pixels))))
    pairs = list(zip(points.ravel().tolist(), pixels.ravel().tolist(), strict=True))
    exact = sum((Fraction(point) - Fraction(byte, 255)) ** 2 for point, byte in pairs)
    seen = sum((Fraction(point) - Fraction(float(np.float32(byte) / np.float32(255)))) ** 2 for point, byte in pairs)
    larger = max(exact, seen)
    assert told**2 >= larger
    # ... and hardly above it: the two readings of the image lie within 1e-7 of each other.
    assert float(told) <= float(larger) ** 0.5 * (1 + 1e-14) + 1e-14


def test_margins_leave_the_class_itself_out():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    assert margins(logits, torch.tensor([0, 1])).tolist() == [[float("inf"), 2.0, 1.0], [0.0, float("inf"), 1.0]]


def test_margin_and_gradient_of_a_linear_net():
    net, data = linear_net(1), images(6, 1)
    attacked = target(net, data)
    rows = attacked.everything()
    W, b = net.head.weight.double().numpy(), net.head.bias.double().numpy()
    logits = data.images.reshape(6, -1) / 255 @ W.T + b
    own = attacked.predicted.numpy()
    for rival in (None, torch.tensor([(c + 2) % 5 for c in own])):
        first = linearised(attacked, rows, attacked.images, rival)
        for row in range(6):
            gaps = {i: logits[row, own[row]] - logits[row, i] for i in range(5) if i != own[row]}
            nearest = min(gaps, key=lambda i: gaps[i] / np.linalg.norm(W[own[row]] - W[i]))
            chosen = nearest if rival is None else int(rival[row])
            assert np.isclose(float(first.margin[row]), gaps[chosen], atol=1e-5)
            assert np.allclose(first.gradient[row].numpy().ravel(), W[own[row]] - W[chosen], atol=1e-6)
            assert not first.crossed[row]


def test_noise_depends_on_seed_record_and_purpose_alone():
    attacked = target(linear_net(0), images(5, 0))
    rows = attacked.everything()
    every = attacked.noise(rows, "pgd")
    assert torch.equal(every[3:4], attacked.noise(rows[3:4], "pgd"))
    assert not torch.equal(every[2], every[3])
    assert not torch.equal(every, attacked.noise(rows, "boundary"))
    other = target(linear_net(0), images(5, 0), seed=1)
    assert not torch.equal(every, other.noise(rows, "pgd"))
