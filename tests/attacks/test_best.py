from __future__ import annotations

import numpy as np
import torch

from lipscope.attacks.best import Best

from .makers import certified, exact_distance, images, linear_net, target


def crossing(net, data, claimed, share):
    """Points at a share of the way to the nearest boundary and beyond, by dense algebra."""
    W, b = net.head.weight.double().numpy(), net.head.bias.double().numpy()
    x = data.images.reshape(len(data), -1) / 255
    points = []
    for row, own in enumerate(claimed.predicted):
        logits = W @ x[row] + b
        gaps = [
            (logits[own] - logits[i]) / np.linalg.norm(W[own] - W[i]) if i != own else np.inf for i in range(len(b))
        ]
        direction = W[int(np.argmin(gaps))] - W[own]
        points.append(x[row] + share * min(gaps) * direction / np.linalg.norm(direction))
    return torch.from_numpy(np.array(points, dtype=np.float32).reshape(data.images.shape))


def test_only_nearer_points_of_another_class_stay():
    net, data = linear_net(2), images(8, 2)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    rows = best.target.everything()
    assert not best.offer(crossing(net, data, claimed, 0.9), rows).any()
    assert torch.isinf(best.distance).all()
    assert best.offer(crossing(net, data, claimed, 1.5), rows).all()
    first = best.distance.clone()
    best.attack = 1
    assert not best.offer(crossing(net, data, claimed, 1.8), rows).any()
    assert torch.equal(best.distance, first)
    some = rows[2:5]
    assert best.offer(crossing(net, data, claimed, 1.1)[2:5], some).all()
    assert best.found_by.tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert best.in_float32.all()
    exact = exact_distance(net, data, claimed.predicted)
    assert np.allclose(best.distance[some].numpy(), 1.1 * exact[2:5], rtol=1e-4)


def test_points_outside_the_box_do_not_count():
    net, data = linear_net(2), images(4, 2)
    best = Best(target(net, data))
    rows = best.target.everything()
    points = best.target.images + 40 * (crossing(net, data, certified(net, data), 3.0) - best.target.images)
    assert ((points < 0) | (points > 1)).flatten(1).any(dim=1).all()
    assert not best.offer(points, rows).any()


def test_the_line_search_ends_at_the_boundary():
    net, data = linear_net(3), images(30, 3)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    best.offer_nearest(crossing(net, data, claimed, 1.7), best.target.everything())
    exact = exact_distance(net, data, claimed.predicted)
    excess = best.distance.numpy() - exact
    assert (excess >= 0).all()
    assert (excess <= 1e-4 * exact + 1e-6).all()


def test_float64_has_the_last_word():
    net, data = linear_net(4), images(1, 4)
    best = Best(target(net, data))
    own = int(best.target.predicted[0])
    point = best.target.images + 1e-3
    assert not best.offer(point, torch.tensor([0])).any()
    real = best.target.net.forward

    def deceived(x):
        logits = real(x)
        if x.dtype == torch.float32:
            logits[:, own] -= 1000
        return logits

    best.target.net.forward = deceived
    assert float(best.target.margin(point, torch.tensor([0]))) < 0
    assert not best.offer(point, torch.tensor([0])).any()
    assert torch.isinf(best.distance).all()
