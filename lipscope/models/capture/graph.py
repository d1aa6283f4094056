"""A network as torch computes it: the operations that depend on its input, everything else as plain numbers."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export.graph_signature import OutputKind

from lipscope.errors import UsageError
from lipscope.records import Shape

LIBRARY = re.compile(r"[/\\](torch|torchvision)[/\\](nn|_|func|utils|fx|overrides|export|jit)")


ALIASES = {
    "absolute": "abs", "clip": "clamp", "concat": "cat", "concatenate": "cat", "divide": "div", "true_divide": "div",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "moveaxis": "movedim",
    "multiply": "mul", "negative": "neg", "subtract": "sub", "swapaxes": "transpose", "swapdims": "transpose",
}  # fmt: skip
"""Operations that torch has under several names."""


def base_of(kind: str) -> str:
    """What an operation is, without its overload, by any of its names."""
    name = kind.split(".", maxsplit=1)[0]
    return ALIASES.get(name, name)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation whose result depends on the input; the input itself is the operation ``"input"``.

    Args:
        name: unique.
        kind: as torch names it, e.g. ``"conv2d.default"``.
        given: its arguments by name, defaults included: other operations, tensors, numbers, lists of these.
        shape: of the result without the batch; of the first, where there are several.
        path: the module of the author's that it belongs to, e.g. ``"layer1.0.conv1"``.
        source: the author's line that it comes from.
        run: computes it from the values of the arguments.
        place: among all operations.
    """

    name: str
    kind: str
    given: Mapping[str, Any]
    shape: Shape
    path: str = ""
    source: str = ""
    run: Callable[..., Any] | None = None
    place: int = 0

    @property
    def inputs(self) -> tuple[Op, ...]:
        """The operations that it needs, in order."""
        return tuple(found for value in self.given.values() for found in _ops(value))

    @property
    def base(self) -> str:
        """``"relu"`` of ``"relu.default"``."""
        return base_of(self.kind)

    def refuse(self, why: str) -> UsageError:
        """The error of a network that cannot be described, with the author's line."""
        return UsageError(
            f"{self.base} cannot be described", where=self.source or f"module {self.path or self.name}", why=why,
            next_step="docs/your-network.md lists what can",
        )  # fmt: skip

    def compute(self, values: Mapping[Op, Any]) -> Any:
        """Its result from the results of its inputs."""
        assert self.run is not None
        return self.run(*(_filled(value, values) for value in self.given.values()))


@dataclass(frozen=True)
class Graph:
    """All operations that the output needs, in an order in which each comes after its inputs.

    Args:
        ops: the input first.
        output: the last.
    """

    ops: tuple[Op, ...]
    output: Op

    @property
    def input(self) -> Op:
        """What the network is given."""
        return self.ops[0]


def _ops(value: Any) -> Iterable[Op]:
    if isinstance(value, Op):
        return (value,)
    if isinstance(value, list | tuple):
        return (found for part in value for found in _ops(part))
    return ()


def _filled(value: Any, values: Mapping[Op, Any]) -> Any:
    if isinstance(value, Op):
        return values[value]
    if isinstance(value, list | tuple):
        return [_filled(part, values) for part in value]
    return value


def graph_of(program: torch.export.ExportedProgram) -> Graph:
    """Compute what does not depend on the input, and keep the rest.

    Args:
        program: without operations in place.

    Raises:
        UsageError: several outputs, or an output that does not depend on the input.
    """
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants = signature.inputs_to_lifted_tensor_constants
    values: dict[torch.fx.Node, Any] = {}
    ops: list[Op] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values[node] = _placeholder(node, program, names, constants)
            if isinstance(values[node], Op):
                ops.append(values[node])
        elif node.op == "call_function":
            result = values[node] = _called(node, values, len(ops))
            if isinstance(result, Op) and result.name == node.name:
                ops.append(result)
        elif node.op == "output":
            specs = zip(signature.output_specs, node.args[0], strict=True)
            outputs = [value for spec, value in specs if spec.kind is OutputKind.USER_OUTPUT]
            if len(outputs) != 1:
                raise UsageError("gives several outputs", why=f"{len(outputs)} of them", next_step="save one of them")
            found = values[outputs[0]] if isinstance(outputs[0], torch.fx.Node) else outputs[0]
            if not isinstance(found, Op):
                raise UsageError("the output does not depend on the input")
            return Graph(_needed(ops, found), found)
    raise UsageError("has no output")


