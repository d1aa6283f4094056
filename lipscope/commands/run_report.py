"""What ``lipscope inspect`` prints of a run folder: the training's facts, beside those of its model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lipscope.commands.names import Names, column_of
from lipscope.files.run_log import LayerState, RunLog, seconds_left, standing_of
from lipscope.records import RunEvent, json_safe, round_up
from lipscope.visible import duration, harmless

SCHEMA = "lipscope.run-report/1"

ESTIMATES = ("train_accuracy", "train_certified", "validation_accuracy", "validation_certified")

CLAIMED = "claimed by the log, not proved here"
"""What a bound in ``layers.jsonl`` is worth: anybody can write a line."""

NO_MODEL = "model    none yet: the first epoch of the training writes it"


def report_json(log: RunLog, inspected: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``inspect --json`` prints of a run folder.

    Args:
        log: of the folder.
        inspected: ``lipscope.inspect/1`` of its model; None before there is one.
    """
    return {"schema": SCHEMA, "run": run_json(log), "inspect": inspected}


def run_json(log: RunLog) -> dict[str, Any]:
    """The object under ``run`` in ``lipscope.run-report/1``."""
    best, standing = best_epoch(log), standing_of(log, time.time())
    return {
        "path": str(log.path),
        "standing": standing,
        "config": json_safe(log.config),
        "recipe": json_safe(log.recipe),
        "epochs_done": log.epochs[-1].epoch if log.epochs else 0,
        "epochs": log.planned,
        "seconds_left": seconds_left(log) if standing == "running" else None,
        "best_epoch": best.epoch if best is not None else None,
        "progress": json_safe(log.progress.to_json()) if log.progress is not None else None,
        "metrics": [json_safe(event.to_json()) for event in log.epochs],
        "labels": {**dict.fromkeys(ESTIMATES, "estimate that the log claims; certified at 36/255"), "bound": CLAIMED},
        "layers": [_claimed(record.to_json()) for record in log.layers],
        "damage": [str(damage) for damage in log.damage],
    }


def best_epoch(log: RunLog) -> RunEvent | None:
    """The epoch whose model was kept: the first of the best certified accuracy on held-out images, else the last."""
    held = [event for event in log.epochs if event.validation_certified is not None]
    if held:
        return max(held, key=lambda event: event.validation_certified or 0.0)
    return log.epochs[-1] if log.epochs else None


def run_lines(log: RunLog) -> list[str]:
    """The same for a person."""
    last, best, standing = log.epochs[-1] if log.epochs else None, best_epoch(log), standing_of(log, time.time())
    title = f"run      {harmless(log.path, 100)}: {standing.upper()}"
    left = seconds_left(log) if standing == "running" else None
    ahead = f", about {duration(left)} left" if left is not None else ""
    if last is None:
        lines = [f"{title}, no epoch of {log.planned or '?'} is done{ahead}"]
    else:
        lines = [
            f"{title}, epoch {last.epoch} of {last.epochs} done, step {last.step}, {duration(last.seconds)}, "
            f"{last.images_per_second:.0f} images/s{ahead}",
            f"last     {_epoch(last)}",
        ]
    if best is not None and best is not last:
        lines.append(f"best     {_epoch(best)}")
    lines.append(f"recipe   {harmless(', '.join(f'{key} {value}' for key, value in log.recipe.items()), 300)}")
    if log.layers:
        lines += ["", *_layers(log)]
    lines += [f"DAMAGED  {harmless(damage, 150)}; the other lines count" for damage in log.damage]
    return lines


def _epoch(event: RunEvent) -> str:
    held = ""
    if event.validation_accuracy is not None and event.validation_certified is not None:
        held = f"; held out: clean {event.validation_accuracy:.2%}, certified {event.validation_certified:.2%}"
    return (
        f"epoch {event.epoch}: loss {event.loss:.4f}; training images: clean {event.train_accuracy:.2%}, certified at "
        f"36/255 {event.train_certified:.2%}{held} (estimates, by the log)"
    )


def _layers(log: RunLog) -> list[str]:
    first, latest = log.layers[0], log.layers[-1]
    before = {layer.name: layer for layer in first.layers}
    names = column_of(layer.name for layer in latest.layers)
    return [
        *names.above,
        f"{'layer':{names.width}s} {f'logged bound, epoch {first.epoch}':>24s} {f'epoch {latest.epoch}':>14s}"
        f" {f'est. grad, epoch {first.epoch}':>22s} {f'epoch {latest.epoch}':>10s}",
        *(_layer(before.get(layer.name), layer, names) for layer in latest.layers),
        f"logged bound: {CLAIMED}. est. grad: mean of ||J^T g|| / ||g|| on {harmless(latest.images, 40)}.",
    ]


def _layer(before: LayerState | None, now: LayerState, names: Names) -> str:
    bounds = [_bound(layer) for layer in (before, now)]
    ratios = ["" if layer is None or layer.gradient is None else f"{layer.gradient:.6f}" for layer in (before, now)]
    return f"{names[now.name]} {bounds[0]:>24s} {bounds[1]:>14s} {ratios[0]:>22s} {ratios[1]:>10s}".rstrip()


def _bound(layer: LayerState | None) -> str:
    if layer is None:
        return ""
    return round_up(layer.bound) if layer.bound is not None else "not proved"


def _claimed(record: dict[str, Any]) -> dict[str, Any]:
    """A line of ``layers.jsonl``, none of whose bounds is called proved."""
    claim = {"proved": False, "label": CLAIMED}
    layers = [{**layer, "bound": {**layer["bound"], **claim}} for layer in record["layers"]]
    return {**record, "layers": layers}
