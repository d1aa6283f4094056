"""A graph of operations as steps: patterns of several first, single operations else."""

from __future__ import annotations

from contextlib import suppress

from torch.export import ExportedProgram

from lipscope.errors import UsageError
from lipscope.models.capture import lengths, pointwise
from lipscope.models.capture.export import spelled_out
from lipscope.models.capture.folding import folded
from lipscope.models.capture.graph import Graph, Op, graph_of
from lipscope.models.capture.operations import MATCHES
from lipscope.models.capture.patterns import PATTERNS, matched
from lipscope.models.capture.steps import Step, Steps

assert pointwise.__name__  # its functions are in MATCHES once it is imported
assert lengths.__name__

KNOWN = frozenset(MATCHES).union(*(pattern.kinds for pattern in PATTERNS))
"""Operations that are a layer, or may be part of one."""


def steps_of(program: ExportedProgram) -> tuple[list[Step], str]:
    """The network in steps, the last its result, and the name of the input.

    What cannot be described is tried again with its operations spelled out as torch defines them.

    Raises:
        UsageError: an operation that cannot be described: the first of the author's, with the line.
    """
    try:
        return _steps(graph_of(program))
    except UsageError:
        with suppress(Exception):  # torch may fail to spell out what it has, and then the first reason counts
            if (smaller := spelled_out(program, KNOWN)) is not None:
                return _steps(graph_of(smaller))
        raise


def _steps(graph: Graph) -> tuple[list[Step], str]:
    made: dict[Op, list[Step]] = {}
    refusals: dict[Op, UsageError] = {}
    needed = {graph.output.name}
    for op in reversed(graph.ops[1:]):
        if op.name not in needed:
            continue
        steps = matched(op)
        if steps is None:
            try:
                steps = _single(op)
            except UsageError as error:
                refusals[op] = error
                needed.update(source.name for source in op.inputs)
                continue
        made[op] = steps
        needed.update(name for step in steps for name in step.of)
    if refusals:
        raise refusals[min(refusals, key=lambda op: op.place)]
    steps = [step for op in graph.ops if op in made for step in made[op]]
    found, output = folded(steps, graph.input.name, graph.output.name)
    if not found:
        raise graph.output.refuse("it only gives back its input")
    assert found[-1].name == output
    return found, graph.input.name


def _single(op: Op) -> list[Step]:
    match = MATCHES.get(op.base)
    if match is None or " " in op.kind:
        raise op.refuse(op.kind.partition(" ")[2].strip("()") or "there is no layer for it with a proof")
    if any(" " in source.kind for source in op.inputs):
        raise op.refuse("the images of a batch were mixed before it")
    steps = Steps(op)
    match(op, steps)
    return steps.finish()
