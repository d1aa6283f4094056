"""What the attacks found, beside what is certified: the object that ``lipscope attack --json`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipscope.attacks.driver import Outcome, Settings
from lipscope.files.adversarials import Adversarials
from lipscope.files.results import OPTIONAL
from lipscope.records.certificates import Certificates
from lipscope.units import format_eps, largest_not_above

SCHEMA = "lipscope.attack/2"


def rows_of(certificates: Certificates, index: NDArray[np.int64]) -> Certificates:
    """The certificates of these record numbers, in this order.

    Raises:
        KeyError: one of them is not certified.
    """
    place = {int(number): row for row, number in enumerate(certificates.index)}
    rows = np.array([place[int(number)] for number in index], dtype=np.int64)
    names = ("index", "label", "predicted", "runner_up", "radius", "margin", *OPTIONAL)
    arrays = {name: getattr(certificates, name) for name in names}
    return replace(certificates, **{name: array[rows] for name, array in arrays.items() if array is not None})


def robust_count(certificates: Certificates, distance: NDArray[np.float64], eps: Fraction) -> int:
    """How many images are classified correctly and were not broken at a distance <= eps: an estimate from above."""
    return int(np.count_nonzero(certificates.correct & (distance > largest_not_above(eps))))


def report(
    certificates: Certificates,
    distance: NDArray[np.float64],
    run: Mapping[str, Any],
    model_path: str,
    eps: Sequence[Fraction],
    violated: Sequence[Mapping[str, Any]],
    violations: int,
) -> dict[str, Any]:
    """Certified and empirically robust accuracy of the attacked images, as ``lipscope.attack/2``.

    Args:
        certificates: of the attacked images.
        distance: (n,) of the attacked images.
        run: see :func:`run_record`.
        model_path: as it was given.
        eps: radii of the table.
        violated: one object per violation.
        violations: how many there are.
    """
    n, radius = len(certificates), certificates.radius
    found, rates = np.isfinite(distance), _rates(certificates, distance, eps)
    pairs = zip(rates["robust"], rates["certified"], strict=True)
    ratio = distance[found & (radius > 0)] / radius[found & (radius > 0)]
    return {
        "schema": SCHEMA,
        "model": {"path": model_path, "sha256": certificates.model_sha256, "architecture": certificates.architecture},
        "data": {
            "name": certificates.data_name,
            "split": certificates.data_split,
            "n": n,
            "fingerprint": certificates.data_fingerprint,
        },
        "lipschitz": {"value": certificates.lipschitz, "proved": certificates.standing == "proved"},
        "standing": certificates.standing,
        **rates,
        "gap": [_rate(upper["count"] - lower["count"], n, lower["eps"]) for upper, lower in pairs],
        "distance": {
            "found": int(found.sum()),
            "in_float32": run["in_float32"],
            "median": float(np.median(distance[found])) if found.any() else None,
            "median_over_radius": float(np.median(ratio)) if len(ratio) else None,
            "least_over_radius": float(ratio.min()) if len(ratio) else None,
        },
        "nearest": run["nearest"],
        "settings": run["settings"],
        "violations": violations,
        "violated": [dict(one) for one in violated],
        "environment": run["environment"],
    }


def attacked_rates(certificates: Certificates, eps: Sequence[Fraction]) -> dict[str, Any] | None:
    """What was certified of the attacked images, and what withstood the attacks (an estimate); None where none was."""
    if certificates.attack_distance is None or not certificates.labelled or not certificates.attacked.any():
        return None
    rows = certificates.attacked
    distance = certificates.attack_distance[rows]
    return {"n": len(distance), **_rates(rows_of(certificates, certificates.index[rows]), distance, eps)}


def run_record(settings: Settings, index: NDArray[np.int64], outcome: Outcome) -> dict[str, Any]:
    """What is kept of a run in the results file: settings, images, and which attack came nearest how often."""
    counts = np.bincount(outcome.found_by[outcome.found_by >= 0], minlength=len(settings.names))
    return {
        "settings": settings.to_json(),
        "images": ranges(index),
        "nearest": dict(zip(settings.names, counts.tolist(), strict=True)),
        "in_float32": int(outcome.in_float32.sum()),
        "environment": dict(outcome.environment),
    }


def merged(
    certificates: Certificates, index: NDArray[np.int64], distance: NDArray[np.float64], run: Mapping[str, Any],
    *, force: bool = False,
) -> Certificates:  # fmt: skip
    """The certificates of the whole data set with the outcome of one more run.

    The smallest distance stays, whichever run found it; with ``force`` the attacked images begin anew.
    """
    place = {int(number): row for row, number in enumerate(certificates.index)}
    rows = np.array([place[int(number)] for number in index], dtype=np.int64)
    kept = certificates.attack_distance
    every = np.full(len(certificates), np.inf) if kept is None else kept.copy()
    every[rows] = distance if force else np.minimum(every[rows], distance)
    runs = [] if kept is None else [one for one in certificates.attack.get("runs", []) if not _same(one, run)]
    if force:
        runs = [one for one in runs if not np.isin(numbers(one["images"]), index).all()]
    attacked = np.union1d(index, np.concatenate([numbers(one["images"]) for one in runs])) if runs else np.sort(index)
    about = {"schema": SCHEMA, "attacked": ranges(attacked), "runs": [*runs, dict(run)]}
    return replace(certificates, attack_distance=every, attack=about)


def adversarials_of(certificates: Certificates, index: NDArray[np.int64], outcome: Outcome) -> Adversarials:
    """The adversarial images of a run, as they are kept.

    Args:
        certificates: of the whole data set.
        index: (n,) record numbers of the attacked images, in the order of the outcome.
        outcome: what was found.
    """
    attacked = rows_of(certificates, index)
    rows = np.flatnonzero(np.isfinite(outcome.distance))
    rows = rows[np.argsort(index[rows], kind="stable")]
    return Adversarials(
        index=index[rows],
        original=attacked.predicted[rows],
        changed=outcome.changed[rows],
        distance=outcome.distance[rows],
        adversarial=outcome.point[rows],
        model_sha256=certificates.model_sha256,
        data_fingerprint=certificates.data_fingerprint,
    )


def earlier_run(certificates: Certificates, settings: Settings, index: NDArray[np.int64]) -> Mapping[str, Any] | None:
    """The kept run with these settings over these images, if there is one."""
    if certificates.attack_distance is None:
        return None
    wanted = {"settings": settings.to_json(), "images": ranges(index)}
    return next((run for run in certificates.attack.get("runs", []) if _same(run, wanted)), None)


def ranges(index: NDArray[np.int64]) -> list[list[int]]:
    """Record numbers as half-open ranges, ascending.

    >>> ranges(np.array([7, 0, 1, 2]))
    [[0, 3], [7, 8]]
    """
    ascending = np.unique(index)
    ends = np.flatnonzero(np.diff(ascending) > 1)
    starts = ascending[np.concatenate([[0], ends + 1])] if len(ascending) else []
    stops = ascending[np.concatenate([ends, [len(ascending) - 1]])] + 1 if len(ascending) else []
    return [[int(a), int(b)] for a, b in zip(starts, stops, strict=True)]


def numbers(pairs: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The record numbers of :func:`ranges`."""
    return np.concatenate([np.arange(a, b) for a, b in pairs]) if pairs else np.empty(0, np.int64)


def _same(run: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(run.get("settings") == other["settings"] and run.get("images") == other["images"])


def _rates(certificates: Certificates, distance: NDArray[np.float64], eps: Sequence[Fraction]) -> dict[str, Any]:
    n = len(certificates)
    return {
        "clean": _rate(int(certificates.correct.sum()), n),
        "certified": [_rate(certificates.certified_count(r), n, format_eps(r)) for r in eps],
        "robust": [_rate(robust_count(certificates, distance, r), n, format_eps(r)) for r in eps],
    }


def _rate(count: int, n: int, eps: str | None = None) -> dict[str, Any]:
    at = {} if eps is None else {"eps": eps}
    return {**at, "count": count, "rate": count / n}
