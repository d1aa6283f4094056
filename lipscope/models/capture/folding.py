"""Steps made fewer: what does nothing is dropped, scales and shifts are joined, padding goes into its convolution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lipscope.models.capture.steps import Step
from lipscope.records import Shape


def folded(steps: Sequence[Step], source: str, output: str) -> tuple[list[Step], str]:
    """The same network in fewer steps, and the name of its result.

    Args:
        steps: in forward order.
        source: the name of the input.
        output: the name of the result.
    """
    found, output = _without_nothing(steps, output)
    found = _joined(found)
    found = _reshaped(_padded(found))
    found = _scaled_outputs(found, output)
    found, output = _without_nothing(found, output)
    return _normalized(found, source), output


def _uses(steps: Sequence[Step]) -> Counter[str]:
    return Counter(name for step in steps for name in step.of)


def _without_nothing(steps: Sequence[Step], output: str) -> tuple[list[Step], str]:
    """Without identities, and without products with 1."""
    names: dict[str, str] = {}
    kept = []
    for step in steps:
        of = tuple(names.get(name, name) for name in step.of)
        if _is_nothing(step):
            names[step.name] = of[0]
        else:
            kept.append(replace(step, of=of))
    return kept, names.get(output, output)


def _is_nothing(step: Step) -> bool:
    if step.kind != "scale_shift":
        return step.kind == "identity" or (step.kind == "permute" and step.keys["order"] == sorted(step.keys["order"]))
    scale, shift = step.tensors.get("scale"), step.tensors.get("shift")
    return (scale is None or bool((scale == 1).all())) and (shift is None or bool((shift == 0).all()))


def _only(steps: Sequence[Step], kind: str, before: str) -> list[tuple[Step, Step]]:
    """Pairs of a step of a kind and the step before it, of another, which nothing else uses."""
    uses, made = _uses(steps), {step.name: step for step in steps}
    return [
        (made[step.of[0]], step)
        for step in steps
        if step.kind == kind and len(step.of) == 1 and uses[step.of[0]] == 1
        and step.of[0] in made and made[step.of[0]].kind == before
    ]  # fmt: skip


def _joined(steps: list[Step]) -> list[Step]:
    """Scales and shifts one after another become one, in float64."""
    while found := _only(steps, "scale_shift", "scale_shift"):
        first, second = found[0]
        one = torch.ones((), dtype=torch.float64)
        scale, shift = (first.tensors.get(key) for key in ("scale", "shift"))
        factor, offset = (second.tensors.get(key) for key in ("scale", "shift"))
        tensors: dict[str, Tensor] = {}
        if scale is not None or factor is not None:
            tensors["scale"] = (one if scale is None else scale.double()) * (one if factor is None else factor.double())
        if shift is not None or offset is not None:
            moved = 0 * one if shift is None else shift.double() * (one if factor is None else factor.double())
            tensors["shift"] = moved + (0 * one if offset is None else offset.double())
        joined = replace(second, of=first.of, tensors=tensors)
        steps = [joined if step is second else step for step in steps if step is not first]
    return steps


def _padded(steps: list[Step]) -> list[Step]:
    """Padding before a convolution without any becomes its own: the two are bounded together."""
    for pad, row in _only(steps, "reshape", "pad"):
        # Conv1d takes a row of pixels: it is made an image first, and padded then.
        (*others, (before, after)), (*front, length) = _sides(pad), pad.shape
        if len(front) == 1 and row.shape == (*front, 1, length) and not any(map(any, others)):
            first = replace(row, name=pad.name, of=pad.of, shape=(*front, 1, length - before - after))
            keys = {**pad.keys, "padding": [[0, 0], [before, after]]}
            second = replace(pad, name=row.name, of=row.of, shape=row.shape, keys=keys)
            steps = [{pad: first, row: second}.get(step, step) for step in steps]
    while found := [pair for pair in _only(steps, "pad", "pad") if _are_apart(*pair)]:
        first, second = found[0]
        sides = [one if any(one) else other for one, other in zip(_sides(first), _sides(second), strict=True)]
        joined = replace(second, of=first.of, keys={**second.keys, "padding": sides})
        steps = [joined if step is second else step for step in steps if step is not first]
    for pad, conv in _only(steps, "conv2d", "pad"):
        channel, *sides = _sides(pad)
        if pad.keys.get("value") or any(channel) or any(n for pair in conv.keys["padding"] for n in pair):
            continue
        if min(n for pair in sides for n in pair) < 0:
            continue
        joined = replace(
            conv, of=pad.of, keys={**conv.keys, "padding": sides, "padding_mode": pad.keys["padding_mode"]}
        )
        steps = [joined if step is conv else step for step in steps if step is not pad]
    return steps


def _sides(pad: Step) -> list[list[int]]:
    """(before, after) of every axis."""
    sides: list[list[int]] = pad.keys["padding"]
    return [[0, 0]] * (len(pad.shape) - len(sides)) + sides


def _are_apart(first: Step, second: Step) -> bool:
    """Whether two paddings are alike, and no axis is padded by both."""
    alike = all(first.keys.get(key) == second.keys.get(key) for key in ("padding_mode", "value"))
    return alike and not any(any(one) and any(other) for one, other in zip(_sides(first), _sides(second), strict=True))


def _reshaped(steps: list[Step]) -> list[Step]:
    """Of several reshapes one after another only the last, and none that leaves the shape as it was."""
    kinds = ("reshape", "flatten")
    while found := [pair for kind in kinds for before in kinds for pair in _only(steps, kind, before)]:
        first, second = found[0]
        joined = replace(second, of=first.of)
        steps = [joined if step is second else step for step in steps if step is not first]
    shapes = {step.name: step.shape for step in steps}
    return [
        replace(step, kind="identity") if step.kind in kinds and shapes.get(step.of[0]) == step.shape else step
        for step in steps
    ]


def _scaled_outputs(steps: list[Step], output: str) -> list[Step]:
    """A scale of the logits goes into the last linear layer, which is then the head."""
    for linear, scaled in _only(steps, "scale_shift", "linear"):
        if scaled.name != output or len(scaled.shape) != 1:
            continue
        weight, bias = linear.tensors["weight"].double(), linear.tensors.get("bias")
        scale, shift = scaled.tensors.get("scale"), scaled.tensors.get("shift")
        total = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.double()
        if scale is not None:
            weight, total = weight * scale.double().reshape(-1, 1), total * scale.double()
        if shift is not None:
            total = total + shift.double()
        joined = replace(linear, name=scaled.name, tensors={"weight": weight, "bias": total})
        steps = [joined if step is linear else step for step in steps if step is not scaled]
    return steps


def _normalized(steps: list[Step], source: str) -> list[Step]:
    """A scale and shift of each channel that only the input enters is the input normalisation."""
    if _uses(steps)[source] != 1:
        return steps
    first = next(step for step in steps if source in step.of)
    if first.kind != "scale_shift" or len(first.of) != 1:
        return steps
    scale, shift = (_by_channel(first.tensors.get(key), first.shape) for key in ("scale", "shift"))
    if scale is None:
        scale = torch.ones(first.shape[0], dtype=torch.float64) if "scale" not in first.tensors else None
    if shift is None:
        shift = torch.zeros(first.shape[0], dtype=torch.float64) if "shift" not in first.tensors else None
    if scale is None or shift is None or not bool((scale > 0).all()):
        return steps
    keys = {"mean": (-shift / scale + 0.0).tolist(), "std": (1 / scale).tolist()}
    normal = replace(first, kind="normalize", keys=keys, tensors={})
    return [normal if step is first else step for step in steps]


def _by_channel(value: Tensor | None, shape: Shape) -> Tensor | None:
    """(C,) float64 where the numbers differ from channel to channel alone; None where there are none, or others."""
    if value is None:
        return None
    value = value.double()
    wide = value.reshape([1] * (len(shape) - value.ndim) + list(value.shape))
    if any(n != 1 for n in wide.shape[1:]):
        return None
    return wide.flatten().expand(shape[0]).clone()
