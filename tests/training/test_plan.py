"""What is trained where options leave it open."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lipscope.errors import UsageError
from lipscope.processes.world import World
from lipscope.training.budget import DEFAULT_MINUTES
from lipscope.training.plan import Asked, planned
from lipscope.training.recipe import RECIPES

CPU, GPU = World(0, 1, torch.device("cpu")), World(0, 1, torch.device("cuda"))


def plan(given: dict[str, Any], here: World = CPU) -> tuple[Any, Any, list[str]]:
    said: list[str] = []
    config, recipe = planned(Asked("synthetic", given), here, said.append)
    return config, recipe, said


def test_bare_on_a_cpu_the_net_is_chosen_by_the_clock() -> None:
    config, recipe, said = plan({})
    assert config.architecture == "shiftnet"
    assert (recipe.name, recipe.minutes, said) == ("manifold", DEFAULT_MINUTES, [])


def test_bare_on_a_gpu_it_is_the_papers_lipconvnet() -> None:
    config, recipe, said = plan({}, GPU)
    assert (config.architecture, config.channels, recipe.name, recipe.minutes) == ("lipconvnet", 32, "paper", None)
    assert "because this is a GPU" in said[0]


@pytest.mark.parametrize(
    "given", [{"epochs": 3}, {"recipe": "fast"}, {"channels": 4}, {"conv": "bcop"}, {"gamma": 0.1}]
)
def test_whoever_names_a_net_or_a_recipe_is_not_put_on_the_clock(given: dict[str, Any]) -> None:
    config, recipe, _ = plan(given)
    assert (config.architecture, recipe.minutes) == ("lipconvnet", None)
    for name, value in given.items():
        assert getattr(config if hasattr(config, name) else recipe, name, recipe.name) == value


@pytest.mark.parametrize(
    "given",
    [{"seed": 3}, {"holdout": 0}, {"float32": True}, {"accumulate": 2}, {"recompute": True}, {"minutes": 2.0},
     {"padding": 3}, {"end_padding": 2}, {"padding_mode": "constant"}, {"distortion": 1.0}, {"end_distortion": 0.5}],
)  # fmt: skip
def test_what_says_nothing_of_the_net_leaves_it_to_the_clock(given: dict[str, Any]) -> None:
    config, recipe, _ = plan(given)
    assert {name: getattr(recipe, name) for name in given if name != "float32"}.items() <= given.items()
    assert (config.architecture, recipe.minutes) == ("shiftnet", given.get("minutes", DEFAULT_MINUTES))
    assert recipe.bfloat16 is (not given.get("float32", False))


def test_shifts_that_are_named_stay_unless_their_end_is_named_too() -> None:
    assert [plan({"padding": 3, **end})[1].end_padding for end in ({}, {"end_padding": 2})] == [None, 2]
    assert plan({"end_padding": 2})[1].padding == RECIPES["manifold"]().padding


def test_a_recipe_that_is_named_is_kept_whatever_the_minutes() -> None:
    assert [plan({"minutes": 2.0, "recipe": name})[1].name for name in RECIPES] == list(RECIPES)
    assert plan({"minutes": 2.0, "recipe": "manifold"})[0].architecture == "shiftnet"


@pytest.mark.parametrize(("option", "value"), [("gamma", 0.1), ("end_gamma", 0.1), ("loss", "emma")])
def test_what_needs_radii_is_refused_for_a_net_that_expands(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}.* is for a net that is 1-Lipschitz"):
        plan({"model": "resnet18", option: value})


def test_a_loss_comes_with_its_settings_and_options_change_them() -> None:
    _, recipe, _ = plan({"loss": "logit-annealing", "temperature": 0.5})
    assert (recipe.loss, recipe.offset, recipe.temperature) == ("logit-annealing", 2.0, 0.5)


@pytest.mark.parametrize(
    ("given", "temperatures"),
    [({}, (2.0, 1.0)), ({"temperature": 3.0}, (3.0, None)), ({"end_temperature": 1.5}, (2.0, 1.5)),
     ({"temperature": 3.0, "end_temperature": 0.5}, (3.0, 0.5)), ({"loss": "logit-annealing"}, (0.75, None))],
)  # fmt: skip
def test_a_temperature_that_is_given_stays_and_the_recipes_falls(given: dict[str, Any], temperatures: Any) -> None:
    _, recipe, _ = plan({"minutes": 2.0, "recipe": "manifold", **given})
    assert (recipe.temperature, recipe.end_temperature) == temperatures


def test_an_architecture_has_its_recipe_and_only_soc_has_weight_decay() -> None:
    assert plan({"model": "shiftnet"})[1].name == "manifold"
    assert plan({"recipe": "paper", "conv": "soc"})[1].weight_decay > 0
    assert plan({"recipe": "paper", "conv": "cayley"})[1].weight_decay == 0


def test_a_net_that_expands_has_no_certificates_to_regularise() -> None:
    config, recipe, _ = plan({"model": "resnet34", "channels": 4})
    assert (config.depth, config.channels, recipe.gamma) == (34, 4, 0.0)
