"""The summary of a certification: the object that ``lipscope certify --json`` prints and the results file keeps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from lipscope.results import Certificates
from lipscope.units import format_eps

SCHEMA = "lipscope.certify/1"


def summary(certificates: Certificates, model_path: str, eps: Sequence[Fraction]) -> dict[str, Any]:
    """Counts, rates and mean radii as ``lipscope.certify/1``."""
    n = len(certificates)
    clean = int(certificates.correct.sum())
    counts = {radius: certificates.certified_count(radius) for radius in eps}
    return {
        "schema": SCHEMA,
        "model": {
            "path": model_path,
            "sha256": certificates.model_sha256,
            "architecture": certificates.architecture,
        },
        "data": {
            "name": certificates.data_name,
            "split": certificates.data_split,
            "n": n,
            "fingerprint": certificates.data_fingerprint,
        },
        "lipschitz": {"value": certificates.lipschitz, "proved": True},
        "kind": certificates.kind,
        "clean": {"count": clean, "rate": clean / n},
        "certified": [{"eps": format_eps(radius), "count": k, "rate": k / n} for radius, k in counts.items()],
        "average_certified_radius": certificates.average_certified_radius(),
        "mean_radius_of_correct": certificates.mean_correct_radius(),
        "environment": dict(certificates.environment),
    }


def per_image(certificates: Certificates, logits: Tensor | None) -> list[dict[str, Any]]:
    """One object an image, with its logits where they are given."""
    rows: list[dict[str, Any]] = [
        {"index": int(i), "label": int(y), "predicted": int(p), "runner_up": int(r), "radius": float(radius)}
        for i, y, p, r, radius in zip(
            certificates.index,
            certificates.label,
            certificates.predicted,
            certificates.runner_up,
            certificates.radius,
            strict=True,
        )
    ]
    if logits is not None:
        for row, values in zip(rows, logits.tolist(), strict=True):
            row["logits"] = values
    return rows
