"""``lipscope.save``: a file that describes itself from any ``torch.nn.Module``."""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialised
from torch import Tensor, nn

from lipscope.errors import UsageError
from lipscope.files.checkpoint import SUFFIX, atomic_path, described_metadata, with_sorted_metadata
from lipscope.layers.reshape import Normalize
from lipscope.models.capture.blocks import described
from lipscope.models.capture.comparison import Comparison, compared, inputs_for
from lipscope.models.capture.export import check_module, copied, evaluated, exported, in_double, quiet, unwrapped
from lipscope.models.capture.match import steps_of
from lipscope.models.description import SCHEMA
from lipscope.models.stored import load_model
from lipscope.visible import visible


@dataclass(frozen=True)
class Saved:
    """A file that was written.

    Args:
        path: of the file.
        layers: how many there are.
        comparison: of the file with the module.
        precision: ``"float64"`` or ``"float32"``, in which parametrised weights were computed.
    """

    path: Path
    layers: int
    comparison: Comparison
    precision: str

    def __str__(self) -> str:
        """One line for a person."""
        found = self.comparison
        return (
            f"{self.path}: {self.layers} layers; on {found.inputs} inputs the file and the network differ by at most "
            f"{found.largest:.2g}, float32 rounding explains {found.allowed:.2g}"
        )


def save(
    net: nn.Module,
    path: str | Path,
    *,
    input_shape: Sequence[int],
    classes: Sequence[str] | None = None,
    dataset: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    examples: Tensor | None = None,
    force: bool = False,
) -> Saved:
    """Write a network as a file that ``lipscope inspect``, ``certify`` and ``attack`` take without its code.

    Args:
        net: in eval mode, any module that takes one tensor (N, *input_shape) and gives one.
        path: of the file, ``model.safetensors``.
        input_shape: of one input without the batch, e.g. (3, 32, 32).
        classes: their names, in the order of the outputs.
        dataset: the data set whose test images it is certified on, e.g. ``"cifar10"``.
        mean, std: of an input normalisation that is not part of ``net``, a number per channel.
        examples: (N, *input_shape) inputs on which file and network are compared, besides random ones.
        force: overwrite an existing file.

    Returns:
        what was written, with the largest difference that was found; it is printed on stderr too.

    Raises:
        UsageError: the network or an argument cannot be; nothing is written then.
        LipscopeError: the place cannot be written to.
    """
    target, shape = Path(path), tuple(input_shape)
    if target.suffix != SUFFIX:
        raise UsageError(f"must end in {SUFFIX}", where=str(path))
    if target.exists() and not force:
        raise UsageError("exists already", where=str(target), next_step="choose another name, or pass force=True")
    check_module(net, shape)
    net = unwrapped(net)
    network = _normalising(net, mean, std, shape)
    single = copied(network, torch.float32)
    inputs = inputs_for(shape, examples)
    outputs = evaluated(single, inputs[:2]).shape[1]
    if classes is not None and (len(classes) != outputs or not all(isinstance(name, str) for name in classes)):
        raise UsageError("must be a name for each output", where="classes", why=f"{len(classes)} for {outputs}")
    double = in_double(network, inputs[:2])
    program = exported(double or single, shape, torch.float32 if double is None else torch.float64)
    with quiet():
        steps, source = steps_of(program)
    layers = described(steps, source, "" if network is net else "net.")
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "architecture": type(net).__name__,
        "input_shape": list(shape),
        "layers": layers.layers,
    }
    if dataset is not None:
        content["dataset"] = dataset
    if classes is not None:
        content["classes"] = list(classes)
    claims = {
        "saved_from": type(net).__qualname__,
        "weights_computed_in": "float32" if double is None else "float64",
        "torch": str(torch.__version__),
    }
    with atomic_path(target) as temporary:
        # Compared is what a reader makes of the bytes of the file.
        _write(temporary, content, layers.tensors, claims)
        stored = load_model(temporary)
        comparison = compared(stored.net, single, double, inputs, len(steps))
        found = {"largest_difference": comparison.largest, "compared_inputs": comparison.inputs}
        _write(temporary, content, layers.tensors, {**claims, **found})
    saved = Saved(target, len(steps), comparison, claims["weights_computed_in"])
    print(visible(str(saved)), file=sys.stderr)
    return saved


def _normalising(
    net: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None, shape: tuple[int, ...]
) -> nn.Module:
    """The network behind its normalisation, if there is one.

    Raises:
        UsageError: not a number per channel.
    """
    if mean is None and std is None:
        return net
    means, deviations = list(mean or [0.0] * shape[0]), list(std or [1.0] * shape[0])
    if {len(means), len(deviations)} != {shape[0]} or not all(0 < value < math.inf for value in deviations):
        raise UsageError(
            "must have one number per channel, std above 0", where="mean, std", why=f"{means} and {deviations}"
        )
    return nn.Sequential(OrderedDict(normalize=Normalize(means, deviations), net=net)).eval()


def _write(path: Path, content: dict[str, Any], tensors: dict[str, Tensor], claims: dict[str, Any]) -> None:
    path.write_bytes(with_sorted_metadata(serialised(tensors, described_metadata(content, claims))))
