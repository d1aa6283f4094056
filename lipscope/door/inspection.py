"""``lipscope.inspect``: the report of a file or a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lipscope.analysis.analysis import inspect_report, subject_report
from lipscope.analysis.subject import subject_of
from lipscope.door.subject import Model, stored
from lipscope.records import InspectReport


def inspect(
    model: Model,
    *,
    input_shape: Sequence[int] | None = None,
    description: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> InspectReport:
    """Proved bounds, singular values, gradient norms and the verdict: what ``lipscope inspect`` shows.

    Args:
        model: the path of any safetensors file, a network of :func:`lipscope.load`, or any module in eval mode.
        input_shape: of one input, for a module that is captured.
        description: a JSON file that says how the tensors of somebody else's file are connected (docs/describe.md).
        data_dir: where to look for the data set of the gradient norms first.

    Returns:
        a report with ``.verdict``, ``.chain`` and ``.layers``; it prints as a table, in a notebook too.

    Raises:
        CheckpointError: the file is damaged, or is not what it claims to be.
        UsageError: a module that cannot be captured, or a description that cannot be.

    >>> import torch, lipscope
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    >>> report = lipscope.inspect(net.eval(), input_shape=(3, 2, 2))
    >>> report.chain.whole.bound.proved, all(layer.bound.proved for layer in report.layers)
    (True, True)
    """
    place = None if data_dir is None else Path(data_dir)
    if isinstance(model, (str, Path)):
        described = None if description is None else Path(description)
        return inspect_report(Path(model), data_dir=place, description=described)
    subject = stored(model, input_shape)
    report = subject_report(subject_of(subject), data_dir=place)
    return replace(report, path=type(model).__name__, architecture=subject.header.architecture or type(model).__name__)
