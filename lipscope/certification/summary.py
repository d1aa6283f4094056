"""The summary of a certification: the object that ``lipscope certify --json`` prints and the results file keeps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lipscope.certification.intervals import LEVEL, METHOD, clopper_pearson
from lipscope.records.certificates import Certificates
from lipscope.units import format_eps

if TYPE_CHECKING:
    from lipscope.certification.budget import Budget

SCHEMA = "lipscope.certify/2"

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CURVE_POINTS = 200


def summary(
    certificates: Certificates, model_path: str, eps: Sequence[Fraction], budget: Budget | None = None
) -> dict[str, Any]:
    """Counts, rates, intervals and radii as ``lipscope.certify/2``.

    Without labels, everything that needs them is null. Counts and radii are as good as ``standing`` says; the
    intervals are estimates about further images drawn like these. Nothing that was read from a file is called proved.
    """
    n, labelled = len(certificates), certificates.labelled
    every = np.ones(n, np.bool_)
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
            "labelled": labelled,
        },
        # Estimates have the proved constant too; what a file says of it was not proved by this process.
        "lipschitz": {"value": certificates.lipschitz, "proved": certificates.standing in ("proved", "estimate")},
        "standing": certificates.standing,
        "reason": certificates.reason or None,
        "proved": certificates.standing == "proved",
        "evaluation": certificates.environment.get("dtype"),
        "clean": _share(int(certificates.correct.sum()), n) if labelled else None,
        "certified": _by_eps(certificates, certificates.correct, eps) if labelled else None,
        "unchanging": _by_eps(certificates, every, eps),
        "interval": {"method": METHOD, "level": LEVEL, "kind": "estimate"},
        "average_certified_radius": certificates.average_certified_radius() if labelled else None,
        "mean_radius_of_correct": certificates.mean_correct_radius() if labelled else None,
        "mean_radius": float(certificates.radius.mean()),
        "radius_quantiles": _quantiles(certificates),
        "classes": _classes(certificates, eps),
        "runner_up": {"columns": ["predicted", "runner_up", "count"], "pairs": runner_up_pairs(certificates)},
        "curve": _curve(certificates) if labelled else None,
        "budget": None if budget is None else budget.to_json(),
        "environment": dict(certificates.environment),
    }


def runner_up_pairs(certificates: Certificates) -> list[list[int]]:
    """[predicted, runner-up, count] of every pair of classes that decides a radius, the most frequent first."""
    pairs = np.stack([certificates.predicted, certificates.runner_up], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [[int(first), int(second), int(n)] for (first, second), n in zip(found[order], counts[order], strict=True)]


def class_count(certificates: Certificates) -> int:
    """How many classes there are: the names', else up to the largest that occurs."""
    occurring = (certificates.label, certificates.predicted, certificates.runner_up)
    return max(len(certificates.classes), *(1 + int(numbers.max()) for numbers in occurring))


def class_name(certificates: Certificates, number: int) -> str:
    """The name of a class; its number where no name is known."""
    return certificates.classes[number] if number < len(certificates.classes) else str(number)


def _share(count: int, n: int) -> dict[str, Any]:
    return {"count": count, "rate": count / n, "interval": list(clopper_pearson(count, n))}


def _by_eps(certificates: Certificates, chosen: NDArray[np.bool_], eps: Sequence[Fraction]) -> list[dict[str, Any]]:
    """For each eps, how many of the chosen images have a larger radius, strictly, out of all images."""
    counts = [int(np.count_nonzero(chosen & certificates.beyond(radius))) for radius in eps]
    return [
        {"eps": format_eps(radius), **_share(count, len(certificates))}
        for radius, count in zip(eps, counts, strict=True)
    ]


def _quantiles(certificates: Certificates) -> dict[str, Any]:
    """Radii of images: that of share q is the smallest which at least the share q of the images do not exceed."""
    chosen = certificates.correct if certificates.labelled else np.ones(len(certificates), np.bool_)
    radii = certificates.radius[chosen]
    values = np.quantile(radii, QUANTILES, method="inverted_cdf").tolist() if len(radii) else []
    return {
        "of": "correctly classified images" if certificates.labelled else "all images",
        "values": [{"quantile": q, "radius": radius} for q, radius in zip(QUANTILES, values, strict=False)],
    }


def _classes(certificates: Certificates, eps: Sequence[Fraction]) -> list[dict[str, Any]] | None:
    """One object per class of labels; None without labels."""
    if not certificates.labelled:
        return None
    rows: list[dict[str, Any]] = []
    certified = [(format_eps(radius), certificates.certified(radius)) for radius in eps]
    for number in range(class_count(certificates)):
        own = certificates.label == number
        n, radii = int(own.sum()), certificates.radius[own & certificates.correct]
        rows.append(
            {
                "class": number,
                "name": class_name(certificates, number),
                "n": n,
                "clean": {"count": len(radii), "rate": len(radii) / n if n else None},
                "certified": [
                    {"eps": name, "count": count, "rate": count / n if n else None}
                    for name, count in ((name, int((own & beyond).sum())) for name, beyond in certified)
                ],
                "average_certified_radius": float(radii.sum()) / n if n else None,
                "mean_radius_of_correct": float(radii.mean()) if len(radii) else None,
            }
        )
    return rows


def _curve(certificates: Certificates) -> dict[str, Any]:
    """Certified accuracy at 200 radii from 0 to the largest: the share of images with a larger radius, strictly."""
    radii, rates = certificates.curve(CURVE_POINTS)
    counts = np.rint(rates * len(certificates)).astype(np.int64)
    return {"radius": radii.tolist(), "count": counts.tolist(), "rate": rates.tolist()}
