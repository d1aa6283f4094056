"""Bounds, which are proved (or say why not), and estimates, which never are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Shape = tuple[int, ...]

NOT_YET = "not computed yet"
"""The reason of a bound that is still to come."""


@dataclass(frozen=True)
class Bound:
    """A bound on the Lipschitz constant of a layer or a model in the l2 norm.

    Args:
        value: the bound; ``inf`` when nothing is proved.
        method: how it was obtained, in words.
        proved: whether the value is a theorem about the stored numbers (in real arithmetic).
        direction: ``"upper"`` or ``"lower"``.
        precision: the arithmetic of the computation; ``"exact"`` where nothing was rounded.
        reason: why nothing is proved, when ``proved`` is false.
        rounded_outward: whether the rounding errors of that arithmetic were bounded and added on the safe side; false
            where there were none.
    """

    value: float
    method: str
    proved: bool = True
    direction: Literal["upper", "lower"] = "upper"
    precision: str = "float64"
    reason: str = ""
    rounded_outward: bool = True

    @staticmethod
    def exactly(value: float, method: str) -> Bound:
        """A bound that involves no rounding, such as the 1 of an isometry.

        >>> Bound.exactly(1.0, "isometry").arithmetic
        'exact'
        """
        return Bound(value, method, precision="exact", rounded_outward=False)

    @staticmethod
    def unproved(reason: str) -> Bound:
        """The bound of a layer that cannot prove one.

        >>> Bound.unproved("no rule for Softmax").proved
        False
        """
        return Bound(float("inf"), "none", proved=False, precision="", reason=reason, rounded_outward=False)

    @property
    def pending(self) -> bool:
        """Whether the layer is listed before its bound is computed."""
        return self.reason == NOT_YET

    @property
    def arithmetic(self) -> str:
        """Precision and rounding in words.

        >>> Bound(1.5, "by hand").arithmetic
        'float64, rounded outward'
        """
        return f"{self.precision}, rounded outward" if self.rounded_outward else self.precision

    @property
    def label(self) -> str:
        """What a table calls it: ``"proved upper bound"``, ``"proved lower bound"`` or ``"not proved"``."""
        return f"proved {self.direction} bound" if self.proved and math.isfinite(self.value) else "not proved"

    def to_json(self) -> dict[str, Any]:
        """The bound as in ``lipscope.inspect/1``; an unproved or infinite value is null."""
        value = self.value if self.proved and math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "label": self.label}


@dataclass(frozen=True)
class Estimate:
    """A measured number: close to the truth, proved on neither side.

    Args:
        value: the number.
        method: how it was measured, in words.
        iterations: matrix-vector rounds spent, where that makes sense.
        residual: the size of what is left unexplained (absolute), where it is known.
    """

    value: float
    method: str
    iterations: int | None = None
    residual: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The estimate as in ``lipscope.inspect/1``."""
        return {**asdict(self), "label": "estimate"}


def json_safe(value: Any) -> Any:
    """The same with null for numbers that are none: JSON knows no NaN and no infinity.

    >>> json_safe({"a": [1.0, math.inf], "b": "NaN"})
    {'a': [1.0, None], 'b': 'NaN'}
    """
    if isinstance(value, Mapping):
        return {key: json_safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def round_up(value: float) -> str:
    """At most ten decimals (ten digits from 1e15 on), never printing less than the value.

    >>> round_up(1.00000000031), round_up(1e300)
    ('1.0000000004', '1.000000001E+300')
    """
    return _rounded(value, "ROUND_CEILING")


def round_down(value: float) -> str:
    """At most ten decimals (ten digits from 1e15 on), never printing more than the value.

    >>> round_down(1.00000000039), round_down(0.1)
    ('1.0000000003', '0.1')
    """
    return _rounded(value, "ROUND_FLOOR")


def _rounded(value: float, direction: str) -> str:
    from decimal import Context, Decimal

    if value >= 1e15:
        return str(Context(prec=10, rounding=direction).create_decimal(value))
    rounded = Decimal(value).quantize(Decimal("1e-10"), rounding=direction)
    return f"{rounded:f}".rstrip("0").rstrip(".")
