from __future__ import annotations

from dataclasses import replace

import pytest

from lipscope.errors import UsageError
from lipscope.training.recipe import RECIPES, Recipe, fast, offset, paper, schedule_at


def test_the_papers_recipe():
    recipe = paper()
    assert (recipe.padding, recipe.padding_mode) == (4, "constant")
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.momentum) == (200, 128, 0.1, 0.9)
    assert (recipe.weight_decay, recipe.schedule, recipe.offset) == (5e-4, "step", 0.0)
    assert recipe.holdout == 5000


def learning_rate_at(recipe, progress):
    risen, left = schedule_at(recipe, progress)
    return recipe.learning_rate * risen * left


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.1), (0.25, 0.1), (0.4999, 0.1), (0.5, 0.01), (0.7499, 0.01), (0.75, 0.001), (1.0, 0.001)],
)
def test_step_schedule_by_hand(progress, rate):
    assert learning_rate_at(paper(), progress) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("warmup", "progress", "rate"),
    [(0.2, 0.0, 0.0), (0.2, 0.05, 0.05), (0.2, 0.1, 0.1), (0.2, 0.2, 0.2), (0.2, 0.6, 0.1), (0.2, 0.9, 0.025),
     (0.2, 1.0, 0.0), (0.0, 0.0, 0.2), (0.0, 0.25, 0.15), (0.0, 1.0, 0.0)],
)  # fmt: skip
def test_one_cycle_by_hand(warmup, progress, rate):
    recipe = replace(fast(), learning_rate=0.2, warmup=warmup)
    assert learning_rate_at(recipe, progress) == pytest.approx(rate, abs=1e-15)


def test_one_cycle_never_exceeds_the_largest_rate():
    rates = [learning_rate_at(offset(), step / 1000) for step in range(1001)]
    assert max(rates) == pytest.approx(offset().learning_rate)
    assert min(rates) >= 0
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("schedule", "cosine"), ("epochs", 0), ("batch_size", 0), ("gamma", -0.1), ("gamma", float("nan")),
     ("offset", -1.0), ("holdout", -1), ("weight_decay", -1e-9), ("learning_rate", 0.0), ("learning_rate", -1.0),
     ("learning_rate", float("nan")), ("seed", -1), ("seed", 2**63), ("warmup", 1.0), ("warmup", -0.1),
     ("loss", "hinge"), ("padding", -1), ("end_padding", -1), ("padding_mode", "edge"),
     ("distortion", -0.1), ("distortion", 4.5), ("distortion", float("inf")), ("end_distortion", float("nan")),
     ("minutes", 0.0), ("minutes", float("inf")), ("decay", 1.0), ("optimizer", "adam"),
     ("temperature", 0.0), ("temperature", float("nan")), ("extra_share", 0.5)],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_by_name(name, value):
    with pytest.raises(UsageError) as caught:
        replace(fast(), **{name: value})
    assert name in caught.value.what
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipes_through_json(name):
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(UsageError, match="unknown recipe key 'los'"):
        Recipe.from_json({**recipe.to_json(), "los": "ce"})
