"""Radii class by class, and as data for export. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import class_name
from lipscope.tui.numerals import rate_text
from lipscope.tui.panes import Cells, Sheet
from lipscope.tui.plots.bands import CERTIFIED, STYLES, band_bar
from lipscope.tui.results import sheet_facts, unbroken, verdict_words
from lipscope.units import DEFAULT_EPS, format_eps, largest_not_above, radius_text

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


def radii_sheet(certificates: Certificates, eps: Fraction, listed: Sequence[Fraction] = DEFAULT_EPS) -> Sheet:
    """All images at the radii of a list and at ``eps``, then every class at ``eps``; counts of images."""
    total, correct, word = len(certificates), int(certificates.correct.sum()), verdict_words(certificates)[0]
    mean = certificates.mean_correct_radius() if correct else None
    rows: list[Cells] = []
    for radius in sorted({*listed, eps}):
        held = unbroken(certificates, radius)
        rows.append({
            "class": "all", "radius_above": format_eps(radius), "images": total, "correct": correct,
            word: certificates.certified_count(radius), "not_broken_by_attack": held and held[0],
            "class_name": None, "mean_radius_of_correct": mean,
        })  # fmt: skip
    rows += [
        {"class": row.label, "radius_above": format_eps(eps), "images": row.images, "correct": row.correct,
         word: row.certified, "not_broken_by_attack": None, "class_name": row.name,
         "mean_radius_of_correct": row.mean_radius}
        for row in class_rows(certificates, eps)
    ]  # fmt: skip
    facts = {
        **sheet_facts(certificates),
        "results_are_about_model": certificates.model_sha256,
        "lipschitz_bound": certificates.lipschitz,
        "images_attacked": int(certificates.attacked.sum()),
        "average_certified_radius": certificates.average_certified_radius(),
    }
    return Sheet(rows, facts)
