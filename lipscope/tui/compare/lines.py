"""The words and lines of the Compare screen. Pure functions of two states."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from textual.content import Content

from lipscope.analysis.comparison import QUANTITIES, LayerPair, Quantity, Shared, aligned, objection, shared
from lipscope.records import LayerReport
from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import class_name
from lipscope.tui.numerals import rate_text
from lipscope.tui.overview.answers import SIGNS, STYLES, answer, short
from lipscope.tui.panes import Sheet, Value
from lipscope.tui.results import results_notice
from lipscope.tui.text import harmless
from lipscope.tui.work.state import Phase, State
from lipscope.units import DEFAULT_EPS, format_eps, radius_text

CELL, CHANGE = 10, 9
"""Columns of a number and of a difference."""

LABELS = {"bound": "A bound ≤", "sigma_max": "A ~σ max", "sigma_min": "A ~σ min", "gradient_norm": "A ~grad"}

SAME = 1e-6
"""Two numbers that differ by no more are the same: singular values are measured to no more."""

BLOCK = 2 * (CELL + 1) + CHANGE + 1
"""Columns of one quantity: A, B, B - A."""

NARROWEST_NAME = 14


def pairs_of(first: State, second: State) -> tuple[LayerPair, ...]:
    """The layers of both, as far as they are known."""
    return aligned(list(first.layers.values()), list(second.layers.values()))


def fitting(width: int, chosen: str) -> tuple[int, list[Quantity]]:
    """The width of the name, and the quantities that fit beside it, the chosen one first.

    >>> fitting(60, "sigma_max")[0], [quantity.key for quantity in fitting(110, "sigma_max")[1]]
    (28, ['sigma_max', 'sigma_min', 'gradient_norm'])
    """
    start = next(place for place, quantity in enumerate(QUANTITIES) if quantity.key == chosen)
    cycle = [*QUANTITIES[start:], *QUANTITIES[:start]]
    number = min(max((width - NARROWEST_NAME) // BLOCK, 1), len(cycle))
    return max(min(width - number * BLOCK, 40), 1), cycle[:number]


def heading(width: int, chosen: str) -> str:
    """The names of the columns."""
    name, quantities = fitting(width, chosen)
    blocks = "".join(f" {LABELS[of.key]:>{CELL}} {'B':>{CELL}} {'B − A':>{CHANGE}}" for of in quantities)
    return harmless(f"{'layer':{name}}{blocks}", width)


def pair_line(pair: LayerPair, width: int, chosen: str) -> str:
    """One layer: both numbers, and by how much the second is larger."""
    name, quantities = fitting(width, chosen)
    label = harmless(pair.name, name, keep="end")
    if pair.first is None or pair.second is None:
        label = harmless(f"{'A' if pair.second is None else 'B'} only: {pair.name}", name)
    text = label + " " * (name - len(label))
    for quantity in quantities:
        cells = (number_text(quantity, report) for report in (pair.first, pair.second))
        text += "".join(f" {cell:>{CELL}}" for cell in cells) + f" {difference_text(quantity, pair):>{CHANGE}}"
    return harmless(text, width)


def number_text(quantity: Quantity, report: LayerReport | None) -> str:
    """The number in a report, a bound with its sign."""
    if report is None:
        return "–"
    value = quantity.of(report)
    if value is None:
        return "not proved" if quantity.key == "bound" else "–"
    return f"● {short(value)}" if quantity.key == "bound" else f"~{value:.6g}"[:CELL]


def difference_text(quantity: Quantity, pair: LayerPair) -> str:
    """Second minus first with its sign; an equals sign where there is none.

    >>> from lipscope.records import Bound, LayerReport
    >>> a, b = (LayerReport("x", "", None, None, Bound(value, "")) for value in (1.0, 1.25))
    >>> difference_text(QUANTITIES[0], LayerPair("x", a, b)), difference_text(QUANTITIES[0], LayerPair("x", a, a))
    ('+0.25', '=')
    """
    change = quantity.difference(pair)
    if change is None:
        return "–"
    return f"{change:+.3g}" if abs(change) > SAME else "="


def differs(pair: LayerPair) -> bool:
    """Whether any number of a layer is another one in the other model, by more than rounding."""
    if pair.first is None or pair.second is None:
        return True
    return pair.first.bound.proved != pair.second.bound.proved or any(changed(pair, one) for one in QUANTITIES)


def changed(pair: LayerPair, quantity: Quantity) -> bool:
    """Whether one number is another one in the second model."""
    change = quantity.difference(pair)
    return change is not None and abs(change) > SAME


def verdict_line(letter: str, state: State) -> Content:
    """Sign and words of the verdict of one model, what is certified of it, and its file."""
    said, certificates = answer(state), certificates_of(state)
    proof = ""
    if certificates is not None:
        eps = DEFAULT_EPS[0]
        mark = "  claimed " if certificates.standing == "claimed" else "  "
        proof = f"{mark}{rate_text(certificates.certified_count(eps), len(certificates))} at {format_eps(eps)}"
    return Content.assemble(
        (f"{letter}  ", "bold"), (f"{SIGNS[said.status]} {said.words}", f"bold {STYLES[said.status]}"), (proof, "bold"),
        (f"  {harmless(state.header.path, 60, keep='end')}", "$foreground 60%"),
    )  # fmt: skip


def by_difference(pairs: tuple[LayerPair, ...], chosen: str) -> list[LayerPair]:
    """The largest difference of a quantity first; layers of one model alone before all, those without it last."""
    quantity = next(one for one in QUANTITIES if one.key == chosen)

    def rank(pair: LayerPair) -> tuple[int, float]:
        if pair.first is None or pair.second is None:
            return 0, 0.0
        change = quantity.difference(pair)
        return (2, 0.0) if change is None else (1, -abs(change))

    return sorted(pairs, key=rank)


def certificates_of(state: State | None) -> Certificates | None:
    """The results beside a model, if they were read."""
    return state.results.certificates if state is not None else None


def obstacle(first: State, second: State) -> str:
    """Why certified radii are not compared, and what to do; empty when they are."""
    words = [missing(letter, state) for letter, state in (("A", first), ("B", second))]
    if any(words):
        return " ".join(word for word in words if word)
    a, b = certificates_of(first), certificates_of(second)
    if a is None or b is None:
        return ""
    why = objection(a, b)
    return f"The certified radii are not compared: {harmless(why, 200)}. The layers are." if why else ""


def missing(letter: str, state: State) -> str:
    """What one model lacks; empty when it has its results."""
    return f"{letter}: {results_notice(state)}" if state.results.certificates is None else ""


def warnings(first: State, second: State) -> str:
    """What is wrong with what is shown all the same; empty when nothing is."""
    words = []
    for letter, state in (("A", first), ("B", second)):
        if state.phase is Phase.FAILED and state.failure is not None:
            step = f", next: {harmless(state.failure.next_step, 120)}" if state.failure.next_step else ""
            words.append(f"The analysis of {letter} FAILED: {harmless(state.failure.what, 120)}{step}.")
        elif state.phase is Phase.CANCELLED:
            words.append(f"The analysis of {letter} was cancelled; r starts it again.")
        if state.on_disk != "same":
            words.append(f"{letter} is {state.on_disk} on the disk; r reads it again.")
        certificates = certificates_of(state)
        if state.stale or (certificates is not None and certificates.standing == "claimed"):
            words.append(f"{letter}: {results_notice(state)}.")
    return " ".join(words)


def accuracy_lines(
    first: Certificates | None, second: Certificates | None, eps: Fraction, listed: Sequence[Fraction] = DEFAULT_EPS
) -> list[str]:
    """Clean and certified accuracy side by side; a model without results has dashes."""

    def rates(certificates: Certificates | None, at: Fraction | None) -> str:
        if certificates is None:
            return "–"
        count = int(certificates.correct.sum()) if at is None else certificates.certified_count(at)
        return rate_text(count, len(certificates))

    def change(at: Fraction | None) -> str:
        if first is None or second is None or objection(first, second):
            return "–"
        a, b = (
            (int(one.correct.sum()) if at is None else one.certified_count(at)) / len(one) for one in (first, second)
        )
        return f"{100 * (b - a):+.2f}" if a != b else "="

    lines = [f"{'radius above':14}{'A':>9}{'B':>9}{'B − A':>9}"]
    for at in (None, *sorted({*listed, eps})):
        name = "clean" if at is None else format_eps(at)
        here = " ◀" if at == eps else ""
        lines.append(f"{name:14}{rates(first, at):>9}{rates(second, at):>9}{change(at):>9}{here}")
    means = ["–" if one is None else radius_text(one.average_certified_radius()) for one in (first, second)]
    lines.append(f"{'average radius':14}{means[0]:>9}{means[1]:>9}")
    return lines


WHICH = {"either": "by one alone", "first": "by A alone", "second": "by B alone"}
"""Which images are listed, with the words."""


def image_line(common: Shared, row: int, classes: tuple[str, ...], width: int) -> str:
    """One image that one model alone certifies: its number, both radii, its class."""
    radii = (
        radius_text(float(radius)) if radius >= 0 else "WRONG" for radius in (common.first[row], common.second[row])
    )
    cells = "".join(f" {text:>7}" for text in radii)
    return harmless(f"{int(common.index[row]):>6}{cells}  {class_name(classes, int(common.label[row]))}", width)


IMAGE_HEADING = f"{'image':>6} {'A':>7} {'B':>7}  class"

SHEET_COLUMNS = (
    "layer", "in",
    *(f"{which} {words}" for words in ("bound (proved)", "sigma_max (estimate)", "sigma_min (estimate)",
                                       "gradient_norm (estimate)") for which in ("a", "b", "b minus a")),
)  # fmt: skip


def compare_sheet(first: State, second: State, pairs: list[LayerPair], eps: Fraction) -> Sheet:
    """The layers as shown; the certified counts and the images that one model alone certifies in the JSON."""
    rows: list[tuple[Value, ...]] = []
    for pair in pairs:
        where = "both" if pair.first and pair.second else "a" if pair.first else "b"
        cells: list[Value] = [pair.name, where]
        for quantity in QUANTITIES:
            cells += [quantity.of(report) if report else None for report in (pair.first, pair.second)]
            cells.append(quantity.difference(pair))
        rows.append(tuple(cells))
    facts: dict[str, object] = {
        "a": str(first.header.path), "b": str(second.header.path), "eps": format_eps(eps),
        "not_compared": obstacle(first, second) or None,
    }  # fmt: skip
    a, b = certificates_of(first), certificates_of(second)
    if a is not None and b is not None and not objection(a, b):
        common = shared(a, b)
        counts = common.counts(eps)
        facts["certified"] = {
            "standing": [a.standing, b.standing],
            "both": counts.both, "only_a": counts.only_first, "only_b": counts.only_second, "neither": counts.neither,
            "images_only_a": common.index[common.only(eps, "first")].tolist(),
            "images_only_b": common.index[common.only(eps, "second")].tolist(),
        }  # fmt: skip
    return Sheet(SHEET_COLUMNS, tuple(rows), facts)
