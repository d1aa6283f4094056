"""From a module to its graph: checked, copied, its parametrisations computed, exported by torch."""

from __future__ import annotations

import copy
import inspect
import io
import logging
import traceback
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn.utils import parametrize

from lipscope.errors import UsageError
from lipscope.models.capture.graph import BATCH, LIBRARY, base_of
from lipscope.models.capture.scalars import known_scalars
from lipscope.records import Shape


def check_module(net: nn.Module, input_shape: Shape) -> None:
    """Refuse what cannot be saved, before anything is computed.

    Raises:
        UsageError: no module, in training mode, several inputs, a shape that is none, or weights that are not finite.
    """
    if not isinstance(net, nn.Module):
        raise UsageError("is not a torch.nn.Module", where="net", why=f"got {type(net).__name__}")
    if not input_shape or any(type(n) is not int or n < 1 for n in input_shape) or len(input_shape) > 3:
        raise UsageError(
            "must be the shape of one input without the batch", where="input_shape", why=f"got {input_shape!r}",
            next_step="e.g. (3, 32, 32)",
        )  # fmt: skip
    training = [name or type(net).__name__ for name, module in net.named_modules() if module.training]
    if training:
        raise UsageError(
            "is in training mode", where=training[0], why="certificates are about the network as it is used",
            next_step="call net.eval() first",
        )  # fmt: skip
    needed = [
        parameter.name
        for parameter in inspect.signature(net.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if len(needed) > 1:
        raise UsageError(
            "takes several inputs", where=type(net).__name__, why=", ".join(needed),
            next_step="save a module whose forward takes one tensor",
        )  # fmt: skip
    if isinstance(net, torch.jit.ScriptModule):
        raise UsageError(
            "is a scripted module", where="net", why="torch.export takes it no more",
            next_step="save the module that it was made from",
        )  # fmt: skip
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if tensor.is_meta or nn.parameter.is_lazy(tensor):
            raise UsageError(
                "holds no numbers yet", where=name, why="it was made lazily, or on the device meta",
                next_step="evaluate the network once, or load its weights, before it is saved",
            )  # fmt: skip
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UsageError(
                "holds NaN or infinite values", where=name, why=f"{int((~torch.isfinite(tensor)).sum())} numbers",
                next_step="a training that diverged? nothing can be proved about it",
            )  # fmt: skip


def unwrapped(net: nn.Module) -> nn.Module:
    """The author's module inside those that compile it or spread it over devices."""
    while isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        net = net.module
    inner = getattr(net, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else net


def copied(net: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy on the CPU in another precision, its registered parametrisations replaced by what they compute.

    Raises:
        UsageError: it cannot be copied.
    """
    try:
        with torch.no_grad():
            twin = copy.deepcopy(net, _computed(net)).to("cpu", dtype).eval()
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "cannot be copied", where=type(net).__name__, why=str(error).strip().splitlines()[0][:200],
            next_step="keep no tensors with a history as attributes: detach them",
        ) from error  # fmt: skip
    for module in list(twin.modules()):
        if parametrize.is_parametrized(module):
            lists = module.get_submodule("parametrizations")
            for name in list(lists._modules):
                with torch.no_grad():
                    value: Tensor = getattr(module, name).detach().clone()
                # Taking them off would take them off the original too: it shares its class with the copy.
                lists._modules[name] = Fixed(value)
    return twin.requires_grad_(False)


def _computed(net: nn.Module) -> dict[int, Tensor]:
    """By identity, plain copies of tensors with a history, which hooks such as ``utils.spectral_norm`` leave behind."""
    held = [value for module in net.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return {id(value): value.detach().clone() for value in held if not value.is_leaf}


class Fixed(nn.Module):
    """What a parametrisation computed, in its place.

    Args:
        value: the tensor.
    """

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.eval()

    def forward(self) -> Tensor:
        """The tensor."""
        return self.value


def in_double(net: nn.Module, images: Tensor) -> nn.Module | None:
    """A copy that computes in float64; None where it cannot."""
    try:
        with quiet(), torch.no_grad():
            twin = copied(net, torch.float64)
            result = twin(images.double())
    except Exception:  # noqa: BLE001  a module may raise whatever it likes at a dtype it was not written for
        return None
    return twin if isinstance(result, Tensor) and result.dtype == torch.float64 else None


def evaluated(net: nn.Module, images: Tensor) -> Tensor:
    """The outputs for images as they are, flattened.

    Raises:
        UsageError: the module cannot take them, or gives no tensor with a row per image.
    """
    where = f"{type(net).__name__} on inputs of shape {tuple(images.shape)}"
    try:
        with quiet(), torch.no_grad():
            result = net(images)
    except Exception as error:
        raise UsageError(
            "cannot be evaluated", where=_author_line(error) or where, why=_said(error), next_step="check input_shape"
        ) from error
    if isinstance(result, tuple | list | dict):
        raise UsageError(
            "gives several outputs" if len(result) > 1 else "does not give its output alone", where=where,
            why=f"{len(result)} in a {type(result).__name__}", next_step="save a module that gives one tensor",
        )  # fmt: skip
    if not isinstance(result, Tensor) or result.ndim < 2 or len(result) != len(images):
        raise UsageError("must give one row of numbers for each input", where=where)
    return result.flatten(1)


def exported(net: nn.Module, input_shape: Shape, dtype: torch.dtype) -> ExportedProgram:
    """What torch.export makes of a module: operations in place and through views written as such of new values.

    Raises:
        UsageError: it cannot be exported, as with control flow that depends on data.
    """
    images = torch.rand(BATCH, *input_shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    try:
        with quiet(), torch.no_grad():
            return _exported(net, images)
    except Exception as error:
        with suppress(Exception), quiet(), torch.no_grad(), known_scalars(net):
            return _exported(net, images)
        raise UsageError(
            "cannot be exported", where=_author_line(error) or type(net).__name__, why=_said(error),
            next_step="what is computed must not depend on the values of the input",
        ) from error  # fmt: skip


DROPOUTS = tuple(
    getattr(torch.ops.aten, name).default
    for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
)


def _exported(net: nn.Module, images: Tensor) -> ExportedProgram:
    program: ExportedProgram = torch.export.export(net, (images,))
    for target in DROPOUTS:
        for node in program.graph.find_nodes(op="call_function", target=target):
            # In eval mode it gives its input itself, which torch 2.9 forgets when what it gives is changed in place.
            x, _, train = node.args
            if not train and all(user.op != "output" for user in node.users):
                node.replace_all_uses_with(x)
    functional: ExportedProgram = program.run_decompositions({})
    return functional


def spelled_out(program: ExportedProgram, known: Container[str]) -> ExportedProgram | None:
    """The program with the operations that are not known spelled out as torch defines them; None without such ones."""
    table = torch.export.default_decompositions()
    unknown = {node.target for node in program.graph.nodes if node.op == "call_function"} & set(table.keys())
    chosen = {target: table[target] for target in unknown if base_of(str(target).removeprefix("aten.")) not in known}
    with quiet():
        return program.run_decompositions(chosen) if chosen else None


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines of the author's module or of torch.export."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # torch prints the graph as far as it came.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _author_line(error: Exception) -> str:
    """The innermost line of the traceback that is neither torch's nor lipscope's."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages/torch" not in frame.filename
        and not LIBRARY.search(frame.filename)
        and "lipscope/models/capture" not in frame.filename
        and not frame.filename.startswith("<")
    ]
    if not frames:
        return ""
    return f"{frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}"
