"""What a training tells of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class RunEvent:
    """One line of a run's ``metrics.jsonl``: the state of a training after an epoch.

    Args:
        epoch: epochs finished, from 1.
        epochs: epochs planned.
        step: optimiser steps finished.
        loss, train_accuracy, train_certified: means over the epoch's training batches, in training mode.
        validation_accuracy, validation_certified: on the held-out images, evaluation mode; None without them.
        learning_rate: at the end of the epoch.
        images_per_second: training throughput of the epoch.
        seconds: wall time since the start of the run, over all resumptions.
    """

    epoch: int
    epochs: int
    step: int
    loss: float
    train_accuracy: float
    train_certified: float
    validation_accuracy: float | None
    validation_certified: float | None
    learning_rate: float
    images_per_second: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The line of ``metrics.jsonl``."""
        return {"schema": "lipscope.run/1", **asdict(self)}


@dataclass(frozen=True)
class StepEvent:
    """The state of a training between two epochs, for the progress bar.

    Args:
        epoch, epochs: the current epoch, from 1, and how many there are.
        step, steps: optimiser steps finished and steps in all.
        loss, accuracy, certified: running means over the epoch so far, in training mode; certified at 36/255.
        images_per_second: over the last steps.
        seconds_left: at that speed, or by the clock of a training that has one.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    certified: float
    images_per_second: float
    seconds_left: float
