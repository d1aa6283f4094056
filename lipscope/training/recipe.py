"""Recipes: everything that decides what a training computes, as named functions that return a dataclass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from lipscope.errors import UsageError
from lipscope.registry import Registry

if TYPE_CHECKING:
    from lipscope.training.losses import Loss

SCHEDULES = ("step", "one-cycle")
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "None": (type(None),),
}  # fmt: skip
"""What JSON has for the types of a recipe's fields."""

OPTIMIZERS = ("sgd", "manifold")

PADDING_MODES = ("constant", "reflect")
"""What stands around an image that is shifted, by torchvision's names: black, or its mirror image."""

LOSSES: Registry[Loss] = Registry(
    "loss",
    {
        "cross-entropy": "training.losses:CROSS_ENTROPY",
        "offset-cross-entropy": "training.losses:OFFSET_CROSS_ENTROPY",
        "multi-margin": "training.losses:MULTI_MARGIN",
        "logit-annealing": "training.losses:LOGIT_ANNEALING",
        "emma": "training.emma:EMMA",
    },
)
"""By the name that recipes and ``--loss`` use: a new one is a function with a :class:`Loss`, and a line here."""

TEACHER_TEMPERATURE = 2.0
"""By which a teacher's logits are divided where nothing else is said (docs/experiments.md)."""

LARGEST_DISTORTION = 4
"""At which images are turned by up to 80 degrees: nothing is to be learnt beyond."""

ENDS: Mapping[str, str] = {
    "temperature": "end_temperature", "gamma": "end_gamma", "padding": "end_padding", "distortion": "end_distortion",
}  # fmt: skip
"""Fields with those that they go to as the learning rate falls."""

