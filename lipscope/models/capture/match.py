"""A graph of operations as steps: patterns of several first, single operations else."""

from __future__ import annotations

from lipscope.errors import UsageError
from lipscope.models.capture import pointwise
from lipscope.models.capture.folding import folded
from lipscope.models.capture.graph import Graph, Op
from lipscope.models.capture.operations import MATCHES
from lipscope.models.capture.patterns import matched
from lipscope.models.capture.steps import Step, Steps

assert pointwise.__name__  # its functions are in MATCHES once it is imported


def steps_of(graph: Graph) -> list[Step]:
    """The network in steps, the last its result.

    Raises:
        UsageError: an operation that cannot be described: the first, with the author's line.
    """
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
    return found


def _single(op: Op) -> list[Step]:
    match = MATCHES.get(op.base)
    if match is None or " " in op.kind:
        raise op.refuse(op.kind.partition(" ")[2].strip("()") or "there is no layer for it with a proof")
    if any(" " in source.kind for source in op.inputs):
        raise op.refuse("the images of a batch were mixed before it")
    steps = Steps(op)
    match(op, steps)
    return steps.finish()
