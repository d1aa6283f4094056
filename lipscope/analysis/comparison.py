"""Two models held against each other: layer by layer, and image by image where both are about the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipscope.records import LayerReport
from lipscope.records.certificates import Certificates
from lipscope.units import format_eps, largest_not_above

SCHEMA = "lipscope.compare/1"


@dataclass(frozen=True)
class LayerPair:
    """The layers of one name.

    Args:
        name: dotted.
        first, second: its reports in the two models; None where it is not there, never both.
    """

    name: str
    first: LayerReport | None
    second: LayerReport | None


@dataclass(frozen=True)
class Quantity:
    """A number that both models have for a layer.

    Args:
        key: its identifier, also in JSON.
        label: its heading; says whether it is a bound or an estimate.
        of: the number in a report; None where it is not known.
    """

    key: str
    label: str
    of: Callable[[LayerReport], float | None]

    def difference(self, pair: LayerPair) -> float | None:
        """Second minus first; None where one of them is not known or not finite."""
        first = self.of(pair.first) if pair.first is not None else None
        second = self.of(pair.second) if pair.second is not None else None
        if first is None or second is None or not (math.isfinite(first) and math.isfinite(second)):
            return None
        return second - first


def _bound(report: LayerReport) -> float | None:
    return report.bound.value if report.bound.proved and math.isfinite(report.bound.value) else None


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("bound", "proved bound", _bound),
    Quantity("sigma_max", "est. σ max", lambda report: report.sigma_max.value if report.sigma_max else None),
    Quantity("sigma_min", "est. σ min", lambda report: report.sigma_min.value if report.sigma_min else None),
    Quantity("gradient_norm", "est. gradient", lambda one: one.gradient_norm.mean if one.gradient_norm else None),
)
"""What is compared of every layer."""


def aligned(first: Sequence[LayerReport], second: Sequence[LayerReport]) -> tuple[LayerPair, ...]:
    """The layers of both models by name: in the first one's order, what only the second has behind its predecessor.

    >>> from lipscope.records import Bound
    >>> def layers(*names): return [LayerReport(name, "", None, None, Bound(1.0, "")) for name in names]
    >>> [pair.name for pair in aligned(layers("a", "c"), layers("a", "b", "c"))]
    ['a', 'b', 'c']
    """
    mine, theirs = ({report.name: report for report in reports} for reports in (first, second))
    following: dict[str | None, list[str]] = {}
    anchor: str | None = None
    for name in theirs:
        if name in mine:
            anchor = name
        else:
            following.setdefault(anchor, []).append(name)
    names = list(following.get(None, []))
    for name in mine:
        names += [name, *following.get(name, [])]
    return tuple(LayerPair(name, mine.get(name), theirs.get(name)) for name in names)


def objection(first: Certificates, second: Certificates) -> str:
    """Why two results cannot be compared image by image; empty when they can."""
    for field, what in (("data_name", "data sets"), ("data_split", "splits")):
        a, b = getattr(first, field), getattr(second, field)
        if a != b:
            return f"they are about different {what}: A {a[:60]!r}, B {b[:60]!r}"
    if first.data_fingerprint != second.data_fingerprint:
        return "they are about different images of one name: their fingerprints differ"
    if len(first) != len(second) or not np.array_equal(np.sort(first.index), np.sort(second.index)):
        return f"they are about different images: A {len(first):,}, B {len(second):,} of other numbers"
    if len(np.unique(first.index)) != len(first):
        return "an image is listed twice"
    if not np.array_equal(first.label[np.argsort(first.index)], second.label[np.argsort(second.index)]):
        return "the same images have different labels"
    return ""


@dataclass(frozen=True, eq=False)
class Shared:
    """The images that both results are about, in the order of their numbers.

    Args:
        index, label: (n,) of the images.
        first, second: (n,) float64, the certified radius where the prediction is right, else -1.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]

    def counts(self, eps: Fraction) -> Counts:
        """How many images each model certifies beyond a radius."""
        a, b = self._beyond(eps)
        both, only_a, only_b = (int(np.count_nonzero(mask)) for mask in (a & b, a & ~b, b & ~a))
        return Counts(both, only_a, only_b, len(self.index) - both - only_a - only_b)

    def only(self, eps: Fraction, which: str) -> NDArray[np.int64]:
        """The rows that one model alone certifies beyond a radius, the largest difference of radii first.

        Args:
            eps: the radius.
            which: ``"first"``, ``"second"``, or ``"either"``.
        """
        a, b = self._beyond(eps)
        rows = np.flatnonzero({"first": a & ~b, "second": b & ~a, "either": a ^ b}[which])
        apart = np.abs(self.first[rows] - self.second[rows])
        chosen: NDArray[np.int64] = rows[np.argsort(-apart, kind="stable")].astype(np.int64)
        return chosen

    def _beyond(self, eps: Fraction) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        limit = largest_not_above(eps)
        return np.greater(self.first, limit), np.greater(self.second, limit)


@dataclass(frozen=True)
class Counts:
    """How many images are certified by both models, by one of them alone, by none."""

    both: int
    only_first: int
    only_second: int
    neither: int


def shared(first: Certificates, second: Certificates) -> Shared:
    """The images that two results have in common.

    Raises:
        ValueError: they cannot be compared; see :func:`objection`.
    """
    if why := objection(first, second):
        raise ValueError(why)
    a, b = np.argsort(first.index), np.argsort(second.index)
    return Shared(
        first.index[a], first.label[a],
        np.where(first.correct, first.radius, -1.0)[a], np.where(second.correct, second.radius, -1.0)[b],
    )  # fmt: skip


def layers_json(pairs: Sequence[LayerPair]) -> list[dict[str, Any]]:
    """One object per layer: both reports' numbers, and second minus first."""
    return [
        {
            "name": pair.name,
            "a": pair.first.to_json() if pair.first is not None else None,
            "b": pair.second.to_json() if pair.second is not None else None,
            "b_minus_a": {quantity.key: quantity.difference(pair) for quantity in QUANTITIES},
        }
        for pair in pairs
    ]


def images_json(common: Shared, radii: Sequence[Fraction]) -> list[dict[str, Any]]:
    """One object per radius: the counts, and the numbers of the images that one model alone certifies."""
    found = []
    for eps in radii:
        counts = common.counts(eps)
        only = {which: common.index[common.only(eps, which)] for which in ("first", "second")}
        found.append(
            {
                "eps": format_eps(eps), "both": counts.both, "only_a": counts.only_first,
                "only_b": counts.only_second, "neither": counts.neither,
                "images_only_a": np.sort(only["first"]).tolist(), "images_only_b": np.sort(only["second"]).tolist(),
            }
        )  # fmt: skip
    return found
