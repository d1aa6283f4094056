"""What is trained where options leave it open: the net, the recipe, and where the run goes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lipscope.data
from lipscope.data import ImageSet
from lipscope.data.extra import open_extra
from lipscope.errors import UsageError
from lipscope.models.architecture import Config
from lipscope.models.registry import asked_for, kind_of
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.models.stored import StoredModel
from lipscope.processes.world import World
from lipscope.training.budget import (
    DEFAULT_MINUTES,
    EPS,
    SETTINGS,
    Setting,
    choose,
    for_data,
    images_per_second,
    minutes_for,
    parse_target,
)
from lipscope.training.distillation import open_teacher
from lipscope.training.recipe import ENDS, RECIPES, Recipe, for_convolutions, with_loss
from lipscope.training.run import RunFolder, check_suited, create_run, extend_run, open_run
from lipscope.units import format_eps

RUNS = Path("runs")

EXTRA_SHARE = 0.75
"""Three generated images to one of the data set's own, as Hu et al. (NeurIPS 2023) mix them."""

NET = ("model", "stages", "stem", "blocks", "channels", "conv", "activation", "head")
RECIPE = (
    "recipe", "epochs", "minutes", "batch_size", "accumulate", "recompute", "learning_rate", "loss", "gamma",
    "end_gamma", "offset", "temperature", "end_temperature", "padding", "end_padding",
    "padding_mode", "distortion", "end_distortion", "teacher_temperature", "holdout", "float32", "seed",
)  # fmt: skip
LEFT_TO_THE_CLOCK = frozenset({
    "accumulate", "recompute", "padding", "end_padding", "padding_mode", "distortion", "end_distortion",
    "teacher_temperature", "holdout", "float32", "seed",
})  # fmt: skip
"""Options of the recipe that say nothing of the net or of how long it is trained."""

