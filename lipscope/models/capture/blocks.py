"""From steps to a description: a chain where values pass one by one, blocks where several are alive at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipscope.layers.block import INPUT
from lipscope.models.capture.steps import JOINTS, Step


@dataclass(frozen=True)
class Described:
    """Layers as a description lists them, with their numbers.

    Args:
        layers: JSON objects.
        tensors: by the name that the file gives them, float32.
    """

    layers: list[dict[str, Any]]
    tensors: dict[str, Tensor]


def described(steps: Sequence[Step], source: str, below: str = "") -> Described:
    """The entries of a description and their tensors.

    Args:
        steps: in forward order; the last is the result.
        source: the name of the input.
        below: a module whose name is left out of those of its parts.

    Raises:
        UsageError: numbers that overflow float32.
    """
    names = _names(steps, below)
    tensors: dict[str, Tensor] = {}
    layers: list[dict[str, Any]] = []
    taken: set[str] = set()
    before = source
    for segment in _segments(steps, source):
        if len(segment) == 1 and segment[0].kind not in JOINTS:
            layers.append(_entry(segment[0], names, tensors))
        else:
            inner = [_entry(_within(step, segment), names, tensors, before) for step in segment]
            name = _unique(
                f"{_common([step.op.path.removeprefix(below) for step in segment])}.block".lstrip("."),
                taken | set(names.values()),
            )
            taken.add(name)
            layers.append({"kind": "block", "name": name, "layers": inner})
        before = segment[-1].name
    return Described(layers, tensors)


def _segments(steps: Sequence[Step], source: str) -> Iterator[list[Step]]:
    """Cut after each step whose result is all that the following steps need of the ones before."""
    last_use = {name: place for place, step in enumerate(steps) for name in step.of}
    segment: list[Step] = []
    alive = {source}
    for place, step in enumerate(steps):
        segment.append(step)
        alive.add(step.name)
        alive = {name for name in alive if last_use.get(name, -1) > place or name == steps[-1].name}
        if alive == {step.name}:
            yield segment
            segment = []


def _within(step: Step, segment: Sequence[Step]) -> Step:
    """A slice of consecutive channels inside a block is a part, whose constants stay apart."""
    if step.kind != "slice" or step.keys["axis"] != 0 or step.keys.get("step") or len(segment) == 1:
        return step
    keys = {key: step.keys[key] for key in ("start", "stop")}
    return Step(step.name, step.of, "part", step.shape, step.op, keys)


def _entry(
    step: Step, names: dict[str, str], tensors: dict[str, Tensor], block_input: str | None = None
) -> dict[str, Any]:
    name = names[step.name]
    entry: dict[str, Any] = {"kind": step.kind, "name": name}
    if block_input is not None:
        of = [INPUT if value == block_input else names[value] for value in step.of]
        entry["of"] = of[0] if len(of) == 1 else of
    entry |= {key: list(value) if isinstance(value, tuple) else value for key, value in step.keys.items()}
    if step.kind == "reshape":
        entry["shape"] = list(step.shape)
    for key, value in step.tensors.items():
        stored = value.to(torch.float32)
        if not bool(torch.isfinite(stored).all()):
            raise step.op.refuse("its numbers are not finite in float32")
        tensors[f"{name}.{key}"] = stored.contiguous().clone()
    return entry


def _names(steps: Sequence[Step], below: str) -> dict[str, str]:
    """Names for people: the author's module, with the kind where that has several layers."""
    paths = [step.op.path.removeprefix(below) for step in steps]
    found: dict[str, str] = {}
    taken: set[str] = {INPUT}
    for step, path in zip(steps, paths, strict=True):
        alone = path and paths.count(path) == 1
        wanted = path if alone else f"{path}.{step.kind}".lstrip(".")
        found[step.name] = _unique(wanted, taken)
        taken.add(found[step.name])
    return found


def _unique(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    return name


def _common(paths: Sequence[str]) -> str:
    """The innermost module that all steps belong to."""
    split = [path.split(".") for path in paths]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)
