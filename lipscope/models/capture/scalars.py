"""Control flow that asks for stored numbers: a counter of batches, a flag, a factor that is learnt.

torch.export knows no values, and so refuses ``if self.batches > 1`` although it goes the same way for every input. Here
the single numbers that a module stores, and what is computed of them alone, are computed along with the export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def known_scalars(net: nn.Module) -> Iterator[None]:
    """While it lasts, what the module stores as single numbers has its value, also where torch.export looks on.

    Args:
        net: whose ``forward`` is replaced meanwhile.
    """
    stored = {
        name: value.detach().clone()
        for name, value in [*net.named_parameters(), *net.named_buffers()]
        if value.numel() == 1
    }
    forward = net.forward

    def looked_up(*args: Any, **kwargs: Any) -> Any:
        named = [*net.named_parameters(), *net.named_buffers()]
        with _Values({id(value): (value, stored[name]) for name, value in named if name in stored}):
            return forward(*args, **kwargs)

    own = vars(net).get("forward")
    net.forward = looked_up
    try:
        yield
    finally:
        del net.forward
        if own is not None:
            net.forward = own


class _Values(TorchFunctionMode):
    """Computes with the values of single numbers next to what is called.

    Args:
        known: by identity, tensors (kept alive so that no other has the identity) and their values.
    """

    def __init__(self, known: dict[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._known = known

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What the function gives; of known numbers alone a number is given as it is, and a tensor's value noted."""
        kwargs = kwargs or {}
        parts, structure = torch.utils._pytree.tree_flatten((args, kwargs))
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if not tensors or not all(id(part) in self._known for part in tensors):
            return func(*args, **kwargs)
        values = [self._known[id(part)][1] if isinstance(part, Tensor) else part for part in parts]
        known_args, known_kwargs = torch.utils._pytree.tree_unflatten(values, structure)
        with _disable_current_modes():
            value = func(*known_args, **known_kwargs)
        if not isinstance(value, Tensor):
            return value
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and value.numel() == 1:
            self._known[id(result)] = (result, value)
        return result