Note = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a user asks to be trained.

    Args:
        dataset: the name of a data set.
        given: options of the net (:data:`NET`) and of the recipe (:data:`RECIPE`); what is missing was left open.
        out: the run folder; None for ``runs/NAME-DATE``.
        force: replace what lies there.
        data_dir: searched first.
        extra: a file of more images to learn from.
        extra_share: of every batch, taken from it.
        teacher: a file with a network whose probabilities are learnt.
    """

    dataset: str = "cifar10"
    given: Mapping[str, Any] = field(default_factory=dict)
    out: Path | None = None
    force: bool = False
    data_dir: Path | None = None
    extra: Path | None = None
    extra_share: float | None = None
    teacher: Path | None = None

    def net(self) -> dict[str, Any]:
        """The options of the net but its name."""
        return {name: self.given[name] for name in NET[1:] if name in self.given}

    def by_the_clock(self, gpu: bool) -> bool:
        """Whether the net is chosen for the time there is: where that is asked for, or on a CPU where nothing is."""
        if any(name in self.given for name in NET) or self.given.get("recipe") not in (None, ShiftNetConfig.RECIPE):
            return False
        timed = any(name in self.given for name in ("minutes", "target"))
        rest = set(RECIPE) - LEFT_TO_THE_CLOCK
        return timed or not (gpu or any(name in self.given for name in rest))


def planned(asked: Asked, here: World, note: Note) -> tuple[Config, Recipe]:
    """The net and the recipe, before any data set is read: classes and a net for the clock come with that.

    Raises:
        UsageError: what cannot be built or trained.
    """
    gpu, given = here.device.type != "cpu", dict(asked.given)
    if asked.by_the_clock(gpu):
        config: Config = ShiftNetConfig(dataset=asked.dataset)
        given.setdefault("minutes", DEFAULT_MINUTES)
    else:
        config = _config(asked, gpu)
    name = given.pop("recipe", None) or config.RECIPE
    if name is None:
        name = "paper" if gpu else "fast"
        note(f"recipe {name}, because this is a {'GPU' if gpu else 'CPU'} (choose with --recipe)")
    recipe = recipe_for(config, name)
    if given.pop("float32", False):
        recipe = replace(recipe, bfloat16=False)
    if "loss" in given:
        recipe = with_loss(recipe, given.pop("loss"))
    ends: dict[str, Any] = {end: None for first, end in ENDS.items() if first in given}
    recipe = replace(recipe, **ends)
    recipe = replace(recipe, **{key: given[key] for key in RECIPE if key in given})
    check_suited(config, recipe)
    return config, recipe


def recipe_for(config: Config, name: str) -> Recipe:
    """The recipe of that name as it suits a net.

    Raises:
        UsageError: no recipe of that name.
    """
    recipe = for_convolutions(RECIPES[name](), getattr(config, "conv", "orthogonal"))
    # Radii of an expanding net are next to nothing: there is no certificate to regularise.
    return recipe if config.ONE_LIPSCHITZ else replace(recipe, gamma=0.0)


def _config(asked: Asked, gpu: bool) -> Config:
    model, given = asked.given.get("model") or "lipconvnet", asked.net()
    if "channels" in kind_of(model).OPTIONS:
        given.setdefault("channels", 32 if gpu else 16)
    return asked_for(model, given, asked.dataset)


def sources(
    dataset: str, data_dir: Path | None, extra: Path | None, teacher: Path | None
) -> tuple[ImageSet, StoredModel | None]:
    """The training images of a data set with those of a file to mix with them, and the teacher.

    Raises:
        DataError: no such data set here, or no such images in the file.
        CheckpointError, UsageError: as of :func:`lipscope.training.distillation.open_teacher`.
    """
    data = lipscope.data.load(dataset, "train", data_dir)
    if extra is not None:
        data = replace(data, extra=open_extra(extra, data.images.shape[1:], len(data.classes)))
    return data, None if teacher is None else open_teacher(teacher, data)


def new_run(asked: Asked, here: World, note: Note) -> tuple[RunFolder, ImageSet, StoredModel | None]:
    """The folder of a new run, its training images and its teacher.

    Raises:
        UsageError: what cannot be built or trained, or a folder with another run.
        DataError: no such data set here.
    """
    config, recipe = planned(asked, here, note)
    data, teacher = sources(asked.dataset, asked.data_dir, asked.extra, asked.teacher)
    if teacher is not None:
        recipe = replace(recipe, teacher=teacher.sha256)
    elif "teacher_temperature" in asked.given:
        raise UsageError("--teacher-temperature needs --teacher", next_step="say which file the teacher is in")
    if data.extra is not None:
        share = EXTRA_SHARE if asked.extra_share is None else asked.extra_share
        recipe = replace(recipe, extra=data.extra.sha256, extra_share=share)
    elif asked.extra_share is not None:
        raise UsageError("--extra-share needs --extra", next_step="say which file the images are in")
    if asked.by_the_clock(here.device.type != "cpu"):
        config = _for_the_clock(asked.dataset, len(data.classes), recipe, here, note)
    config = replace(config, classes=len(data.classes))
    folder = asked.out or RUNS / _name(config, recipe)
    if here.rank == 0:
        return create_run(folder, config, recipe, force=asked.force), data, teacher
    return RunFolder(folder, config, recipe), data, teacher


def longer_run(earlier: Path, asked: Asked, here: World) -> tuple[RunFolder, ImageSet, StoredModel | None]:
    """The folder of a training that goes on where an earlier one ended, its training images and its teacher.

    Raises:
        UsageError: it is not said how long.
    """
    before = open_run(earlier)
    data, teacher = sources(before.config.dataset, asked.data_dir, asked.extra, asked.teacher)
    minutes = asked.given.get("minutes")
    if minutes is None:
        raise UsageError("--extend needs --minutes", next_step="say how long the whole training is to take")
    folder = asked.out or RUNS / _name(before.config, before.recipe)
    if here.rank == 0:
        return extend_run(before, folder, minutes), data, teacher
    return RunFolder(folder, before.config, replace(before.recipe, minutes=minutes)), data, teacher


def minutes_to(target: str, asked: Asked, here: World) -> int:
    """The minutes in which this machine trains a net to a target such as ``0.5@36/255``.

    Raises:
        UsageError: a target that cannot be read, that no measured setting reaches, or of an unmeasured data set;
            options that what was measured did not have.
    """
    other = [name for name in (*NET, *RECIPE) if name in asked.given]
    other += [name for name in ("extra", "teacher") if getattr(asked, name) is not None]
    if other:
        raise UsageError(
            "--target tells of the nets and the recipe that were measured", why=f"not of another {other[0]}",
            next_step="give it without options of the net and the training",
        )  # fmt: skip
    share = parse_target(target)
    _, recipe = planned(asked, here, lambda text: None)
    classes = len(lipscope.data.load(asked.dataset, "train", asked.data_dir).classes)
    settings, measured = _settings(asked.dataset, classes)
    if not measured:
        raise UsageError(
            "nothing was measured on this data set", where=f"--dataset {asked.dataset}", next_step="give --minutes"
        )
    return max(1, round(minutes_for(settings, share, _speed(recipe, here))))


def _for_the_clock(dataset: str, classes: int, recipe: Recipe, here: World, note: Note) -> ShiftNetConfig:
    """The net for the recipe's minutes on this machine; what it is, and what to expect, is said."""
    assert recipe.minutes is not None
    settings, measured = _settings(dataset, classes)
    choice = choose(settings, recipe.minutes, _speed(recipe, here))
    note(f"chosen for {choice.minutes:g} minutes at {choice.images_per_second:.0f} images/s: {choice.config.title}")
    if measured:
        clean, certified = choice.expected
        note(
            f"expected, as measured after as many images: {choice.about} {clean:.0%} of test images correct, "
            f"{certified:.0%} certified at {format_eps(EPS)}"
        )
    else:
        note(f"nothing was measured on {dataset}: the nets are those of CIFAR-10")
    return choice.config


def _settings(dataset: str, classes: int) -> tuple[tuple[Setting, ...], bool]:
    """The settings to choose from, and whether they were measured on this data set."""
    measured = dataset in SETTINGS
    return for_data(SETTINGS[dataset if measured else "cifar10"], dataset, classes), measured


def _speed(recipe: Recipe, here: World) -> Callable[[ShiftNetConfig], float]:
    return functools.cache(lambda config: images_per_second(config, recipe, here))


def _name(config: Config, recipe: Recipe) -> str:
    """``cifar10-soc16-maxmin-fast-20260101-120000``."""
    made_of = [f"{config.conv}{config.channels}"] if hasattr(config, "conv") and hasattr(config, "channels") else []
    kind = getattr(config, "activation", config.architecture)
    return "-".join([config.dataset, *made_of, kind, recipe.name, time.strftime("%Y%m%d-%H%M%S")])
