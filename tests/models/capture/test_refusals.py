"""What ``lipscope.save`` refuses, and where it says that this comes from."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lipscope
from lipscope.errors import LipscopeError, UsageError
from tests.models.capture import nets


def scripted(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net.eval())


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu() if x.sum() > 0 else x


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Mixing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


def cut_maxima(x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.cat([torch.maximum(torch.maximum(a, b), torch.tensor(-1e3)), torch.minimum(a, b)], 1)


def broken() -> nn.Module:
    net = nn.Linear(4, 2)
    net.weight.data[0, 0] = math.nan
    return net


REFUSED = {
    "in training": (lambda: nn.Linear(4, 2).train(), (4,), "training mode"),
    "nan": (broken, (4,), "NaN"),
    "lazy": (lambda: nn.LazyLinear(2), (4,), "holds no numbers yet"),
    "meta": (lambda: nn.Linear(4, 2, device="meta"), (4,), "holds no numbers yet"),
    "scripted": (lambda: scripted(nn.Linear(4, 2)), (4,), "scripted module"),
    "in a dict": (lambda: nets.Lambda(lambda x: {"logits": x}), (4,), "does not give its output alone"),
    "shape": (lambda: nn.Linear(4, 2), (5,), "cannot be evaluated"),
    "no shape": (lambda: nn.Linear(4, 2), (0,), "input_shape"),
    "control flow": (Branching, (4,), "cannot be exported"),
    "two inputs": (Two, (4,), "takes several inputs"),
    "two outputs": (lambda: nets.Lambda(lambda x: (x, x)), (4,), "several outputs"),
    "batch": (Mixing, (4,), "mean cannot be described"),
    "softmax": (lambda: nn.Softmax(1), (4,), "softmax cannot be described"),
    "layer norm": (lambda: nn.LayerNorm(4), (4,), "layer_norm cannot be described"),
    "product": (lambda: nets.Lambda(lambda x: x * x.tanh()), (4,), "mul cannot be described"),
    "always dropping": (lambda: nets.Lambda(lambda x: F.dropout(x, 0.5)), (4,), "drops numbers at random in eval mode"),
    "infinite square": (lambda: nets.Lambda(lambda x: (x**2 + math.inf).sqrt()), (4,), "only the root of a sum"),
    "growing exponential": (lambda: nn.CELU(-1.0), (4,), "grows without bound"),
    "jumping softplus": (lambda: nn.Softplus(threshold=6.0), (4,), "jumps at its threshold"),
    "cut sigmoid": (lambda: nets.Lambda(lambda x: x * x.clamp(-9.0, 9.0).sigmoid()), (4,), "mul cannot be described"),
    "cut softsign": (lambda: nets.Lambda(lambda x: x / (1 + x.abs().clamp(max=1e3))), (4,), "div cannot be described"),
    "einsum of each number": (
        lambda: nets.Lambda(lambda x: torch.einsum("nc,c->nc", x, torch.ones(4).to(x.dtype))),
        (4,),
        "einsum cannot be",
    ),
    "einsum with itself": (lambda: nets.Lambda(lambda x: torch.einsum("nc,nd->ncd", x, x)), (4,), "einsum cannot be"),
    "cut maxima": (lambda: nets.Lambda(cut_maxima), (4,), "maximum cannot be described"),
    "half": (lambda: nets.Lambda(lambda x: x.half().float() + 9), (4,), "in steps"),
    "bits": (lambda: nets.Lambda(lambda x: x.view(torch.int32).view(torch.float32)), (4,), "bits of numbers"),
    "nothing": (nn.Identity, (4,), "gives back its input"),
    "no module": (lambda: torch.relu, (4,), "not a torch.nn.Module"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_saved_is_refused_and_leaves_no_file(name: str, target: Path) -> None:
    make, shape, said = REFUSED[name]
    net = make()
    if isinstance(net, nn.Module) and name != "in training":
        net.eval()
    with pytest.raises(LipscopeError, match=said):
        lipscope.save(net, target, input_shape=shape)
    assert list(target.parent.iterdir()) == []


def test_a_refusal_names_the_authors_line(target: Path) -> None:
    with pytest.raises(UsageError) as caught:
        lipscope.save(nets.Lambda(lambda x: F.softmax(x, dim=1)).eval(), target, input_shape=(4,))
    assert "nets.py, line" in caught.value.where
    assert "self.function(x)" in caught.value.where


def changed_pieces(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :2] = F.relu(x[:, :2])
    return x


def test_every_refusal_says_where(target: Path) -> None:
    with pytest.raises(UsageError) as caught:
        lipscope.save(nets.Lambda(changed_pieces).eval(), target, input_shape=(4,))
    assert "nets.py, line" in caught.value.where
    with pytest.raises(UsageError) as caught:
        lipscope.save(nn.Sequential(nn.ReLU(), nn.Softmax(1)).eval(), target, input_shape=(4,))
    assert caught.value.where == "module 1"