UNSAID: Mapping[str, Any] = {"end_temperature": None, "padding": 4, "end_padding": None, "padding_mode": "constant"}
"""What was done where a stored recipe does not say it, being older than the choice."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        name: of the recipe.
        epochs: passes over the training images.
        batch_size: images a step, over all processes.
        learning_rate: the largest of the schedule.
        schedule: ``"step"`` divides by 10 at 1/2 and 3/4; ``"one-cycle"`` rises linearly over the first
            ``warmup`` share of the steps and falls linearly to 0.
        warmup: share of the steps, for one-cycle.
        momentum: of stochastic gradient descent.
        weight_decay: on every parameter but those of activations.
        gamma: weight of certificate regularisation; 0 for none.
        end_gamma: to which that weight goes as the temperature goes to ``end_temperature``; None keeps it.
        offset: taken from the true logit before the loss, in units of the logits of normalised pixels; 0 for none.
        holdout: training images kept apart to pick the epoch; 0 keeps none and reports the last epoch.
        bfloat16: whether activations are computed in bfloat16 (kernels stay in float32).
        seed: of the initial weights, the held-out images, the batches and the augmentation.
        loss: a name in :data:`LOSSES`.
        temperature: of the loss, in units of the logits.
        end_temperature: to which the temperature falls in proportion to the learning rate, once that falls; None keeps
            it.
        minutes: wall time by which the training ends, instead of ``epochs`` and ``schedule``: the learning rate stays
            until ``decay`` of the time is left, and then falls linearly to 0. None trains by epochs.
        decay: share of the time, for a training by the clock.
        optimizer: ``"sgd"``, or ``"manifold"`` for nets of orthogonal matrices: the learning rate is then an angle.
        accumulate: parts of a batch that pass one after another before the optimiser steps, for batches that do not
            fit into the memory at once.
        recompute: whether a step keeps only what enters each block, and computes the rest twice.
        padding: pixels that an image is shifted by at most, in each direction.
        end_padding: to which that goes as the learning rate falls; None keeps it.
        padding_mode: what comes in from the side, one of :data:`PADDING_MODES`.
        distortion: how much images are turned, scaled, sheared and recoloured beside that, in units of
            :data:`lipscope.training.distort.FULL`; 0 for not at all.
        end_distortion: to which that goes as the learning rate falls; None keeps it.
        extra: SHA-256 of the file of more images that are learnt from; empty for none.
        extra_share: of every batch, taken from them; an epoch is a pass over the data set's own images.
        teacher: SHA-256 of the file of a network whose probabilities are learnt instead of the labels; empty for none.
        teacher_temperature: by which its logits are divided before.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup: float
    momentum: float
    weight_decay: float
    gamma: float
    offset: float
    holdout: int
    bfloat16: bool
    seed: int = 0
    loss: str = "cross-entropy"
    temperature: float = 1.0
    end_temperature: float | None = None
    end_gamma: float | None = None
    optimizer: str = "sgd"
    accumulate: int = 1
    recompute: bool = False
    padding: int = 4
    end_padding: int | None = None
    padding_mode: str = "constant"
    distortion: float = 0.0
    end_distortion: float | None = None
    extra: str = ""
    extra_share: float = 0.0
    teacher: str = ""
    teacher_temperature: float = TEACHER_TEMPERATURE
    minutes: float | None = None
    decay: float = 0.8

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UsageError: naming the value.
        """
        if self.schedule not in SCHEDULES:
            raise UsageError(f"unknown schedule {self.schedule!r}", next_step=f"choose from {', '.join(SCHEDULES)}")
        if self.padding_mode not in PADDING_MODES:
            raise UsageError(
                f"unknown padding_mode {self.padding_mode!r}", next_step=f"choose from {', '.join(PADDING_MODES)}"
            )
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(f"unknown optimizer {self.optimizer!r}", next_step=f"choose from {', '.join(OPTIMIZERS)}")
        for name, number, low in (
            ("epochs", self.epochs, 1),
            ("batch_size", self.batch_size, 1),
            ("accumulate", self.accumulate, 1),
            ("gamma", self.gamma, 0),
            ("end_gamma", 0 if self.end_gamma is None else self.end_gamma, 0),
            ("offset", self.offset, 0),
            ("holdout", self.holdout, 0),
            ("padding", self.padding, 0),
            ("end_padding", 0 if self.end_padding is None else self.end_padding, 0),
            ("distortion", self.distortion, 0),
            ("end_distortion", 0 if self.end_distortion is None else self.end_distortion, 0),
            ("weight_decay", self.weight_decay, 0),
        ):
            if not number >= low:
                raise UsageError(f"{name} must be at least {low}", why=f"got {number}")
        if not max(self.distortion, self.end_distortion or 0) <= LARGEST_DISTORTION:
            raise UsageError(f"distortion must be at most {LARGEST_DISTORTION}", why=f"got {self.distortion}")
        LOSSES.known(self.loss)
        if self.teacher and not LOSSES[self.loss].softens:
            able = ", ".join(name for name in LOSSES if LOSSES[name].softens)
            raise UsageError(f"{self.loss} does not learn from a teacher", next_step=f"choose --loss from {able}")
        if self.teacher and self.extra:
            raise UsageError("extra images have no soft labels", next_step="leave out the teacher or the extra images")
        for name, kept in (
            ("temperature", self.temperature),
            ("end_temperature", self.end_temperature),
            ("teacher_temperature", self.teacher_temperature),
        ):
            if kept is not None and not kept > 0:
                raise UsageError(f"{name} must be positive", why=f"got {kept}")
        if not (0 < self.extra_share < 1 if self.extra else self.extra_share == 0):
            least = "over 0 and under 1" if self.extra else "0 without extra images"
            raise UsageError(f"extra_share must be {least}", why=f"got {self.extra_share}")
        if not 0 <= self.seed < 2**63:
            raise UsageError("seed must be at least 0 and under 2^63", why=f"got {self.seed}")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError("minutes must be positive", why=f"got {self.minutes}")
        if not 0 < self.decay < 1:
            raise UsageError("decay must be over 0 and under 1", why=f"got {self.decay}")
        if not 0 <= self.warmup < 1:
            raise UsageError("warmup must be at least 0 and under 1", why=f"got {self.warmup}")
        if not self.learning_rate > 0:
            raise UsageError("learning_rate must be positive", why=f"got {self.learning_rate}")

    def to_json(self) -> dict[str, Any]:
        """The object stored with the run and in ``lipscope.training``."""
        return asdict(self)

    @property
    def length(self) -> str:
        """``200 epochs`` or ``30 minutes``."""
        number, unit = (self.epochs, "epoch") if self.minutes is None else (self.minutes, "minute")
        return f"{number:g} {unit}{'' if number == 1 else 's'}"

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Recipe:
        """The recipe of a run folder.

        Raises:
            UsageError: a key that this version does not know, or a value of another type.
        """
        known = {field.name: str(field.type) for field in fields(Recipe)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(f"unknown recipe key {unknown[0][:80]!r}")
        for name, value in values.items():
            kinds = [TYPES[kind] for kind in known[name].split(" | ")]
            if not any(type(value) in kind for kind in kinds) or (type(value) is int and abs(value) >= 2**63):
                raise UsageError(f"recipe key {name} cannot be that", why=f"{str(value)[:40]} is no {known[name]}")
        return Recipe(**values)


def paper() -> Recipe:
    """The recipe of ICLR 2022 (section 6): 200 epochs, step schedule, CE + CR; hours on a GPU, days on a CPU."""
    return Recipe(
        name="paper",
        epochs=200,
        batch_size=128,
        learning_rate=0.1,
        schedule="step",
        warmup=0.0,
        momentum=0.9,
        weight_decay=5e-4,
        gamma=0.1,
        offset=0.0,
        holdout=5000,
        bfloat16=True,
    )


def fast() -> Recipe:
    """One cycle over a few epochs, for a CPU or a first look."""
    return replace(
        paper(),
        name="fast",
        epochs=8,
        batch_size=256,
        learning_rate=0.2,
        schedule="one-cycle",
        warmup=0.2,
        holdout=0,
        end_padding=1,
        padding_mode="reflect",
    )


def offset() -> Recipe:
    """One cycle with the offset cross-entropy (Prach et al., CVPR 2024), which gains from longer schedules.

    The offset is in units of the logits of normalised pixels: 1.2 asks for a margin of about 1.2 * 0.2507 / sqrt(2)
    = 0.21 in [0, 1] pixel space.
    """
    return replace(fast(), name="offset", epochs=24, gamma=0.0, offset=1.2)


def annealing() -> Recipe:
    """One cycle with logit annealing (Lai et al., ICML 2025), which also gains from longer schedules."""
    return replace(with_loss(fast(), "logit-annealing"), name="annealing", epochs=24, gamma=0.0)


def with_loss(recipe: Recipe, loss: str) -> Recipe:
    """The recipe with another loss, at the settings of the loss's paper, whose temperature stays.

    Raises:
        UsageError: no loss of that name.

    >>> with_loss(paper(), "logit-annealing").temperature
    0.75
    """
    settings = LOSSES[loss]
    return replace(
        recipe, loss=loss, offset=settings.offset, temperature=settings.temperature, end_temperature=None
    )  # fmt: skip


def manifold() -> Recipe:
    """One cycle of steps along the manifold of orthogonal matrices, with the offset cross-entropy, for a ShiftNet.

    Its temperature falls from twice the paper's to about that: wide margins first (docs/experiments.md).
    """
    return replace(
        with_loss(fast(), "offset-cross-entropy"),
        name="manifold",
        epochs=16,
        learning_rate=0.01,
        warmup=0.1,
        weight_decay=0.0,
        gamma=0.0,
        temperature=2.0,
        end_temperature=1.0,
        optimizer="manifold",
    )


RECIPES: Registry[Callable[[], Recipe]] = Registry(
    "recipe", {name: f"training.recipe:{name}" for name in ("paper", "fast", "offset", "annealing", "manifold")}
)
"""By the name that ``--recipe`` uses: a new one is a function above, and its name here."""


def for_convolutions(recipe: Recipe, conv: str) -> Recipe:
    """The recipe for nets of this family: only SOC is trained with weight decay (ICLR 2022, section 6).

    >>> for_convolutions(paper(), "soc").weight_decay, for_convolutions(paper(), "cayley").weight_decay
    (0.0005, 0.0)
    """
    return recipe if conv == "soc" else replace(recipe, weight_decay=0.0)


def schedule_at(recipe: Recipe, progress: float) -> tuple[float, float]:
    """How far the learning rate has risen and how much of it is left after this share of all steps, each in [0, 1].

    The learning rate is its largest value times both.

    >>> schedule_at(paper(), 0.5), schedule_at(manifold(), 0.05), schedule_at(manifold(), 1.0)
    ((1.0, 0.1), (0.5, 1.0), (1.0, 0.0))
    """
    if recipe.schedule == "step":
        return 1.0, 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
    if progress < recipe.warmup:
        return progress / recipe.warmup, 1.0
    return 1.0, (1 - progress) / (1 - recipe.warmup)
