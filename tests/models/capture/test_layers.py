"""Which layers ``lipscope.save`` finds in the spellings of their authors."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from lipscope.layers.householder import HouseHolder2
from tests.models.capture import nets
from tests.models.capture.saving import SHAPE, check, check_radii, kinds, saved


def turned(layer: HouseHolder2) -> HouseHolder2:
    """With angles of all kinds: inside, at the ends of and beyond what they are held to."""
    layer.theta0 = nn.Parameter(torch.tensor([0.3, 7.0]))
    layer.theta1 = nn.Parameter(torch.tensor([2.5, -1.0]))
    layer.theta2 = nn.Parameter(torch.tensor([1.2, 6.0]))
    return layer


def chosen(x: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, 1)
    larger = first > second
    return torch.cat([torch.where(larger, first, second), torch.where(larger, second, first)], 1)


SINGLE = {
    "conv zeros": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), ["conv2d"]),
    "conv circular": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), ["conv2d"]),
    "conv reflect": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), ["conv2d"]),
    "conv replicate": (lambda: nn.Conv2d(4, 4, (3, 1), padding=(2, 0), padding_mode="replicate"), ["conv2d"]),
    "conv same": (lambda: nn.Conv2d(4, 4, 4, padding="same"), ["conv2d"]),
    "conv groups, dilated": (lambda: nn.Conv2d(4, 8, 3, dilation=2, groups=2, bias=False), ["conv2d"]),
    "explicit pad": (lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(4, 2, 3)), ["conv2d"]),
    "pad alone": (lambda: nn.ReflectionPad2d(2), ["pad"]),
    "circular by hand": (lambda: nn.Sequential(nets.Lambda(nets.wrapped), nn.Conv2d(4, 4, 3)), ["conv2d"]),
    "replicate by hand": (lambda: nets.Lambda(lambda x: torch.cat([x[..., :1], x[..., :1], x], 3)), ["pad"]),
    "transposed": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1), ["conv_transpose2d"]),
    "batch norm": (lambda: nets.trained(nn.BatchNorm2d(4), SHAPE), ["batch_norm"]),
    "prelu": (lambda: nn.PReLU(4), ["prelu"]),
    "relu6": (nn.ReLU6, ["clamp"]),
    "relu in place": (lambda: nn.ReLU(inplace=True), ["relu"]),
    "steps in place": (
        lambda: nets.Lambda(lambda x: (x + 0).mul_(2).neg_().clamp_min_(0).sub_(1).tanh_()),
        ["scale_shift", "relu", "scale_shift", "tanh"],
    ),
    "swish in place": (lambda: nets.Lambda(lambda x: (1 * x).mul_(x.sigmoid())), ["silu"]),
    "leaky": (lambda: nn.LeakyReLU(0.2), ["leaky_relu"]),
    "hardtanh": (lambda: nn.Hardtanh(-0.5, 2.0), ["clamp"]),
    "sigmoid": (nn.Sigmoid, ["sigmoid"]),
    "log sigmoid": (nn.LogSigmoid, ["scale_shift", "softplus", "scale_shift"]),
    "hard sigmoid": (nn.Hardsigmoid, ["normalize", "clamp"]),
    "tanh": (nn.Tanh, ["tanh"]),
    "softplus": (lambda: nn.Softplus(2.0), ["softplus"]),
    "elu": (lambda: nn.ELU(0.7), ["elu"]),
    "selu": (nn.SELU, ["elu"]),
    "celu": (lambda: nn.CELU(1.5), ["elu"]),
    "gelu": (nn.GELU, ["gelu"]),
    "gelu tanh": (lambda: nn.GELU(approximate="tanh"), ["gelu"]),
    "silu": (nn.SiLU, ["silu"]),
    "hardswish": (nn.Hardswish, ["hardswish"]),
    "softsign": (nn.Softsign, ["softsign"]),
    "swish by hand": (lambda: nets.Lambda(lambda x: x * torch.sigmoid(x)), ["silu"]),
    "abs": (lambda: nets.Lambda(torch.abs), ["absolute"]),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), ["max_pool"]),
    "average pool": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), ["average_pool"]),
    "l2 pool": (lambda: nn.LPPool2d(2, 2), ["l2_pool"]),
    "adaptive average": (lambda: nn.AdaptiveAvgPool2d((2, 5)), ["adaptive_average_pool"]),
    "adaptive max": (lambda: nn.AdaptiveMaxPool2d(3), ["adaptive_max_pool"]),
    "mean": (lambda: nets.Lambda(lambda x: x.mean(dim=(2, 3))), ["global_average_pool", "flatten"]),
    "max": (lambda: nets.Lambda(lambda x: x.flatten(2).max(-1)[0]), ["reshape", "adaptive_max_pool", "flatten"]),
    "matrix on the left": (
        lambda: nets.Lambda(lambda x: torch.arange(12.0).reshape(2, 6).to(x.dtype) / 9 @ x),
        ["permute", "linear", "permute"],
    ),
    "matrices of a batch of one": (
        lambda: nets.Lambda(lambda x: torch.ones(1, 1, 2, 6).to(x) / 9 @ x @ torch.ones(1, 6, 3).to(x)),
        ["permute", "linear", "permute", "linear"],
    ),
    "tensordot": (
        lambda: nets.Lambda(
            lambda x: torch.tensordot(x, torch.arange(72.0).reshape(6, 4, 3).to(x) / 99, ([2, 1], [0, 1]))
        ),
        ["permute", "reshape", "linear"],
    ),
    "relu by maximum": (
        lambda: nets.Lambda(lambda x: torch.max(x, torch.zeros(())).minimum(torch.full((1,), 0.7))),
        ["relu", "clamp"],
    ),
    "1x1 convolution as einsum": (
        lambda: nets.Lambda(
            lambda x: torch.einsum("oc,nchw->nohw", torch.arange(12.0).reshape(3, 4).to(x.dtype) / 9, x)
        ),
        ["permute", "linear", "permute"],
    ),
    "einsum over several axes": (
        lambda: nets.Lambda(lambda x: torch.einsum("nchw,hckd->nkwd", x, torch.ones(6, 4, 2, 3).to(x.dtype) / 9)),
        ["permute", "reshape", "linear", "reshape", "permute"],
    ),
    "mean of tokens": (
        lambda: nets.Lambda(lambda x: torch.relu(x.flatten(2).transpose(1, 2)).mean(1)),
        ["reshape", "permute", "relu", "permute", "reshape", "global_average_pool", "flatten"],
    ),
    "sum of channels": (
        lambda: nets.Lambda(lambda x: x.sum(1, keepdim=True)),
        ["permute", "reshape", "global_average_pool", "scale_shift", "reshape"],
    ),
    "maxout": (
        lambda: nets.Lambda(lambda x: x.unflatten(1, (2, 2)).amax(2)),
        ["reshape", "permute", "reshape", "adaptive_max_pool", "reshape"],
    ),
    "norm": (lambda: nets.Lambda(lambda x: x.norm(dim=(2, 3))), ["l2_pool", "flatten"]),
    "sum": (lambda: nets.Lambda(lambda x: x.sum((-2, -1))), ["global_average_pool", "scale_shift", "flatten"]),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), ["pixel_shuffle"]),
    "pixel unshuffle": (lambda: nn.PixelUnshuffle(3), ["pixel_unshuffle"]),
    "channel shuffle": (lambda: nn.ChannelShuffle(2), ["channel_shuffle"]),
    "permute": (lambda: nets.Lambda(lambda x: x.permute(0, 2, 3, 1)), ["permute"]),
    "transpose": (lambda: nets.Lambda(lambda x: x.transpose(-1, 1)), ["permute"]),
    "reshape": (lambda: nets.Lambda(lambda x: x.reshape(len(x), 8, 18)), ["reshape"]),
    "slice": (lambda: nets.Lambda(lambda x: x[:, 1:3, ::2]), ["slice", "slice"]),
    "flip and roll": (lambda: nets.Lambda(lambda x: x.flip(3).roll(1, 2)), ["flip", "roll"]),
    "channels named": (
        lambda: nets.Lambda(lambda x: x[:, [2, 0, 2]].index_select(3, torch.tensor([1, 0]))),
        ["take"] * 2,
    ),
    "joined with nothing": (
        lambda: nets.Lambda(lambda x: torch.cat([torch.cat([x[:, :1], x[:, 1:]], 1)], 2).relu()),
        ["relu"],
    ),
    "repeated": (lambda: nets.Lambda(lambda x: x.repeat(1, 2, 1, 1).repeat_interleave(2, 3)), ["take"] * 2),
    "strided slices joined": (
        lambda: nets.Lambda(lambda x: torch.concat([x[:, i::2] for i in range(2)], dim=1)),
        ["take"],
    ),
    "a column for all": (lambda: nets.Lambda(lambda x: x + x[..., :1]), ["block", "slice", "take", "sum"]),
    "centred": (lambda: nets.Lambda(lambda x: x - x.mean((2, 3), keepdim=True)), ["centering"]),
    "centred, another way": (
        lambda: nets.Lambda(lambda x: (-x.sum(1, keepdim=True) / 4).expand_as(x) + x),
        ["centering"],
    ),
    "soft absolute value": (
        lambda: nets.Lambda(lambda x: 0.5 * (torch.sqrt(1 + (x / 0.5) ** 2) - 1)),
        ["normalize", "reshape", "permute", "reshape", "pad", "l2_pool", "reshape", "scale_shift"],
    ),
    "length of two branches": (
        lambda: nets.Lambda(lambda x: (x * x / 2 + 0.25 * x.tanh().square() + 0.01) ** 0.5),
        [
            "block",
            "tanh",
            "scale_shift",
            "scale_shift",
            "concatenation",
            "reshape",
            "permute",
            "reshape",
            "pad",
            "l2_pool",
            "reshape",
        ],
    ),
    "concatenated relu": (
        lambda: nets.Lambda(lambda x: torch.cat([torch.relu(x), torch.relu(-x)], 1)),
        ["pad", "max_min", "scale_shift"],
    ),
    "max min of columns": (
        lambda: nets.Lambda(
            lambda x: torch.cat([torch.maximum(x[..., ::2], x[..., 1::2]), torch.minimum(x[..., ::2], x[..., 1::2])], 3)
        ),
        ["permute", "max_min", "channel_shuffle", "permute"],
    ),
    "max min by where": (lambda: nets.Lambda(chosen), ["max_min"]),
    "relu by where": (lambda: nets.Lambda(lambda x: torch.where(x > 0, x, torch.zeros_like(x))), ["relu"]),
    "leaky by where": (lambda: nets.Lambda(lambda x: torch.where(x < 0, 0.25 * x, x)), ["leaky_relu"]),
    "abs by maximum": (lambda: nets.Lambda(lambda x: torch.maximum(x, -x)), ["absolute"]),
    "fixed values as many as the images": (
        lambda: nets.Lambda(lambda x: torch.relu(x) + torch.arange(6.0).expand_as(x) + torch.ones_like(x)),
        ["relu", "scale_shift"],
    ),
    "spelled out by torch": (
        lambda: nets.Lambda(lambda x: x.rot90(1, (2, 3)).tile(1, 2, 1, 1)),
        ["flip", "permute", "take"],
    ),
    "other names": (
        lambda: nets.Lambda(lambda x: torch.subtract(x.clip(-1, 2), 1).multiply(3).swapaxes(2, 3)),
        ["clamp", "scale_shift", "permute"],
    ),
    "upsample": (lambda: nn.Upsample(scale_factor=2), ["nearest_upsample"]),
    "named like a dropout": (lambda: nn.Sequential(OrderedDict(dropout=nn.Conv2d(4, 4, 1))), ["conv2d"]),
    "between a value and its mean": (
        lambda: nets.Lambda(lambda x: torch.lerp(x, x.mean(1, keepdim=True), 0.25)),
        ["block", "permute", "reshape", "global_average_pool", "reshape", "take", "sum"],
    ),
    "dropout": (lambda: nn.Sequential(nn.Dropout(), nn.Identity(), nn.ReLU()), ["relu"]),
    "scale and shift": (lambda: nets.Lambda(lambda x: torch.relu(x) * 3 - 1), ["relu", "scale_shift"]),
    "normalisation": (lambda: nets.Lambda(lambda x: torch.relu((x - 0.5) / 0.25)), ["normalize", "relu"]),
    "cayley by fft": (lambda: nets.Cayley(4, 4, 3), ["circular", "scale_shift"]),
    "soc": (lambda: nets.Skew(4), ["soc", "scale_shift"]),
    "sll": (lambda: nets.Potential(4, 6), ["potential_step"]),
    "sll with a larger step": (lambda: nets.Potential(4, 6, 3.0), ["potential_step"]),
    "householder": (lambda: nets.Householder(4), ["householder"]),
    "householder of order 2": (lambda: turned(HouseHolder2(4)), ["householder"]),
    "householder by clamp": (lambda: nets.Mirrors(4), ["householder"]),
    "max min by rank": (
        lambda: nets.Lambda(
            lambda x: torch.cat([x.unflatten(1, (-1, 2)).max(2)[0], x.unflatten(1, (-1, 2)).amin(2)], 1)
        ),
        ["max_min", "channel_shuffle"],
    ),
    "max min of halves, interleaved": (
        lambda: nets.Lambda(
            lambda x: torch.stack([torch.max(*x.chunk(2, 1)), torch.min(*x.chunk(2, 1))], 2).flatten(1, 2)
        ),
        ["max_min", "channel_shuffle"],
    ),
    "group sort": (lambda: nets.Lambda(lambda x: x.sort(dim=1, descending=True).values), ["group_sort"]),
    "residual": (lambda: nets.Halved(4), ["block", "scale_shift", "conv2d", "silu", "scale_shift", "sum"]),
    "coupling": (
        lambda: nets.Coupling(4),
        ["block", "part", "part", "conv2d", "relu", "sum", "concatenation"],
    ),
    "dense": (
        lambda: nets.Dense(4),
        ["block", "conv2d", "relu", "concatenation", "block", "conv2d", "tanh", "concatenation"],
    ),
    "property": (lambda: nets.SelfNormalised(4), ["conv2d"]),
}


@pytest.mark.parametrize("name", SINGLE)
def test_each_layer_is_found_and_computes_the_same(name: str, target: Path) -> None:
    torch.manual_seed(3)
    make, wanted = SINGLE[name]
    net = make().eval()
    file = saved(net, target)
    assert [kind for kind in kinds(target) if kind != "flatten" or "flatten" in wanted] == wanted
    check(net, file)
    check_radii(net, target)


@pytest.mark.parametrize("name", nets.max_min_spellings())
def test_max_min_in_its_common_spellings(name: str, target: Path) -> None:
    net = nets.max_min_spellings()[name]
    file = saved(net, target, (4, 3, 3))
    assert kinds(target) == ["max_min"]
    assert file.lipschitz_bound().value == 1.0
    check(net, file, (4, 3, 3))
