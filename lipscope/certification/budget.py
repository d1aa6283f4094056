"""The error budget of a network: a proved bound on how far its floating-point logits lie from the exact ones.

x^ is what floating point computes, x the exact result, layer by layer from the same image. With E >= ||x^ - x|| before
a layer f with Lipschitz constant L, and ``error`` its local rounding error on inputs as long as x^ can be,

    ||fl(f)(x^) - f(x)|| <= ||fl(f)(x^) - f(x^)|| + ||f(x^) - f(x)|| <= error + L E,

so local errors add up, and layers that do not expand do not multiply them (docs/soundness.md, theorem 2).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lipscope.bounds.rounding import Arithmetic, outward, printed_up
from lipscope.layers.contract import Rounding, check_provable
from lipscope.models.composition import LipschitzNet
from lipscope.records import round_up

TIMES_PAID = 2
"""The budget is taken from a margin once for the image, and once for whatever image near it is evaluated."""


@dataclass(frozen=True)
class LayerBudget:
    """The share of one layer.

    Args:
        name, kind: which layer.
        lipschitz: L, proved.
        norm: a bound on the l2 norm of what it is given, on all [0, 1] images.
        error: its own rounding error, in the l2 norm.
        total: the error after it, L (total before it) + error.
    """

    name: str
    kind: str
    lipschitz: float
    norm: float
    error: float
    total: float


@dataclass(frozen=True)
class Budget:
    """The rounding error of a whole evaluation, proved for every image in [0, 1] pixel space.

    Args:
        arithmetic, unit_roundoff: what is evaluated in.
        layers: normalisation and body, in forward order.
        features: the error of the features, in the l2 norm.
        logit: of any single logit.
        margin: of any difference of two logits, before it is computed.
    """

    arithmetic: str
    unit_roundoff: float
    layers: tuple[LayerBudget, ...]
    features: float
    logit: float
    margin: float

    def to_json(self) -> dict[str, Any]:
        """The field ``budget`` of ``lipscope.certify/1``; a number that is not proved is null."""
        layers = [{key: _finite(value) for key, value in asdict(layer).items()} for layer in self.layers]
        totals = {key: _finite(getattr(self, key)) for key in ("features", "logit", "margin")}
        return {
            "arithmetic": self.arithmetic,
            "unit_roundoff": self.unit_roundoff,
            "layers": layers,
            **totals,
            "times_paid": TIMES_PAID,
            "proved": math.isfinite(self.margin),
        }

    def table(self) -> list[str]:
        r"""A line per layer, and the totals, for a person: every number is a proved upper bound, rounded up.

        >>> share = LayerBudget("conv", "SOC 3x3", 1.0, 112.0, 7.3e-10, 7.31e-10)
        >>> print("\n".join(Budget("float64", 2.0**-53, (share,), 7.31e-10, 1e-9, 2e-9).table()))
        layer  kind     L <=  norm <=  own error <=  error after it <=
        conv   SOC 3x3     1      112     7.300E-10          7.310E-10
        error of a logit <= 1.001E-9, of a margin <= 2.001E-9, taken from each margin 2 times
        """
        columns = ("layer", "kind", "L <=", "norm <=", "own error <=", "error after it <=")
        rows = [
            (part.name, part.kind, round_up(part.lipschitz), *map(_printed, (part.norm, part.error, part.total)))
            for part in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        lines = []
        for row in (columns, *rows):
            texts = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
            texts += [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(texts).rstrip())
        totals = f"error of a logit <= {_printed(self.logit)}, of a margin <= {_printed(self.margin)}"
        return [*lines, f"{totals}, taken from each margin {TIMES_PAID} times"]


def pixel_error(norm: float, arithmetic: Arithmetic) -> float:
    """A bound on the l2 error of the pixels byte / 255 of an image whose exact norm is at most this.

    gamma_2: a GPU divides by 255 as it multiplies by 1/255, which is rounded itself.
    """
    return outward(arithmetic.gamma(2) * norm + arithmetic.smallest * norm)


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return None if value == math.inf else value


def _printed(value: float) -> str:
    return printed_up(value) if math.isfinite(value) else "not proved"


def error_budget(net: LipschitzNet, arithmetic: Arithmetic) -> tuple[Budget, Tensor]:
    """The budget of a network, and the same for every pair of logits.

    Returns:
        the budget, and (classes, classes) float64: e_li >= |(f^_l - f^_i) - (f_l - f_i)| on every image in [0, 1],
        given as numbers of the arithmetic or as whole pixels that are divided by 255; ``inf`` where nothing is proved.

    Raises:
        UsageError: the network is in training mode.
        CheckFailedError: the arithmetic of this process is not IEEE's.
    """
    check_provable((name, layer) for name, layer, _ in net.layers())
    norm = outward(math.sqrt(math.prod(net.input_shape)))
    total = pixel_error(norm, arithmetic)
    shares: list[LayerBudget] = []
    for name, layer, shape in net.layers():
        lipschitz = layer.bound(shape).value
        if layer is net.head:
            break
        rounding = layer.rounding(shape, norm, arithmetic)
        if layer is net.normalize:
            largest = outward(net.normalize.pixel_norm(shape) + rounding.error)
            rounding = Rounding(rounding.error, min(rounding.norm, largest))
        # What ``outward`` adds also covers numbers so small that a comparison takes them for zero.
        total = outward(lipschitz * total + rounding.error)
        shares.append(LayerBudget(name, layer.kind, lipschitz, norm, rounding.error, total))
        norm = rounding.norm
    own = net.head.logit_rounding(math.prod(shape), norm, arithmetic)
    pairs = net.head.pair_bounds() * total + (own.unsqueeze(0) + own.unsqueeze(1))
    # inf * 0 on the diagonal, or where two rows are equal: nothing is proved.
    pairs = torch.nan_to_num(pairs * (1 + 2.0**-39), nan=math.inf, posinf=math.inf)
    logit = outward(lipschitz * total + float(own.max()))
    apart = ~torch.eye(len(own), dtype=torch.bool)
    budget = Budget(
        arithmetic.name, arithmetic.unit_roundoff, tuple(shares), total, logit, outward(float(pairs[apart].max()))
    )
    return budget, pairs
