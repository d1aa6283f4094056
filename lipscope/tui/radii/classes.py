"""Radii class by class. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from lipscope.tui.images.choice import class_name
from lipscope.units import largest_not_above

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

WIDEST_CLASS = 10
"""Cells of a class's name."""


@dataclass(frozen=True)
class ClassRow:
    """The images of one class.

    Args:
        label: the class.
        name: of it; its number where it has none.
        images, correct, certified: how many there are, are classified correctly, and are certified beyond eps.
        mean_radius: over the correct images of the class, as `lipscope certify` prints it; None without one.
    """

    label: int
    name: str
    images: int
    correct: int
    certified: int
    mean_radius: float | None


def class_rows(certificates: Certificates, eps: Fraction) -> list[ClassRow]:
    """One row for every class that occurs, in their order."""
    labels, index = np.unique(certificates.label, return_inverse=True)
    correct = certificates.correct
    beyond = correct & (certificates.radius > largest_not_above(eps))
    images = np.bincount(index, minlength=len(labels))
    counts = [np.bincount(index, mask, minlength=len(labels)).astype(int).tolist() for mask in (correct, beyond)]
    sums = np.bincount(index, np.where(correct, certificates.radius, 0.0), minlength=len(labels)).tolist()
    return [
        ClassRow(
            label, class_name(certificates.classes, label, WIDEST_CLASS), n, right, sure, r / right if right else None
        )
        for label, n, right, sure, r in zip(labels.tolist(), images.tolist(), *counts, sums, strict=True)
    ]
