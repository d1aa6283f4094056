"""One row per image, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lipscope.certification.summary import class_name
from lipscope.files.results import OPTIONAL
from lipscope.records.certificates import Certificates
from lipscope.visible import cell

COLUMNS = ("index", "label", "predicted", "runner_up", "margin", "radius")


def per_image(
    certificates: Certificates, logits: Tensor | None = None, files: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One object per image, with its logits and its file where they are given.

    A radius that is only estimated is called so. Attack distances are there where they were computed; one that no
    attack found is null.

    Args:
        certificates: n images.
        logits: (n, classes).
        files: by record number.
    """
    estimated = certificates.standing == "estimate"
    kept = [name for name in OPTIONAL if getattr(certificates, name) is not None]
    values = [getattr(certificates, name).tolist() for name in (*COLUMNS, *kept)]
    names = ["estimated_radius" if estimated and name == "radius" else name for name in (*COLUMNS, *kept)]
    rows: list[dict[str, Any]] = [
        {name: _finite(value) for name, value in zip(names, row, strict=True)} for row in zip(*values, strict=True)
    ]
    for row in rows:
        if files:
            row["file"] = files[row["index"]]
        if row["label"] < 0:
            row["label"] = None
    if logits is not None:
        for row, numbers in zip(rows, logits.tolist(), strict=True):
            row["logits"] = numbers
    return rows


def as_csv(certificates: Certificates, files: Sequence[str] = ()) -> str:
    """A header and one line per image; numbers in full, so that they read back as the same float64.

    Class names stand beside the numbers where they are known; what is not there is empty.
    """
    rows = per_image(certificates, files=files)
    named = ("label", "predicted", "runner_up") if certificates.classes else ()
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *(f"{key}_name" for key in named)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        names = {f"{key}_name": class_name(certificates, row[key]) for key in named if row[key] is not None}
        writer.writerow({key: cell(value) for key, value in {**row, **names}.items()})
    return text.getvalue()


def _finite(value: float) -> float | None:
    return None if value == math.inf else value
