"""Which images the Images screen lists, in which order, and what is known of each. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipscope.files.kept_images import Adversarial
from lipscope.records.certificates import Certificates
from lipscope.tui.numerals import decimals_up
from lipscope.tui.panes import Cells, Sheet
from lipscope.tui.plots.bands import CERTIFIED, NOT, STYLES, WRONG
from lipscope.tui.results import radius_column, sheet_facts
from lipscope.tui.widgets.notice import Fact
from lipscope.units import DEFAULT_EPS, format_eps, largest_not_above, radius_text
from lipscope.visible import harmless

RADIUS = {
    "proved": "proved",
    "own": "proved by your own run",
    "claimed": "claimed by somebody else",
    "estimate": "estimated",
}
"""What a radius is, by its standing."""

SIGNS = {"certified": CERTIFIED, "claimed": NOT, "uncertified": NOT, "WRONG": WRONG}
"""Before the word of a verdict."""

KEEPS = {
    "all": ("all", "all images"),
    "wrong": ("wrong", "classified wrongly"),
    "correct": ("right", "classified correctly"),
    "certified": ("certified", "correct and certified beyond eps"),
    "uncertified": ("not certified", "correct, not certified beyond eps"),
    "attacked": ("attacked", "attacked"),
    "broken": ("broken", "attacked, class changed within eps"),
}
"""The filters in the order of their key: in a word, and in words."""

SORTS = {
    "radius": ("radius", "smallest radius first", "largest radius first"),
    "distance": ("attack", "smallest attack distance first", "largest attack distance first"),
    "gap": ("attack / radius", "smallest attack distance / radius first", "largest attack distance / radius first"),
    "index": ("number", "by number", "by number, last first"),
}
"""The orders: by what, and in words each both ways; those of an attack are offered where there was one."""


@dataclass(frozen=True)
class Choice:
    """What of the images is listed."""

    keep: str = "all"  # one of ``KEEPS``
    label: int | None = None  # of this class only; None for all
    sort: str = "radius"  # one of ``SORTS``
    reverse: bool = False  # the other way round
    eps: Fraction = DEFAULT_EPS[0]  # the radius of "certified"


def kept(certificates: Certificates, choice: Choice) -> NDArray[np.bool_]:
    """(n,) which images pass the filters."""
    limit = largest_not_above(choice.eps)
    correct, beyond = certificates.correct, certificates.radius > limit
    every = np.ones(len(certificates), dtype=np.bool_)
    distance = certificates.attack_distance
    masks = {
        "all": every,
        "wrong": ~correct,
        "correct": correct,
        "certified": correct & beyond,
        "uncertified": correct & ~beyond,
        "attacked": certificates.attacked,
        "broken": ~every if distance is None else distance <= limit,
    }
    of_class = every if choice.label is None else certificates.label == choice.label
    passing: NDArray[np.bool_] = masks[choice.keep] & of_class
    return passing


def arranged(certificates: Certificates, choice: Choice) -> NDArray[np.int64]:
    """The rows of the images that are listed, in their order; equals keep the order of their numbers.

    Those of which the number is not known come last, also in reverse.
    """
    rows = np.flatnonzero(kept(certificates, choice))
    keys = _key(certificates, choice.sort)[rows]
    order = np.lexsort((certificates.index[rows], -keys if choice.reverse else keys, np.isinf(keys)))
    return rows[order].astype(np.int64)


def _key(certificates: Certificates, sort: str) -> NDArray[np.float64]:
    distance = certificates.attack_distance
    if sort == "index" or (distance is None and sort != "radius"):
        return certificates.index.astype(np.float64)
    if sort == "radius" or distance is None:
        return np.where(certificates.correct, certificates.radius, -1.0)  # wrong ones have none: less than any
    if sort == "distance":
        return distance
    known = certificates.correct & (certificates.radius > 0)
    ratio = np.full(len(certificates), np.inf)
    np.divide(distance, certificates.radius, out=ratio, where=known)
    return ratio


def offered(names: Iterable[str], certificates: Certificates) -> list[str]:
    """The filters, or the orders, that mean something for these results."""
    attacked = certificates.attack_distance is not None
    return [name for name in names if attacked or name not in ("attacked", "broken", "distance", "gap")]


def class_name(classes: tuple[str, ...], number: int, width: int = 20) -> str:
    """The name of a class, harmless; its number where it has none.

    >>> class_name(("cat", "dog"), 1), class_name((), 3)
    ('dog', '3')
    """
    return harmless(classes[number], width) if 0 <= number < len(classes) else str(number)


def distance_text(distance: float) -> str:
    """Four decimals, never less than the distance: an attack's distance is an upper bound.

    >>> distance_text(0.25671), distance_text(float("inf"))
    ('0.2568', 'none found')
    """
    return decimals_up(distance, 4) if math.isfinite(distance) else "none found"


def radius_cell(certificates: Certificates, row: int) -> str:
    """The certified radius of an image; a wrong one has none."""
    return radius_text(float(certificates.radius[row])) if certificates.correct[row] else "–"


def verdict_word(certificates: Certificates, row: int, eps: Fraction) -> str:
    """What the image counts as at eps."""
    if not certificates.correct[row]:
        return "WRONG"
    if certificates.radius[row] <= largest_not_above(eps):
        return "uncertified"
    return "claimed" if certificates.standing == "claimed" else "certified"


def verdict_style(certificates: Certificates, row: int, eps: Fraction) -> str:
    """The colour of that."""
    return STYLES[SIGNS[verdict_word(certificates, row, eps)]]


def image_facts(
    certificates: Certificates,
    row: int,
    eps: Fraction,
    classes: tuple[str, ...],
    found: Adversarial | None,
    unkept: str = "",
) -> list[Fact]:
    """What is known of one image, each number called a bound or an estimate.

    ``unkept`` says why the file of adversarial images is not used.
    """
    right = bool(certificates.correct[row])
    predicted = class_name(classes, int(certificates.predicted[row]))
    radius = f"{radius_text(float(certificates.radius[row]))} {RADIUS[certificates.standing]}"
    facts = [
        ("image", f"{int(certificates.index[row]):,}: {class_name(classes, int(certificates.label[row]))}"),
        ("predicted", f"{predicted} ({'right' if right else 'WRONG'})"),
        ("runner-up", class_name(classes, int(certificates.runner_up[row]))),
        ("radius", f"≥ {radius}" if right else f"none; stays wrong within {radius}"),
    ]
    facts.append((f"at {format_eps(eps)}", verdict_word(certificates, row, eps)))
    if certificates.attack_distance is not None:
        whose = "claimed: " if certificates.standing == "claimed" else ""
        facts.append(("attack", whose + _attack_words(certificates, row, classes, found)))
    if unkept:
        facts.append(("pixels", harmless(unkept, 300)))
    elif found is not None and found.claimed:
        facts.append(("pixels", harmless(f"claimed by somebody else: {found.claimed}", 300)))
    return facts


def _attack_words(
    certificates: Certificates, row: int, classes: tuple[str, ...], found: Adversarial | None
) -> str:  # fmt: skip
    assert certificates.attack_distance is not None
    distance = float(certificates.attack_distance[row])
    if not math.isfinite(distance):
        was = bool(certificates.attacked[row])
        return "attacked: no other class was found" if was else "not attacked"
    called = "CLAIMED" if certificates.standing == "claimed" else "CERTIFIED"
    what = "RADIUS" if certificates.correct[row] else "DISTANCE"
    inside = f", INSIDE THE {called} {what}" if distance < certificates.radius[row] else ""
    words = f"class changes at {distance_text(distance)}{inside}"
    if found is None:
        return f"{words}; its pixels are not kept"
    becomes = f"becomes {class_name(classes, found.predicted)}"
    if found.nearest:
        return f"{becomes} at {distance_text(distance)}{inside}; pixels kept"
    return f"{words}; pixels kept of one at {distance_text(found.distance)}: {becomes}"


def logit_rows(
    logits: NDArray[np.float64], certificates: Certificates, row: int, most: int
) -> list[tuple[int, float, str]]:
    """At most so many classes, logits and letters, largest first.

    P is the predicted class, R its runner-up, L the label: the three are among them where there is room.
    """
    marks: Mapping[str, int] = {
        "P": int(certificates.predicted[row]),
        "R": int(certificates.runner_up[row]),
        "L": int(certificates.label[row]),
    }
    order = np.argsort(-logits, kind="stable").tolist()
    marked = [number for number in order if number in marks.values()]
    chosen = sorted([*marked, *(number for number in order if number not in marked)][:most], key=order.index)
    return [
        (number, float(logits[number]), "".join(letter for letter, of in marks.items() if of == number))
        for number in chosen
    ]


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
        "filter": KEEPS[choice.keep][1],
        "class": choice.label,
        "order": SORTS[choice.sort][1 + choice.reverse],
    }
    return Sheet([line(row) for row in rows.tolist()], facts)
