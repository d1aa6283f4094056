"""What a run folder tells of a training, live or finished: read without torch, and without trusting its files.

``run.json`` says what is trained and how, ``metrics.jsonl`` has one line per epoch, ``layers.jsonl`` one line with
every layer at the end of an epoch, ``progress.json`` where the training is between two epochs. Another process may
be writing all of them: a last line without its end is not news yet, and a file may shrink when a run is resumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from lipscope.errors import CheckpointError
from lipscope.files.opening import open_regular
from lipscope.files.processes import Process, has_ended
from lipscope.records import RunEvent, StepEvent

SCHEMA = "lipscope.run/1"
LAYERS_SCHEMA = "lipscope.run-layers/1"
PROGRESS_SCHEMA = "lipscope.run-progress/1"

DESCRIPTION, METRICS, LAYERS, PROGRESS = "run.json", "metrics.jsonl", "layers.jsonl", "progress.json"

LARGEST = 2**26
"""Bytes of a file of a run that are read; a training of ten thousand epochs writes less into its metrics."""

LARGEST_NUMBER = 1e39
"""Of a finite number in a line: beyond float32, and still short enough to be printed."""

STALLED_AFTER = 120.0
"""Seconds without news, or as long as an epoch takes where that is longer."""

Status = Literal["running", "stopped", "finished", "failed"]
Standing = Literal["not started", "running", "stalled", "killed", "stopped", "finished", "failed"]


@dataclass(frozen=True)
class LayerState:
    """One layer at the end of an epoch.

    Args:
        name, kind: as in the model.
        bound: the proved upper bound on its Lipschitz constant; None where nothing is proved.
        method: of the bound, or why there is none.
        gradient: mean of ||J^T g|| / ||g|| over a few images, g the gradient of the margin: an estimate. None where
            it was not measured.
    """

    name: str
    kind: str
    bound: float | None
    method: str
    gradient: float | None

    def to_json(self) -> dict[str, Any]:
        """The layer as in ``layers.jsonl``; each number with the word for what it is."""
        bound = {"value": self.bound, "method": self.method, "proved": self.bound is not None}
        return {
            "name": self.name,
            "kind": self.kind,
            "bound": {**bound, "label": "proved upper bound" if self.bound is not None else "not proved"},
            "gradient_norm": None if self.gradient is None else {"mean": self.gradient, "label": "estimate"},
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> LayerState:
        """The layer of a line.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        gradient = values.get("gradient_norm")
        bound = values["bound"]["value"] if values["bound"]["proved"] is True else None
        return LayerState(
            _text(values["name"]),
            _text(values["kind"]),
            None if bound is None else _finite(bound),
            _text(values["bound"]["method"]),
            None if gradient is None else _finite(gradient["mean"]),
        )


