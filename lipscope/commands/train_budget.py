"""``lipscope train --minutes`` and ``--target``: what to train, and what to expect of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from lipscope.models.shiftnet import ShiftNetConfig
    from lipscope.training.budget import Setting
    from lipscope.training.distribution import World
    from lipscope.training.recipe import Recipe

NET = ("model", "stages", "stem", "blocks", "channels", "conv", "activation", "head")
TRAINING = ("recipe", "epochs", "batch_size", "learning_rate", "loss", "gamma", "offset", "temperature")


def by_the_clock(context: click.Context, gpu: bool) -> bool:
    """Whether the net is to be chosen for the time there is: where it is asked for, or on a CPU where nothing is."""

    def given(*names: str) -> bool:
        return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)

    if given(*NET):
        return False
    return given("minutes", "target") or not (gpu or given(*TRAINING))


def chosen(dataset: str, classes: int, recipe: Recipe, here: World) -> ShiftNetConfig:
    """The net for the recipe's minutes on this machine; what it is, and what to expect, is said."""
    from lipscope.commands.messages import narrate
    from lipscope.training.budget import EPS, choose
    from lipscope.units import format_eps

    assert recipe.minutes is not None
    settings, measured = _settings(dataset, classes)
    choice = choose(settings, recipe.minutes, _speed(recipe, here))
    if here.rank == 0:
        narrate(
            f"chosen for {choice.minutes:g} minutes at {choice.images_per_second:.0f} images/s: {choice.config.title}"
        )
        if measured:
            clean, certified = choice.expected
            narrate(
                f"expected, as measured after as many images: {choice.about} {clean:.0%} of test images correct, "
                f"{certified:.0%} certified at {format_eps(EPS)}"
            )
        else:
            narrate(f"nothing was measured on {dataset}: the nets are those of CIFAR-10")
    return choice.config


def say_what_it_takes(target: str, dataset: str, classes: int, recipe: Recipe, here: World) -> None:
    """Print the minutes in which this machine trains a net to the target.

    Raises:
        UsageError: a target that cannot be read, that no measured setting reaches, or of an unmeasured data set.
    """
    from lipscope.commands.messages import say
    from lipscope.errors import UsageError
    from lipscope.training.budget import minutes_for, parse_target

    share = parse_target(target)
    settings, measured = _settings(dataset, classes)
    if not measured:
        raise UsageError(
            "nothing was measured on this data set", where=f"--dataset {dataset}", next_step="give --minutes"
        )
    minutes = max(1, round(minutes_for(settings, share, _speed(recipe, here))))
    if here.rank == 0:
        say(f"{target}: about {minutes} minutes here, `lipscope train --dataset {dataset} --minutes {minutes}`")


def _settings(dataset: str, classes: int) -> tuple[tuple[Setting, ...], bool]:
    """The settings to choose from, and whether they were measured on this data set."""
    from lipscope.training.budget import SETTINGS, for_data

    measured = dataset in SETTINGS
    return for_data(SETTINGS[dataset if measured else "cifar10"], dataset, classes), measured


def _speed(recipe: Recipe, here: World) -> Callable[[ShiftNetConfig], float]:
    from lipscope.training.budget import images_per_second

    return functools.cache(lambda config: images_per_second(config, recipe, here))
