from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from scipy.optimize import minimize

from lipscope.attacks.best import Best
from lipscope.attacks.minimum import minimum, onto_boundary
from tests.always import always
from tests.models.makers import small_net

from .makers import certified, exact_distance, images, linear_net, target


@always(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
def test_on_linear_nets_it_finds_the_exact_distance(seed, classes):
    net, data = linear_net(seed, classes), images(3, seed, classes)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    minimum(best, steps=4, restarts=1)
    exact, found = exact_distance(net, data, claimed.predicted), best.distance.numpy()
    assert (found >= exact).all()
    # In float32 the logits of these nets are good to about 1e-6, and so are distances.
    assert (found <= exact * (1 + 1e-3) + 3e-6).all()


def test_next_to_a_tie_float64_is_followed_beyond_the_point_that_float32_takes_for_changed():
    net, data = linear_net(6050970, 5), images(3, 6050970, 5)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    minimum(best, steps=4, restarts=1)
    exact = exact_distance(net, data, claimed.predicted)
    assert exact[0] < 2.4e-5
    assert exact[0] <= best.distance[0] <= 1.1 * exact[0]


def test_where_pixels_are_black_and_white_the_box_counts():
    net, data = linear_net(7, classes=2, scale=0.3), images(12, 7, 2, low=0, high=256)
    data.images[:, :, ::2] = np.where(data.images[:, :, ::2] < 128, 0, 255)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    minimum(best, steps=15, restarts=1)
    W, b = net.head.weight.double().numpy(), net.head.bias.double().numpy()
    reached = 0
    for row, own in enumerate(claimed.predicted):
        x = data.images[row].ravel() / 255
        w, offset = W[own] - W[1 - own], b[own] - b[1 - own]
        solved = minimize(
            lambda y, x=x: 0.5 * ((y - x) ** 2).sum(), x, jac=lambda y, x=x: y - x, bounds=[(0, 1)] * len(x),
            constraints={"type": "ineq", "fun": lambda y, w=w, o=offset: -(w @ y + o), "jac": lambda y, w=w: -w},
            method="SLSQP", options={"maxiter": 500, "ftol": 1e-14},
        )  # fmt: skip
        if not solved.success:  # no other class in the box
            assert torch.isinf(best.distance[row])
            continue
        reached += 1
        exact = np.linalg.norm(solved.x - x)
        unbounded = abs(w @ x + offset) / np.linalg.norm(w)
        assert exact >= unbounded
        assert exact - 1e-6 <= float(best.distance[row]) <= exact * (1 + 2e-3) + 1e-6
    assert reached >= 8


@pytest.mark.parametrize("seed", range(4))
def test_the_projection_is_the_nearest_point_of_the_box_beyond_the_boundary(seed):
    random = np.random.default_rng(seed)
    x, g = random.random((1, 3, 2, 2)), random.normal(size=(1, 3, 2, 2))
    margin = 0.5 * np.abs(g).sum() * random.random()
    moved = onto_boundary(torch.from_numpy(x), torch.from_numpy(g), torch.tensor([margin]))[0].numpy()
    assert ((moved >= 0) & (moved <= 1)).all()
    least = (margin + (g[0] * (np.where(g[0] > 0, 0, 1) - x[0])).sum()).item()
    left = margin + (g[0] * (moved - x[0])).sum()
    if least > 0:  # no point of the box is beyond: the corner
        assert np.allclose(moved[g[0] != 0], np.where(g[0] > 0, 0.0, 1.0)[g[0] != 0])
        return
    assert abs(left) < 1e-9
    # The conditions of Karush, Kuhn and Tucker: y = clip(x - t g) for one t >= 0.
    free = (moved > 0) & (moved < 1)
    lengths = ((x[0] - moved) / g[0])[free]
    assert np.allclose(lengths, lengths[0])
    assert np.allclose(moved, np.clip(x[0] - lengths[0] * g[0], 0, 1))


def test_the_point_stays_where_the_margin_is_negative_already():
    x = torch.full((1, 3, 2, 2), 0.5)
    assert torch.equal(onto_boundary(x, torch.ones_like(x), torch.tensor([-1.0])), x)


def test_more_steps_do_not_lose_what_fewer_found():
    net = small_net(5)
    data = images_of_synthetic(16)
    claimed = certified(net, data)
    distances = []
    for restarts in (1, 3):
        best = Best(target(net, data, claimed))
        minimum(best, steps=10, restarts=restarts)
        distances.append(best.distance.numpy())
    assert np.isfinite(distances[1]).sum() >= 4
    assert (distances[1] <= distances[0] + 1e-6).all()
    assert (distances[1] >= claimed.radius - 1e-6).all()  # those are float32's


def images_of_synthetic(count):
    from lipscope.data.synthetic import synthetic

    return synthetic("synthetic", "test").subset(range(count))
