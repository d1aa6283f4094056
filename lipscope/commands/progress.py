"""Progress bars on stderr, drawn by rich; without a terminal, one line per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from lipscope.commands.messages import narrate
from lipscope.visible import counted, duration, visible

if TYPE_CHECKING:
    from lipscope.records import RunEvent, StepEvent

WORTH_SAYING = 30.0
"""Seconds that are left."""


@contextmanager
def images_bar(doing: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar over ``total`` images, lines without a terminal; yields the function that moves it to (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    if not sys.stderr.isatty():
        yield ImagesLines(doing)
        return
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class ImagesLines:
    """Says without a terminal how long it will take, by the steps that it took so far, and again at every quarter.

    Args:
        doing: what is done.
        clock: tells seconds.
    """

    def __init__(self, doing: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._doing, self._clock = doing, clock
        self._first: tuple[int, float] | None = None
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """So many images are done; the first step, which also proves the bounds, is not measured."""
        now = self._clock()
        if self._first is None:
            self._first = done, now
            return
        before, started = self._first
        left = (total - done) * (now - started) / max(done - before, 1)
        if done >= self._next and left >= WORTH_SAYING:
            self._next = done + total / 4
            narrate(f"{self._doing}: {done:,} of {counted(total, 'image')}, about {duration(left)} left")


class TrainingBar:
    """Shows a training: epoch, loss, clean and certified accuracy, images/s, time left.

    Args:
        enabled: false in every process but the first.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._announced = False
        self._left: float | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not (enabled and sys.stderr.isatty()),
        )
        self._task = self._progress.add_task("starting", total=None, figures="")

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A terminal that was closed ends the bar, not the training.
        with suppress(OSError):
            self._progress.stop()

    def step(self, event: StepEvent) -> None:
        """Move the bar."""
        if not self._enabled:
            return
        self._left = event.seconds_left
        if not self._announced and event.step >= 5:
            self._announced = True
            self._say(f"this will take about {duration(event.seconds_left)} at {event.images_per_second:.0f} images/s")
        self._progress.update(
            self._task,
            description=f"epoch {event.epoch}/{event.epochs}",
            total=event.steps,
            completed=event.step,
            figures=(
                f"loss {event.loss:.3f}  clean {event.accuracy:.1%}  certified@36/255 {event.certified:.1%}  "
                f"{event.images_per_second:.0f} images/s  {duration(event.seconds_left)} left"
            ),
        )

    def epoch(self, event: RunEvent) -> None:
        """One line per epoch."""
        if not self._enabled:
            return
        held = ""
        if event.validation_accuracy is not None and event.validation_certified is not None:
            held = (
                f"; clean {event.validation_accuracy:.1%}, certified {event.validation_certified:.1%} of held-out ones"
            )
        left = ""
        if self._left is not None and event.epoch < event.epochs:
            left = f", about {duration(self._left)} left"
        self._say(
            f"epoch {event.epoch}/{event.epochs}: loss {event.loss:.3f}; estimates: clean {event.train_accuracy:.1%}, "
            f"certified@36/255 {event.train_certified:.1%} of training images{held}; "
            f"{event.images_per_second:.0f} images/s, {duration(event.seconds)}{left}"
        )

    def _say(self, text: str) -> None:
        if self._progress.disable:
            narrate(text)
        else:
            self._progress.console.print(f"lipscope: {visible(text)}", highlight=False, markup=False, soft_wrap=True)
