"""The Images screen as data for export."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import KEEPS, SORTS, Choice, class_name, verdict_word
from lipscope.tui.panes import Cells, Sheet
from lipscope.tui.results import radius_column, sheet_facts
from lipscope.units import format_eps


def images_sheet(
    certificates: Certificates, rows: NDArray[np.int64], choice: Choice, classes: tuple[str, ...]
) -> Sheet:
    """The images in these rows."""
    tried, distance = certificates.attacked, certificates.attack_distance

    def line(row: int) -> Cells:
        found = None if distance is None or not math.isfinite(distance[row]) else float(distance[row])
        label = int(certificates.label[row])
        return {
            "image": int(certificates.index[row]), "label": label, "label_name": class_name(classes, label, 200),
            "predicted": int(certificates.predicted[row]), "runner_up": int(certificates.runner_up[row]),
            radius_column(certificates, "radius"): float(certificates.radius[row]),
            "attack distance (upper bound)": found, "attacked": bool(tried[row]),
            "at_eps": verdict_word(certificates, row, choice.eps),
        }  # fmt: skip

    facts = {
        **sheet_facts(certificates),
        "eps": format_eps(choice.eps),
        "filter": KEEPS[choice.keep],
        "class": choice.label,
        "order": SORTS[choice.sort][choice.reverse],
    }
    return Sheet([line(row) for row in rows.tolist()], facts)