@dataclass(frozen=True)
class RunLayers:
    """One line of a run's ``layers.jsonl``: the layers of the model at the end of an epoch.

    Args:
        epoch: epochs finished, from 1.
        step: optimiser steps finished.
        images: what the gradients were measured on.
        layers: in forward order.
    """

    epoch: int
    step: int
    images: str
    layers: tuple[LayerState, ...]

    def to_json(self) -> dict[str, Any]:
        """The line."""
        head = {"schema": LAYERS_SCHEMA, "epoch": self.epoch, "step": self.step, "images": self.images}
        return {**head, "layers": [layer.to_json() for layer in self.layers]}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> RunLayers:
        """The record of a line.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        if values["schema"] != LAYERS_SCHEMA:
            raise ValueError(f"not of schema {LAYERS_SCHEMA}")
        layers = tuple(LayerState.from_json(layer) for layer in values["layers"])
        return RunLayers(_count(values["epoch"]), _count(values["step"]), _text(values["images"]), layers)


@dataclass(frozen=True)
class Progress:
    """The content of ``progress.json``.

    Args:
        status: what the training was doing when it wrote this; a killed one leaves ``"running"`` behind.
        event: the last report; None before the first.
        process: that wrote this; None where an older version did.
    """

    status: Status
    event: StepEvent | None
    process: Process | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of the file."""
        report = None if self.event is None else asdict(self.event)
        by = None if self.process is None else self.process.to_json()
        return {"schema": PROGRESS_SCHEMA, "status": self.status, "report": report, "process": by}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Progress:
        """The progress of a file.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        if values["schema"] != PROGRESS_SCHEMA or values["status"] not in ("running", "stopped", "finished", "failed"):
            raise ValueError(f"not of schema {PROGRESS_SCHEMA}")
        report, by = values["report"], values.get("process")
        event = None if report is None else StepEvent(**_numbers(StepEvent, report))
        return Progress(values["status"], event, None if by is None else Process.from_json(by))


@dataclass(frozen=True)
class Damage:
    """Lines that cannot be read.

    Args:
        file: its name.
        line: the number of the first such line, from 1.
        count: how many there are.
        why: what is wrong with the first.
    """

    file: str
    line: int
    count: int
    why: str

    def __str__(self) -> str:
        """In words: where, how many, why."""
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.file} line {self.line}{more}: {self.why}"


@dataclass(frozen=True)
class RunLog:
    """Everything that a run folder tells.

    Args:
        path: the folder.
        config, recipe: as in ``run.json``, unchecked beyond being objects.
        epochs: the lines of ``metrics.jsonl``, one an epoch, in order.
        layers: the lines of ``layers.jsonl``, one an epoch, in order.
        progress: of the session that writes, or wrote last; None before the first report.
        damage: what could not be read.
        written: when the newest of these files was written, in seconds since 1970.
    """

    path: Path
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    epochs: tuple[RunEvent, ...] = ()
    layers: tuple[RunLayers, ...] = ()
    progress: Progress | None = None
    damage: tuple[Damage, ...] = field(default=())
    written: float = 0.0

    @property
    def planned(self) -> int | None:
        """How many epochs there will be; None where nothing says it."""
        planned = self.epochs[-1].epochs if self.epochs else self.recipe.get("epochs")
        return planned if type(planned) is int and planned > 0 else None

    @property
    def finished(self) -> bool:
        """Whether every epoch has been trained."""
        return bool(self.epochs) and self.epochs[-1].epoch >= self.epochs[-1].epochs


def is_run(path: Path) -> bool:
    """Whether this is a folder that a training has begun in."""
    return (path / DESCRIPTION).is_file()


def read_run(path: Path) -> RunLog:
    """Read a run folder as it is now.

    Raises:
        CheckpointError: there is no run, or ``run.json`` is damaged or of another version. Damage in the other files
            is told in the log itself: what is whole of them still counts.
    """
    description = _description(path)
    epochs, bad_metrics = _lines(path / METRICS, _run_event)
    layers, bad_layers = _lines(path / LAYERS, RunLayers.from_json)
    stamps = [_written(path / name) for name in (DESCRIPTION, METRICS, LAYERS, PROGRESS)]
    return RunLog(
        path=path,
        config=_object(description.get("config")),
        recipe=_object(description.get("recipe")),
        # A run resumed without its state begins again: the later line of an epoch is the one that counts.
        epochs=tuple(event for _, event in sorted({event.epoch: event for event in epochs}.items())),
        layers=tuple(record for _, record in sorted({record.epoch: record for record in layers}.items())),
        progress=_progress(path / PROGRESS),
        damage=tuple(damage for damage in (bad_metrics, bad_layers) if damage is not None),
        written=max(stamps),
    )


def standing_of(log: RunLog, now: float) -> Standing:
    """Where a training stands, from what it left behind."""
    if log.finished:
        return "finished"
    progress = log.progress
    if progress is not None and progress.status in ("stopped", "failed"):
        return "failed" if progress.status == "failed" else "stopped"
    if progress is None and not log.epochs:
        return "not started"
    if progress is not None and progress.process is not None and has_ended(progress.process):
        return "killed"
    return "stalled" if now - log.written > patience(log) else "running"


def patience(log: RunLog) -> float:
    """Seconds without news after which a training counts as stalled: an epoch's, and three without a progress file."""
    epoch = log.epochs[-1].seconds / max(log.epochs[-1].epoch, 1) if log.epochs else 0.0
    return max(STALLED_AFTER, epoch * (1 if log.progress is not None else 3))


