"""What to train in a given time: the settings that were best so far, and what this machine makes of them.

The table is of trainings that were measured (docs/results.md): a net, the images that passed through its training, and
what it came to on all test images. How long so many images take is measured where the training runs, so that nothing
depends on the machine of the table. ``benchmarks/by_the_minute.py`` makes it again.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from lipscope.errors import UsageError
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.processes.world import World
from lipscope.training.recipe import Recipe
from lipscope.training.step import make_optimizer, take_step
from lipscope.units import DEFAULT_EPS, exact_number, format_eps, parse_eps

DEFAULT_MINUTES = 30.0
"""Of a training on a CPU for which nothing is asked."""

MEASURED_SECONDS = 2.0
"""Of steps, for the speed of one net."""

EPS = DEFAULT_EPS[0]
"""The radius that settings are compared at."""

SMALL = ShiftNetConfig(widths=(64, 128, 256), blocks=(3, 3, 3))
MIDDLE = ShiftNetConfig(widths=(96, 192, 384), blocks=(3, 3, 3))
WIDE = ShiftNetConfig(widths=(128, 256, 512), blocks=(3, 3, 3))


@dataclass(frozen=True)
class Setting:
    """A net that was trained, and what it came to.

    Args:
        config: of the net; its classes and data set are those of the training.
        images: that passed through the training, repetitions counted.
        clean, certified: shares of all test images, the latter at ``EPS``, sound.
    """

    config: ShiftNetConfig
    images: int
    clean: float
    certified: float


@dataclass(frozen=True)
class Choice:
    """What to train in some minutes.

    Args:
        config: the net.
        minutes: to train it for.
        images_per_second: measured here.
        expected: what was measured after as many images: (clean, certified), interpolated.
        measured: the minutes that the shortest and the longest of the measured trainings take here.
    """

    config: ShiftNetConfig
    minutes: float
    images_per_second: float
    expected: tuple[float, float]
    measured: tuple[float, float]

    @property
    def about(self) -> str:
        """``under`` or ``over`` where the minutes lie outside what was measured, so that ``expected`` is its end."""
        shortest, longest = self.measured
        return "under" if self.minutes < shortest / 1.1 else "over" if self.minutes > longest * 1.1 else "about"


def choose(settings: Sequence[Setting], minutes: float, speed: Callable[[ShiftNetConfig], float]) -> Choice:
    """The setting whose training takes about so long here.

    Args:
        settings: in the order of their work.
        minutes: of the training.
        speed: images a second of a net.
    """
    needed = [(setting.images / speed(setting.config) / 60, setting) for setting in settings]
    _, nearest = min(needed, key=lambda pair: abs(math.log(pair[0] / minutes)))
    expected = (
        _interpolated([(time, setting.clean) for time, setting in needed], minutes),
        _interpolated([(time, setting.certified) for time, setting in needed], minutes),
    )
    times = [time for time, _ in needed]
    return Choice(nearest.config, minutes, speed(nearest.config), expected, (min(times), max(times)))


def minutes_for(settings: Sequence[Setting], target: float, speed: Callable[[ShiftNetConfig], float]) -> float:
    """How long a training takes here that certifies this share of the test images.

    Raises:
        UsageError: no training of the table has reached it.
    """
    best = max(settings, key=lambda setting: setting.certified)
    if target > best.certified:
        raise UsageError(
            f"no setting is known to reach {target:.1%} at {format_eps(EPS)}",
            why=f"the best measured is {best.certified:.1%}, in some "
            f"{best.images / speed(best.config) / 60:.0f} minutes here",
            next_step="see docs/results.md",
        )
    rows = sorted((setting.certified, math.log(setting.images / speed(setting.config) / 60)) for setting in settings)
    return math.exp(_on_line(rows, target))


def parse_target(text: str) -> float:
    """The share of ``"0.5@36/255"``.

    Raises:
        UsageError: not written so, a share that cannot be, or another radius than the one that was measured.

    >>> parse_target("0.5@36/255")
    0.5
    """
    share, _, eps = text.partition("@")
    try:
        value = float(exact_number(share))
    except (ValueError, ArithmeticError):
        value = math.nan
    if not 0 < value < 1 or parse_eps(eps or format_eps(EPS)) != EPS:
        raise UsageError(
            f"--target {text[:40]} cannot be read", why=f"settings are measured at {format_eps(EPS)} alone",
            next_step="write it like 0.5@36/255",
        )  # fmt: skip
    return value


def images_per_second(config: ShiftNetConfig, recipe: Recipe, world: World) -> float:
    """The speed of training steps here, over all processes, by a few of them on random images."""
    torch.manual_seed(recipe.seed)
    net = config.build()
    net.make_trainable()
    net.to(world.device).train()
    optimizer = make_optimizer(net, recipe)
    mine = max(1, recipe.batch_size // world.size)
    side = config.image_size
    images = torch.randint(0, 256, (mine, len(config.mean), side, side), dtype=torch.uint8, device=world.device)
    labels = torch.randint(0, config.classes, (mine,), device=world.device)
    steps, started = -2, time.perf_counter()
    while True:
        # The result is looked at, so that the device has finished.
        take_step(net, optimizer, (images, labels), recipe, world).tolist()
        steps += 1
        if steps == 0:
            started = time.perf_counter()
        late = steps > 0 and time.perf_counter() - started > MEASURED_SECONDS
        if world.any(late)[0]:
            break
    rate = torch.tensor(steps * mine / (time.perf_counter() - started), dtype=torch.float64, device=world.device)
    return float(world.total(rate))


def for_data(settings: Sequence[Setting], dataset: str, classes: int) -> tuple[Setting, ...]:
    """The settings with nets for this data set."""
    return tuple(replace(row, config=replace(row.config, dataset=dataset, classes=classes)) for row in settings)


def _interpolated(rows: list[tuple[float, float]], minutes: float) -> float:
    """The value at so many minutes, on lines over their logarithm; beyond the rows that of the nearest."""
    return _on_line([(math.log(time), value) for time, value in sorted(rows)], math.log(minutes))


def _on_line(rows: list[tuple[float, float]], at: float) -> float:
    if at <= rows[0][0]:
        return rows[0][1]
    for (left, low), (right, high) in itertools.pairwise(rows):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left)
    return rows[-1][1]


# The small net for CIFAR-10 was trained with shifts of 2 pixels, the wide one with 3, where others fall from 4 to 1.
# The nets for CIFAR-100 are not kept; docs/results.md names them.
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "cifar10": (
        Setting(SMALL, 5_652 * 256, 0.7049, 0.5794),
        Setting(MIDDLE, 13_505 * 256, 0.7226, 0.5983),
        Setting(WIDE, 27_462 * 256, 0.7361, 0.6125),
    ),
    "cifar100": (
        Setting(MIDDLE, 5_485 * 256, 0.4062, 0.2861),  # with black borders around the crops: more is to be expected
        Setting(WIDE, 14_301 * 256, 0.4519, 0.3344),
    ),
}
"""By data set, in the order of their work."""
