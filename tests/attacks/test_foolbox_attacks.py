from __future__ import annotations

import builtins
from fractions import Fraction

import numpy as np
import pytest

from lipscope.attacks.best import Best
from lipscope.attacks.foolbox_attacks import foolbox_attack, run_foolbox
from lipscope.errors import UsageError

from .makers import certified, exact_distance, images, linear_net, target


@pytest.mark.parametrize("name", ["L2DeepFoolAttack", "L2ProjectedGradientDescentAttack"])
def test_attacks_of_foolbox_go_through_the_same_door(name):
    net, data = linear_net(1), images(10, 1)
    claimed = certified(net, data)
    best = Best(target(net, data, claimed))
    run_foolbox(best, name, [Fraction(100, 255)])
    exact = exact_distance(net, data, claimed.predicted)
    found = best.distance.numpy()
    assert np.isfinite(found).all()
    assert (found >= exact).all()
    if "DeepFool" in name:
        assert (found <= exact * 1.01 + 1e-6).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Magic", "no such attack"),
        ("base", "no such attack"),
        ("LinfPGD", "not an l2 attack"),
        ("DatasetAttack", "not an l2 attack|default arguments"),
    ],
)
def test_other_names_are_refused(name, words):
    with pytest.raises(UsageError, match=words):
        foolbox_attack(name)


def test_without_foolbox_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **named):
        if name == "foolbox":
            raise ImportError("No module named 'foolbox'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"foolbox is not installed.*lipscope\[attack\]"):
        foolbox_attack("L2DeepFoolAttack")
