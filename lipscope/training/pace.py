"""How many steps a training takes, and what changes from one to the next: fixed by epochs, or by the clock.

A training by the clock keeps its learning rate until the decay's share of the time is left, and then lowers it to 0
over a number of steps that is fixed at that moment, and again and again: a machine may become slower or faster.
What is fixed is part of the state, so that resuming it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lipscope.training.recipe import LOSSES, Recipe, schedule_at

WARMUP_STEPS = 200
"""Over which a training by the clock raises its learning rate: its length is not known yet."""


class Decay(NamedTuple):
    """How the learning rate of a training by the clock falls to 0."""

    first: int  # steps that were finished when this was fixed
    left: float  # of the learning rate at that moment, in (0, 1]
    last: int  # steps after which it is 0, and the training ends


def decay_from(recipe: Recipe, minutes: float, step: int, seconds: float) -> Decay | None:
    """Where in its decay a training of ``minutes`` is after ``seconds``; None before it.

    Args:
        recipe: of the training.
        minutes: that the whole training takes.
        step: finished.
        seconds: that they took.
    """
    left = 60 * minutes - seconds
    whole = 60 * minutes * recipe.decay
    return Decay(step, left / whole, step + max(1, round(left * step / seconds))) if left < whole else None


@dataclass
class Pace:
    """The steps of a training.

    Args:
        recipe: of the training.
        per_epoch: steps in one epoch.
        decay: of a training by the clock; None before the clock has begun it.
    """

    recipe: Recipe
    per_epoch: int
    decay: Decay | None = None

    def begin_decay(self, step: int) -> None:
        """After ``step`` finished steps: it takes its share of the time if those to come are as fast."""
        share = self.recipe.decay
        self.decay = Decay(step, 1.0, step + max(1, round(step * share / (1 - share))))

    def is_due(self, step: int) -> bool:
        """Whether to :meth:`set_decay` after ``step`` finished steps: a sixteenth of those that were left is done."""
        if self.decay is None or self.finished(step):
            return False
        return step >= self.decay.first + max(1, (self.decay.last - self.decay.first) // 16)

    def set_decay(self, step: int, seconds: float, per_second: float) -> None:
        """Fix anew when a decay that has begun ends.

        Args:
            step: finished.
            seconds: that they took.
            per_second: steps, from now on.
        """
        if self.decay is not None and self.recipe.minutes is not None:
            left = self._schedule(step)[1]
            self.decay = Decay(step, left, step + max(1, round((60 * self.recipe.minutes - seconds) * per_second)))

    def steps(self, step: int, seconds: float) -> int:
        """All steps: exactly, but for a training by the clock that does not decay yet; then what is expected.

        Args:
            step: finished.
            seconds: that they took.
        """
        if self.recipe.minutes is None:
            return self.per_epoch * self.recipe.epochs
        if self.decay is not None:
            return self.decay.last
        speed = step / seconds if step and seconds > 0 else 0.0
        return max(step + 2, round(60 * self.recipe.minutes * speed))

    def seconds_left(self, step: int, seconds: float, per_second: float) -> float:
        """Until the training ends: by the clock what is left of its minutes, else by the steps.

        Args:
            step: finished.
            seconds: that they took.
            per_second: steps at present.
        """
        if self.recipe.minutes is not None and not self.finished(step):
            return max(0.0, 60 * self.recipe.minutes - seconds)
        return (self.steps(step, seconds) - step) / per_second

    def finished(self, step: int) -> bool:
        """Whether no step is left."""
        if self.recipe.minutes is None:
            return step >= self.per_epoch * self.recipe.epochs
        return self.decay is not None and step >= self.decay.last

    def decay_due(self, step: int, seconds: float) -> bool:
        """Whether the decay of a training by the clock should begin now."""
        minutes = self.recipe.minutes
        if minutes is None or self.decay is not None or step == 0:
            return False
        return seconds >= 60 * minutes * (1 - self.recipe.decay)

    def learning_rate(self, step: int) -> float:
        """Of the step after ``step`` finished ones."""
        risen, left = self._schedule(step)
        return self.recipe.learning_rate * risen * left

    def temperature(self, step: int) -> float:
        """Of the loss in the step after ``step`` finished ones: it falls as the learning rate does."""
        return self._following(step, self.recipe.temperature, self.recipe.end_temperature)

    def gamma(self, step: int) -> float:
        """Weight of certificate regularisation in that step: it goes to its end as the learning rate falls."""
        return self._following(step, self.recipe.gamma, self.recipe.end_gamma)

    def padding(self, step: int) -> int:
        """Pixels that images are shifted by at most in that step: it goes to its end as the learning rate falls."""
        return round(self._following(step, self.recipe.padding, self.recipe.end_padding))

    def distortion(self, step: int) -> float:
        """Strength of the distortion in that step: it goes to its end as the learning rate falls."""
        return self._following(step, self.recipe.distortion, self.recipe.end_distortion)

    def _following(self, step: int, first: float, last: float | None) -> float:
        return first if last is None else last + (first - last) * self._schedule(step)[1]

    def offset(self, step: int) -> float:
        """Of the loss in the step after ``step`` finished ones: one that rises is whole from the middle on.

        In a training by the clock the middle is not known, and the offset 0, before the decay.
        """
        if not LOSSES[self.recipe.loss].rises:
            return self.recipe.offset
        steps = self._known(step)
        return self.recipe.offset * min(1.0, 2 * (step + 1) / steps) if steps else 0.0

    def _known(self, step: int) -> int | None:
        """How many steps there will be, as far as that is fixed after ``step`` of them."""
        if self.recipe.minutes is None:
            return self.per_epoch * self.recipe.epochs
        return None if self.decay is None or step < self.decay.first else self.decay.last

    def _schedule(self, step: int) -> tuple[float, float]:
        """How far the learning rate has risen, and how much of it is left."""
        if self.recipe.minutes is None:
            return schedule_at(self.recipe, (step + 1) / (self.per_epoch * self.recipe.epochs))
        risen = min(1.0, (step + 1) / WARMUP_STEPS)
        if self.decay is None or step < self.decay.first:
            return risen, 1.0
        first, left, last = self.decay
        return risen, left * (last - step) / (last - first)
