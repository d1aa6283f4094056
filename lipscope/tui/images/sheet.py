"""The Images screen as data for export."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipscope.tui.images.choice import KEEPS, SORTS, Choice, class_name, verdict_word
from lipscope.tui.panes import Sheet, Value
from lipscope.tui.results import radius_column
from lipscope.units import format_eps

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

SHEET_COLUMNS = (
    "image", "label", "label_name", "predicted", "runner_up", radius_column(None, "radius"),
    "attack distance (upper bound)", "attacked", "at_eps",
)  # fmt: skip


def images_sheet(
    certificates: Certificates, rows: NDArray[np.int64], choice: Choice, classes: tuple[str, ...]
) -> Sheet:
    """The images in these rows."""
    tried = certificates.attacked

    def line(row: int) -> tuple[Value, ...]:
        distance = certificates.attack_distance
        found = None if distance is None or not math.isfinite(distance[row]) else float(distance[row])
        label = int(certificates.label[row])
        return (
            int(certificates.index[row]), label, class_name(classes, label, 200),
            int(certificates.predicted[row]), int(certificates.runner_up[row]), float(certificates.radius[row]),
            found, bool(tried[row]),
            verdict_word(certificates, row, choice.eps),
        )  # fmt: skip

    facts = {
        "standing": certificates.standing,
        "eps": format_eps(choice.eps),
        "filter": KEEPS[choice.keep],
        "class": choice.label,
        "order": SORTS[choice.sort][choice.reverse],
        "data": {
            "name": certificates.data_name,
            "split": certificates.data_split,
            "fingerprint": certificates.data_fingerprint,
        },
    }
    columns = (*SHEET_COLUMNS[:5], radius_column(certificates, "radius"), *SHEET_COLUMNS[6:])
    return Sheet(columns, tuple(line(row) for row in rows.tolist()), facts)
