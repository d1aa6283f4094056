"""Whether a file is the network, as far as inputs tell: both are evaluated, and differ by float32 rounding alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipscope.environment import full_precision
from lipscope.errors import UsageError
from lipscope.models.capture.export import evaluated
from lipscope.records import Shape

RANDOM, BATCHES = 16, (1, 5, 10)
"""Random inputs that are compared, and how they are put in batches: what an image gives must not depend on others."""

ROUNDINGS = 16
"""Roundings of float32, relative to the largest output, that a layer may add to the difference."""

NOISE = 16
"""Times that the difference may exceed what float32 makes of the module itself."""


COARSEST = 1e-4
"""Of the largest output: what is further apart is not one function, however coarse float32 is for it."""


@dataclass(frozen=True)
class Comparison:
    """What was compared.

    Args:
        largest: difference of an output of the file's network and of the module, in float32.
        allowed: what float32 rounding explains.
        inputs: how many were compared.
    """

    largest: float
    allowed: float
    inputs: int


def inputs_for(input_shape: Shape, examples: Tensor | None) -> Tensor:
    """Random inputs, in [0, 1] and beyond it, and the user's.

    Raises:
        UsageError: examples of another shape.
    """
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(RANDOM // 2, *input_shape, generator=generator)
    normal = torch.randn(RANDOM - RANDOM // 2, *input_shape, generator=generator)
    if examples is None:
        return torch.cat([uniform, normal])
    given = torch.as_tensor(examples).detach().to("cpu", torch.float32)
    if given.shape[1:] != torch.Size(input_shape) or not len(given) or not bool(torch.isfinite(given).all()):
        raise UsageError(
            "must be finite inputs of the network's shape", where="examples",
            why=f"shape {tuple(given.shape)}, not (N, {', '.join(map(str, input_shape))})",
        )  # fmt: skip
    return torch.cat([uniform, normal, given])


def compared(stored: nn.Module, module: nn.Module, double: nn.Module | None, inputs: Tensor, layers: int) -> Comparison:
    """Compare the network read back from a file with the module that it was made from.

    Args:
        stored: the network of the file.
        module: in float32 on the CPU.
        double: the module in float64, where it can compute so.
        inputs: (N, ...) float32.
        layers: of the stored network.

    Raises:
        UsageError: they differ by more than rounding.
    """
    with full_precision(), torch.no_grad():
        mine = torch.cat([stored(part) for part in inputs.split(BATCHES[-1])])
        theirs = torch.cat([evaluated(module, part) for part in _batches(inputs)])
        again = torch.cat([evaluated(module, part) for part in _batches(inputs)])
        finite = bool(torch.isfinite(mine).all() and torch.isfinite(theirs).all())
        noise = 0.0
        if double is not None:
            exact = torch.cat([evaluated(double, part.double()) for part in inputs.split(BATCHES[-1])])
            noise = float((exact - theirs.double()).abs().max())
    if mine.shape != theirs.shape or not finite:
        raise UsageError(
            "was not saved: the outputs of the network are not finite numbers, or not those of the file",
            why=f"shapes {tuple(theirs.shape)} and {tuple(mine.shape)}",
        )
    if not torch.equal(theirs, again):
        raise UsageError(
            "was not saved: the network gives other outputs when it is asked again",
            why=f"they differ by {float((theirs - again).abs().max()):.3g}",
            next_step="it depends on chance, or on a state that changes",
        )
    largest = float((mine - theirs).abs().max())
    scale = float(theirs.abs().max())
    allowed = max(ROUNDINGS * layers * 2.0**-24 * scale, min(NOISE * noise, COARSEST * scale))
    if not largest <= allowed:
        raise UsageError(
            "was not saved: what was captured does not compute the same as the network",
            why=f"outputs differ by {largest:.3g}, float32 rounding explains {allowed:.3g}",
            next_step="does it depend on the other images of a batch?",
        )
    return Comparison(largest, allowed, len(inputs))


def _batches(inputs: Tensor) -> Sequence[Tensor]:
    first, second = BATCHES[0], BATCHES[0] + BATCHES[1]
    return [part for part in (inputs[:first], inputs[first:second], *inputs[second:].split(BATCHES[2])) if len(part)]
