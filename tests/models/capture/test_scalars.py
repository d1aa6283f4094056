"""Control flow that asks for stored numbers goes the way that they say; that asks for the input, it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lipscope.errors import UsageError
from tests.models.capture.saving import SHAPE, check, kinds, saved


class Counted(nn.Module):
    """Its activation hangs on what it learnt; it halves once it has seen more than one batch."""

    batches: Tensor

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.register_buffer("batches", torch.tensor(batches))
        self.learnt = nn.Parameter(torch.tensor([-0.75]))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        x = x.tanh() if self.learnt.abs().item() > 0.5 else x.relu()
        return x * 0.5 if self.batches + 1 > 2 else x


class Asked(Counted):
    """Asks for the input too."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(x) if x.sum() * self.learnt > 0 else x


@pytest.mark.parametrize(("batches", "wanted"), [(1, ["tanh"]), (2, ["tanh", "scale_shift"])])
def test_stored_numbers_decide(batches: int, wanted: list[str], target: Path) -> None:
    net = Counted(batches).eval()
    file = saved(net, target)
    assert [kind for kind in kinds(target) if kind != "flatten"] == wanted
    check(net, file)
    net(torch.zeros(2, *SHAPE))  # as it was before


def test_the_input_does_not(target: Path) -> None:
    with pytest.raises(UsageError, match="must not depend on the values of the input"):
        saved(Asked(1).eval(), target)