def seconds_left(log: RunLog) -> float | None:
    """By the speed of the running epoch, else by the time that the finished ones took; None before any news."""
    event = log.progress.event if log.progress is not None else None
    done = log.epochs[-1] if log.epochs else None
    if event is not None and (done is None or event.step > done.step):
        return event.seconds_left if math.isfinite(event.seconds_left) else None
    if done is None or done.epoch < 1:
        return None
    left = done.seconds / done.epoch * max(done.epochs - done.epoch, 0)
    return left if math.isfinite(left) else None


def _description(path: Path) -> Mapping[str, Any]:
    file = path / DESCRIPTION
    try:
        content = json.loads(_bytes(file))
    except OSError as error:
        raise CheckpointError(
            "no run is here", where=str(path), why=f"{DESCRIPTION} cannot be read",
            next_step="name the folder that `lipscope train` made",
        ) from error  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise CheckpointError("damaged", where=str(file), why="not JSON") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise CheckpointError("a run of another version", where=str(file), why=f"expected schema {SCHEMA}")
    return content


Line = TypeVar("Line")


def _lines(path: Path, parse: Callable[[Mapping[str, Any]], Line]) -> tuple[list[Line], Damage | None]:
    """The whole lines of a file that can be read, and what is wrong with the others."""
    try:
        content = _bytes(path)
    except OSError:
        return [], None
    parsed: list[Line] = []
    bad: list[tuple[int, str]] = []
    *whole, _unfinished = content.split(b"\n")
    for number, line in enumerate(whole, 1):
        if not line.strip():
            continue
        try:
            parsed.append(parse(json.loads(line)))
        except json.JSONDecodeError:
            bad.append((number, "not JSON"))
        except KeyError as error:
            bad.append((number, f"without {str(error)[:40]}"))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            bad.append((number, str(error)[:80] or "not a line of a run"))
    return parsed, Damage(path.name, bad[0][0], len(bad), bad[0][1]) if bad else None


def _progress(path: Path) -> Progress | None:
    """None where there is none, or none that can be read: it is replaced twice a second while a training runs."""
    try:
        return Progress.from_json(json.loads(_bytes(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _bytes(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(LARGEST)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _run_event(values: Mapping[str, Any]) -> RunEvent:
    if values["schema"] != SCHEMA:
        raise ValueError(f"not of schema {SCHEMA}")
    return RunEvent(**_numbers(RunEvent, values))


def _numbers(kind: type[RunEvent] | type[StepEvent], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record, each a number of its type; further keys are of a later version, and left out."""
    return {each.name: _number(values[each.name], str(each.type), each.name) for each in fields(kind)}


def _number(value: Any, kind: str, name: str) -> float | None:
    if value is None and "None" in kind:
        return None
    if kind == "int":
        return _count(value, name)
    if type(value) not in (int, float):
        raise TypeError(f"{name} is not a number")
    # JSON's whole numbers have no end; a loss may be infinite.
    if LARGEST_NUMBER < abs(value) != math.inf:
        raise TypeError(f"{name} is too large")
    return float(value)


def _count(value: Any, name: str = "a count") -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise TypeError(f"{name} is not a whole number")
    return value


def _finite(value: Any) -> float:
    number = _number(value, "float", "a number")
    if number is None or not math.isfinite(number):
        raise TypeError("not a finite number")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
