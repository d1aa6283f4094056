"""One row per image, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lipscope.certification.summary import class_name
from lipscope.errors import UsageError
from lipscope.files.checkpoint import atomic_path
from lipscope.files.results import OPTIONAL, results_path, summary_path
from lipscope.files.writing import require_writable
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


def check_place(csv_file: Path, model: Path) -> None:
    """Refuse, before anything is computed, a place that no CSV file can take.

    Raises:
        UsageError: the model, its results, or a folder that is not there.
    """
    where, results = f"--csv {csv_file}", results_path(model)
    if any(_same_file(csv_file, kept) for kept in (model, results, summary_path(results))):
        raise UsageError("would overwrite the model or its results", where=where, next_step="choose another name")
    if not csv_file.absolute().parent.is_dir():
        raise UsageError("no such folder", where=where, next_step="make it first")
    require_writable(csv_file)


def write_csv(csv_file: Path, certificates: Certificates, files: Sequence[str] = ()) -> None:
    """One row per image, to a file, atomically.

    Raises:
        LipscopeError: the place cannot be written to.
    """
    with atomic_path(csv_file) as temporary:
        temporary.write_text(as_csv(certificates, files), encoding="utf-8", newline="")


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, through links and ``..`` too."""
    return os.path.realpath(one) == os.path.realpath(other) or (one.exists() and other.exists() and one.samefile(other))


def _finite(value: float) -> float | None:
    return None if value == math.inf else value
