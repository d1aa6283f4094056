"""Layers that others have implemented too: with the same weights, the same outputs to 1e-5."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lipscope.layers.aoc import AOCConv2d
from lipscope.layers.aol import AOLConv2d
from lipscope.layers.orthogonal import FamilyConv2d
from lipscope.layers.sll import SLLConv2d
from lipscope.layers.soc import SOCConv2d
from tests.layers.contract import noise

pytest.importorskip("orthogonium")


def agrees(ours: FamilyConv2d, theirs: nn.Module, kernel: torch.Tensor, bias: torch.Tensor, side: int = 8) -> None:
    """Whether both compute the same on a batch of images, ours with this kernel and bias."""
    with torch.no_grad():
        ours.kernel.copy_(kernel)
        ours.bias.copy_(bias.flatten())
        x = noise(4, ours.in_channels, side, side, dtype=torch.float32)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "stride", "groups", "dilation"),
    [
        (4, 4, 3, 1, 1, 1), (4, 8, 3, 1, 1, 1), (4, 8, 3, 2, 1, 1), (4, 8, 4, 2, 1, 1), (4, 16, 2, 2, 1, 1),
        (8, 8, 3, 2, 2, 1), (4, 4, 3, 1, 1, 2),
    ],
)  # fmt: skip
def test_aoc(inputs: int, outputs: int, size: int, stride: int, groups: int, dilation: int) -> None:
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d

    torch.manual_seed(0)
    padding = (dilation * (size - 1) + 2 - stride) // 2
    theirs = AdaptiveOrthoConv2d(inputs, outputs, size, stride, padding, dilation, groups).eval()
    ours = AOCConv2d(inputs, outputs, size, stride, 8, groups, dilation)
    agrees(ours, theirs, theirs.weight, theirs.bias)
    # Their kernel, orthogonal up to float32, is proved by our bound.
    assert ours.bound((inputs, 8, 8)).value == pytest.approx(1.0, abs=1e-4)


def test_sll_from_the_free_kernel() -> None:
    from orthogonium.layers.conv.SLL import SDPBasedLipschitzResBlock

    torch.manual_seed(0)
    theirs = SDPBasedLipschitzResBlock(6, 1, 3)
    free = theirs.parametrizations.kernel.original.detach()
    ours = SLLConv2d(6, 6, 3, 1, 8)
    ours.make_trainable()
    agrees(ours, theirs, free, theirs.bias)
    ours.freeze()
    assert ours.bound((6, 8, 8)).value == 1


@pytest.mark.parametrize("outputs", [6, 3, 9])
def test_aol_from_the_free_kernel(outputs: int) -> None:
    from orthogonium.layers.conv.AOL.aol import AOLConv2D

    torch.manual_seed(0)
    theirs = AOLConv2D(6, outputs, 3, padding=1)
    free = theirs.parametrizations.weight.original.detach()
    ours = AOLConv2d(6, outputs, 3, 1, 8)
    ours.make_trainable()
    agrees(ours, theirs, free, theirs.bias)


def test_adaptive_soc_away_from_the_border() -> None:
    from orthogonium.layers.conv.adaptiveSOC.fast_skew_ortho_conv import FastSOC

    torch.manual_seed(0)
    theirs = FastSOC(4, 4, 3).eval()
    weights = theirs.parametrizations.weight
    kernel = weights[1](weights[0](weights.original)).detach()
    ours = SOCConv2d(4, 4, 3, terms=3).eval()
    with torch.no_grad():
        ours.kernel.copy_(kernel)
        ours.bias.copy_(theirs.bias)
        x = noise(2, 4, 16, 16, dtype=torch.float32)
        # Their one kernel of 7x7 taps sees three pixels at once; ours sees zeros around the map at every step.
        expected = nn.functional.conv2d(x, theirs.weight, theirs.bias, padding=3)
        inside = (..., slice(3, -3), slice(3, -3))
        torch.testing.assert_close(ours(x)[inside], expected[inside], rtol=1e-5, atol=1e-5)
