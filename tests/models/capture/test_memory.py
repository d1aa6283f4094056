"""Values that share memory: what was changed behind the graph's back is refused, everything else goes through."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.errors import UsageError
from lipscope.models.capture.export import exported
from tests.models.capture.nets import Lambda

LARGE = 1e6
"""Beyond all numbers on which a file is compared with its network: nobody would see that this was left out."""


def after(change: Callable[[Tensor], object]) -> Callable[[Tensor], Tensor]:
    """What something that may change its input leaves of it."""

    def compute(x: Tensor) -> Tensor:
        x = 2 * x
        change(x)
        return x

    return compute


def into_a_constant(x: Tensor) -> Tensor:
    y = torch.zeros(8)
    y.view(2, 4).copy_(F.relu(x[0] - LARGE).view(2, 4))
    return x + y


def pieces_apart(x: Tensor) -> Tensor:
    first, second = (2 * x).chunk(2, 1)
    return torch.cat([first.relu_(), second.abs_()], 1)


CHANGED = {
    "view": after(lambda x: x.view(-1, 2, 4).clamp_(max=LARGE)),
    "slice": after(lambda x: x[:, :3].clamp_(max=LARGE)),
    "transpose": after(lambda x: x.transpose(0, 1).clamp_(max=LARGE)),
    "detached": after(lambda x: x.detach().clamp_(max=LARGE)),
    "view of a view": after(lambda x: x.reshape(-1, 2, 4)[:, 0].clamp_(max=LARGE)),
    "piece": after(lambda x: x.chunk(2, 1)[0].clamp_(max=LARGE)),
    "constant": into_a_constant,
}
FOLLOWED = {
    "itself": after(lambda x: x.clamp_(max=0.5)),
    "pieces apart": pieces_apart,
    "the view that goes on": lambda x: (2 * x).view(-1, 2, 4).relu_().mul_(2.0),
    "the same tensor": after(lambda x: F.dropout(x, 0.5, False).contiguous().clamp_(max=0.5)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_changed_through_another_value_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="changed in place through a view"):
        exported(Lambda(CHANGED[name]).eval(), (8,), torch.float32)


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_changed_itself_goes_through(name: str) -> None:
    graph = exported(Lambda(FOLLOWED[name]).eval(), (8,), torch.float64)
    x = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = {graph.input: x.clone()}
    for op in graph.ops[1:]:
        values[op] = op.compute(values)
    torch.testing.assert_close(values[graph.output], FOLLOWED[name](x))
