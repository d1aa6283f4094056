from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lipscope.attacks.best import Best
from lipscope.attacks.boundary import _along, boundary, ulps

from .makers import certified, exact_distance, images, linear_net, target


@pytest.mark.parametrize("lie", [1e-5, 1e-3])
def test_a_radius_that_is_too_large_by_a_hair_is_refuted(lie):
    net, data = linear_net(1), images(30, 1)
    claimed = certified(net, data)
    exact = exact_distance(net, data, claimed.predicted)
    large = exact * lie > 4e-7  # where a hair of the radius is more than the grain of float32
    attacked = replace(target(net, data, claimed), radius=torch.from_numpy(exact * (1 + lie)))
    best = Best(attacked)
    boundary(best)
    refuted = best.distance.numpy() < exact * (1 + lie)
    assert large.sum() > 5
    assert refuted[large].all()
    assert (best.distance.numpy() >= exact).all()


def test_a_radius_that_is_loose_is_not():
    net, data = linear_net(1), images(30, 1)
    claimed = certified(net, data)
    exact = exact_distance(net, data, claimed.predicted)
    best = Best(replace(target(net, data, claimed), radius=torch.from_numpy(exact * 0.9)))
    boundary(best)
    assert torch.isinf(best.distance).all()


@pytest.mark.parametrize("lead", [0.0, 2.0**-12])
def test_the_image_itself_is_tried(lead):
    """A class that leads at the image refutes any radius; two that are equal everywhere refute nothing."""
    net, data = linear_net(1), images(4, 1)
    with torch.no_grad():
        net.head.weight[1] = net.head.weight[0]
        net.head.bias[:2] = 20
        net.head.bias[1] += lead
    attacked = replace(target(net, data), predicted=torch.zeros(4, dtype=torch.int64))
    best = Best(attacked)
    boundary(best)
    assert torch.isinf(best.distance).all() == (lead == 0)
    if lead:
        assert (best.distance < 1e-5).all()
        assert (best.distance > 0).all()  # the reading of bytes as float32 counts


def test_points_along_a_direction_are_as_far_as_asked_for():
    random = torch.Generator().manual_seed(0)
    x = torch.rand(10, 3, 4, 4, generator=random).round(decimals=1)
    lengths = torch.linspace(0.01, 0.5, 10)
    points = _along(x, torch.randn(x.shape, generator=random), lengths)
    reached = torch.linalg.vector_norm((points - x).flatten(1), dim=1)
    assert ((points >= 0) & (points <= 1)).all()
    assert (reached <= lengths + 1e-6).all()
    assert (reached >= 0.99 * lengths).all()


def test_neighbours_are_the_next_floats():
    x = torch.tensor([0.5, 0.25, 1.0, 0.0, 0.7])
    moved = ulps(x, torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0]), 2).numpy()
    expected = x.numpy().copy()
    for _ in range(2):
        expected[0] = np.nextafter(expected[0], np.float32(2))
        expected[1] = np.nextafter(expected[1], np.float32(-2))
    assert np.array_equal(moved, expected)
