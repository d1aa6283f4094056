"""Values that share memory: what changes one of them in place changes the others in the graph too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.models.capture.export import exported
from lipscope.models.capture.graph import graph_of
from tests.models.capture.nets import Lambda

LARGE = 1e6
"""Beyond all numbers on which a file is compared with its network: that it was left out would not be seen there."""


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


CHANGES = {
    "view": after(lambda x: x.view(-1, 2, 4).clamp_(max=LARGE)),
    "slice": after(lambda x: x[:, :3].clamp_(max=LARGE)),
    "transpose": after(lambda x: x.transpose(0, 1).clamp_(max=LARGE)),
    "detached": after(lambda x: x.detach().clamp_(max=LARGE)),
    "view of a view": after(lambda x: x.reshape(-1, 2, 4)[:, 0].clamp_(max=LARGE)),
    "piece": after(lambda x: x.chunk(2, 1)[0].clamp_(max=LARGE)),
    "constant": into_a_constant,
    "itself": after(lambda x: x.clamp_(max=0.5)),
    "pieces apart": pieces_apart,
    "the view that goes on": lambda x: (2 * x).view(-1, 2, 4).relu_().mul_(2.0),
    "the same tensor": after(lambda x: F.dropout(x, 0.5, False).contiguous().clamp_(max=0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_graph_computes_what_the_module_does(name: str) -> None:
    graph = graph_of(exported(Lambda(CHANGES[name]).eval(), (8,), torch.float64))
    x = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for size in (1.0, 2 * LARGE):
        values = {graph.input: size * x}
        for op in graph.ops[1:]:
            values[op] = op.compute(values)
        torch.testing.assert_close(values[graph.output], CHANGES[name](size * x))
