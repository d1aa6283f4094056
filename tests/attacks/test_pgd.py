from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from lipscope.attacks import pgd as room
from lipscope.attacks.best import Best
from lipscope.attacks.pgd import pgd

from .makers import certified, exact_distance, images, linear_net, target

EPS = [Fraction(k, 255) for k in (5, 12, 24)]


def test_on_linear_nets_it_breaks_exactly_the_breakable():
    net, data = linear_net(1), images(40, 1)
    claimed = certified(net, data)
    exact = exact_distance(net, data, claimed.predicted)
    for eps in EPS:
        best = Best(target(net, data, claimed))
        pgd(best, [eps], steps=10, restarts=2)
        broken = best.distance.numpy() <= float(eps)
        assert 0 < broken.sum() < 40
        close = np.abs(exact - float(eps)) < 1e-4 * float(eps)
        assert np.array_equal(broken[~close], (exact < float(eps))[~close])
        assert (best.distance.numpy() >= exact).all()


def test_an_image_that_is_broken_is_not_attacked_again(monkeypatch):
    net, data = linear_net(1), images(40, 1)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    attacked = []
    real = room.linearised
    monkeypatch.setattr(room, "linearised", lambda t, rows, points: attacked.append(len(rows)) or real(t, rows, points))
    pgd(best, EPS, steps=10, restarts=2)
    exact = exact_distance(net, data, claimed.predicted)
    assert attacked[0] == 40
    assert attacked[-1] <= (exact > 0.99 * float(EPS[-1])).sum()
    assert sum(attacked) < 40 * len(EPS) * 2 * 11 / 2


def test_points_lie_in_ball_and_box():
    random = torch.Generator().manual_seed(0)
    x = torch.rand(20, 3, 4, 4, generator=random)
    for outward in (False, True):
        points = room._into(x, 3 * torch.randn(x.shape, generator=random), 0.3, outward=outward)
        assert ((points >= 0) & (points <= 1)).all()
        assert (torch.linalg.vector_norm((points - x).flatten(1), dim=1) <= 0.3 * (1 + 1e-6)).all()


def test_a_random_start_is_the_same_for_the_same_seed():
    net, data = linear_net(3), images(20, 3)
    outcomes = []
    for seed in (0, 0, 1):
        best = Best(target(net, data, seed=seed))
        pgd(best, EPS, steps=2, restarts=2)
        outcomes.append(best.point)
    assert torch.equal(outcomes[0], outcomes[1])


def test_radius_zero_attacks_nothing():
    best = Best(target(linear_net(0), images(3, 0)))
    pgd(best, [Fraction(0)], steps=2, restarts=1)
    assert torch.isinf(best.distance).all()
