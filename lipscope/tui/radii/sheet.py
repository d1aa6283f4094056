"""The Radii screen as data for export."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from lipscope.tui.panes import Sheet, Value
from lipscope.tui.radii.classes import class_rows
from lipscope.tui.results import unbroken, verdict_words
from lipscope.units import DEFAULT_EPS, format_eps

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

RADII_COLUMNS = (
    "class", "radius_above", "images", "correct", "certified", "not_broken_by_attack", "class_name",
    "mean_radius_of_correct",
)  # fmt: skip


def radii_sheet(certificates: Certificates, eps: Fraction, listed: Sequence[Fraction] = DEFAULT_EPS) -> Sheet:
    """All images at the radii of a list and at ``eps``, then every class at ``eps``; counts of images."""
    total, correct = len(certificates), int(certificates.correct.sum())
    mean = certificates.mean_correct_radius() if correct else None
    rows: list[tuple[Value, ...]] = []
    for radius in sorted({*listed, eps}):
        held, certified = unbroken(certificates, radius), certificates.certified_count(radius)
        rows.append(("all", format_eps(radius), total, correct, certified, held and held[0], None, mean))
    rows += [
        (row.label, format_eps(eps), row.images, row.correct, row.certified, None, row.name, row.mean_radius)
        for row in class_rows(certificates, eps)
    ]
    facts = {
        "standing": certificates.standing,
        "data": {
            "name": certificates.data_name,
            "split": certificates.data_split,
            "fingerprint": certificates.data_fingerprint,
        },
        "results_are_about_model": certificates.model_sha256,
        "lipschitz_bound": certificates.lipschitz,
        "images_attacked": int(certificates.attacked.sum()),
        "average_certified_radius": certificates.average_certified_radius(),
    }
    word = verdict_words(certificates)[0]
    columns = tuple(word if name == "certified" else name for name in RADII_COLUMNS)
    return Sheet(columns, tuple(rows), facts)
