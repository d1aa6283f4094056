"""Radii class by class. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import class_name
from lipscope.tui.numerals import rate_text
from lipscope.tui.plots.bands import CERTIFIED, STYLES, band_bar
from lipscope.units import largest_not_above, radius_text

WIDEST_CLASS = 10
"""Cells of a class's name."""


@dataclass(frozen=True)
class ClassRow:
    """The images of one class."""

    label: int  # the class
    name: str  # of it; its number where it has none
    # images, correct, certified: how many there are, are classified correctly, and are certified beyond eps
    images: int
    correct: int
    certified: int
    mean_radius: float | None  # over the correct images of the class, as `lipscope certify` prints it; None without one


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


def class_line(row: ClassRow, width: int, sure: str = STYLES[CERTIFIED]) -> list[tuple[str, str]]:
    """Name, a bar of the three shares, what is certified and the mean radius of the right ones."""
    mean = "–" if row.mean_radius is None else radius_text(row.mean_radius)
    figures = f" {rate_text(row.certified, row.images):>7} {mean:>7}"
    bar = width - WIDEST_CLASS - len(figures) - 2
    shares = (row.certified, row.correct - row.certified, row.images - row.correct)
    drawn = band_bar(*shares, bar, sure) if bar >= 6 else [("", "")]
    return [(f"{row.name:{WIDEST_CLASS}} ", ""), *drawn, (figures, "")]


def class_heading(width: int, word: str) -> str:
    """The names of the columns; ``word`` is what the first share is called."""
    short = "cert." if word == "certified" else word
    figures = f" {short:>7} {'mean r':>7}"
    bar = max(width - WIDEST_CLASS - len(figures) - 2, 0)
    return f"{'class':{WIDEST_CLASS}} {f'█ {short} ▒ not ░ wrong'[:bar]:{bar}}{figures}"