def _placeholder(node: torch.fx.Node, program: torch.export.ExportedProgram, names: Any, constants: Any) -> Any:
    if node.name in names:
        key = names[node.name]
        state = program.state_dict if key in program.state_dict else program.constants
        return state[key].detach().clone()
    if node.name in constants:
        found = program.constants[constants[node.name]]
        return found.detach().clone() if isinstance(found, Tensor) else found
    value = node.meta["val"]
    return Op(node.name, "input", {}, tuple(value.shape[1:]))


def _called(node: torch.fx.Node, values: Mapping[torch.fx.Node, Any], place: int) -> Any:
    target: Any = node.target
    given: dict[str, Any] = {}
    if target is operator.getitem:
        whole, index = node.args
        assert isinstance(whole, torch.fx.Node)
        given = {"value": values[whole], "index": index}
        kind = "getitem"
    elif not isinstance(target, torch._ops.OpOverload):
        raise UsageError(
            f"{getattr(target, '__name__', target)} cannot be described", where=_source(node),
            why="the sizes of its result depend on values", next_step="docs/your-network.md lists what can",
        )  # fmt: skip
    else:
        schema = target._schema.arguments
        places = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
        places |= dict(zip((argument.name for argument in schema), node.args, strict=False)) | dict(node.kwargs)
        given = {
            argument.name: torch.fx.map_arg(places[argument.name], lambda part: values[part]) for argument in schema
        }
        kind = str(target).removeprefix("aten.")
    if base_of(kind) in OF_SIZES and isinstance(given["self"], Op):
        given["self"] = torch.zeros(BATCH, *given["self"].shape, dtype=node.meta["val"].dtype)
    if not any(True for value in given.values() for _ in _ops(value)):
        with torch.no_grad():
            return _caller(target)(*given.values())
    if base_of(kind) in ("pad", "constant_pad_nd") and not any(given["pad"]):
        return given["self"]
    value = node.meta.get("val")
    first = value[0] if isinstance(value, list | tuple) and value else value
    shape = tuple(first.shape[1:]) if isinstance(first, Tensor) else ()
    if isinstance(first, Tensor) and (first.ndim == 0 or first.shape[0] != BATCH):
        kind, shape = f"{kind} (the images of a batch are mixed)", ()
    numbers = {key: torch.fx.node.map_aggregate(value, _in_double) for key, value in given.items()}
    return Op(node.name, kind, numbers, shape, _path(node), _source(node), _caller(target), place)


def _in_double(value: Any) -> Any:
    """Fixed numbers as the patterns evaluate them, which is exact."""
    if not isinstance(value, Tensor):
        return value
    return value.double() if value.is_floating_point() else value.to(torch.complex128) if value.is_complex() else value


OF_SIZES = frozenset({"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"})
"""Operations that take from a value only its sizes and its type."""

BATCH = 2
"""Images that a network is traced with."""


def _caller(target: Any) -> Callable[..., Any]:
    if target is operator.getitem:
        return lambda whole, index: whole[index]

    def run(*arguments: Any) -> Any:
        names = [argument.name for argument in target._schema.arguments]
        positional = [
            value
            for value, argument in zip(arguments, target._schema.arguments, strict=True)
            if not argument.kwarg_only
        ]
        keywords = {
            name: value
            for name, value, argument in zip(names, arguments, target._schema.arguments, strict=True)
            if argument.kwarg_only
        }
        return target(*positional, **keywords)

    return run


def _needed(ops: list[Op], output: Op) -> tuple[Op, ...]:
    needed = {output}
    for op in reversed(ops):
        if op in needed:
            needed.update(op.inputs)
    source = [op for op in ops if op.kind == "input"]
    if len(source) != 1:
        raise UsageError("takes several inputs", why=f"{len(source)} of them", next_step="save a module that takes one")
    return (source[0], *(op for op in ops if op in needed and op is not source[0]))


def _path(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(entry[0]) for entry in stack.values()]
    return paths[-1].removeprefix("L['self'].").removeprefix("L__self__").strip(".") if paths else ""


def _source(node: torch.fx.Node) -> str:
    """``net.py, line 13: x = self.conv(x)`` of the innermost line that is not torch's own."""
    trace = node.meta.get("stack_trace") or ""
    found = re.findall(r'File "([^"]+)", line (\d+), in [^\n]*\n([^\n]*)', trace)
    own = [entry for entry in found if not LIBRARY.search(entry[0])]
    if not own:
        return ""
    file, line, code = own[-1]
    return f"{file}, line {line}: {code.strip()}"
