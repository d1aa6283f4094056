"""The Radii screen as data for export."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from lipscope.records.certificates import Certificates
from lipscope.tui.panes import Cells, Sheet
from lipscope.tui.radii.classes import class_rows
from lipscope.tui.results import sheet_facts, unbroken, verdict_words
from lipscope.units import DEFAULT_EPS, format_eps


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
