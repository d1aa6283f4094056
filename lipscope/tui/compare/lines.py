"""The words and lines of the Compare screen. Pure functions of two states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from textual.content import Content

from lipscope.analysis.comparison import QUANTITIES, LayerPair, Quantity, Shared, aligned, objection, shared
from lipscope.records import LayerReport
from lipscope.records.certificates import WORDS, Certificates
from lipscope.tui.images.choice import class_name
from lipscope.tui.numerals import rate_text
from lipscope.tui.overview.answers import SIGNS, STYLES, answer, missing, short
from lipscope.tui.panes import Cells, Sheet, Value
from lipscope.tui.plots.bars import bar
from lipscope.tui.results import results_notice
from lipscope.tui.widgets.notice import error_sentence
from lipscope.tui.work.state import Phase, State
from lipscope.units import DEFAULT_EPS, format_eps, radius_text
from lipscope.visible import harmless

WIDEST_NAME = 34

ROOMY = 66
"""Columns from which on numbers have all their digits, and words say what a dash says too."""

LABELS = {"bound": "● bound ≤", "sigma_max": "~ σ max", "sigma_min": "~ σ min", "gradient_norm": "~ gradient"}
SHORT_LABELS = {**LABELS, "bound": "● ≤", "gradient_norm": "~ grad"}


def columns(width: int) -> tuple[int, int, int, int]:
    """Cells of a name, a quantity, a number, a difference in a list of so many: fewer digits before a name is cut."""
    what, cell, change = (10, 10, 9) if width >= ROOMY else (7, 7, 8)
    return max(min(width - what - 2 * cell - change - 4, WIDEST_NAME), 8), what, cell, change


SAME = 1e-6
"""Two numbers that differ by no more are the same: singular values are measured to no more."""


def pairs_of(first: State, second: State) -> tuple[LayerPair, ...]:
    """The layers of both; none unless all are known, as a layer would look like one of a single model."""
    if any(one.verdict is None and one.phase is not Phase.DONE for one in (first, second)):
        return ()
    return aligned(list(first.layers.values()), list(second.layers.values()))


def changed(pair: LayerPair, quantity: Quantity) -> bool:
    """Whether one number of a layer is another one in the second model, by more than rounding, or known in one only."""
    if pair.first is None or pair.second is None:
        return True
    change = quantity.difference(pair)
    if change is None:
        return quantity.key == "bound" and pair.first.bound.proved != pair.second.bound.proved
    return abs(change) > SAME


def differs(pair: LayerPair) -> bool:
    """Whether any number of a layer is another one in the second model."""
    return any(changed(pair, quantity) for quantity in QUANTITIES)


@dataclass(frozen=True)
class Difference:
    """One line of the list: a number of a layer in both models."""

    pair: LayerPair
    quantity: Quantity

    @property
    def rank(self) -> tuple[int, float]:
        """The largest difference first; layers of one model alone before all, those without it last."""
        change = self.quantity.difference(self.pair)
        alone = self.pair.first is None or self.pair.second is None
        return (0, 0.0) if alone else (2, 0.0) if change is None else (1, -abs(change))


def differences(pairs: Sequence[LayerPair], only: str | None, *, alike: bool) -> list[Difference]:
    """A line for every number that differs; with ``alike`` one for each of the other layers too.

    ``only`` is the key of the one quantity that is compared; None for all.
    """
    lines = []
    wanted = [one for one in QUANTITIES if only in (None, one.key)]
    for pair in pairs:
        found = [one for one in wanted if changed(pair, one)]
        if pair.first is None or pair.second is None or (alike and not found):
            found = wanted[:1]
        lines += [Difference(pair, one) for one in found]
    return lines


def heading(width: int) -> str:
    """The names of the columns."""
    name, what, cell, change = columns(width)
    return harmless(f"{'layer':{name}} {'':{what}} {'A':>{cell}} {'B':>{cell}} {'B − A':>{change}}", width)


def difference_line(line: Difference, width: int) -> list[tuple[str, str]]:
    """One number of a layer in both models, and by how much the second is larger; what is alike is quiet."""
    pair, quantity, (name, kind, cell, change) = line.pair, line.quantity, columns(width)
    both = pair.first is not None and pair.second is not None
    alone = "" if both or width < ROOMY else "A only: " if pair.second is None else "B only: "
    label = harmless(pair.name, max(name - len(alone), 1), keep="end")
    what = (LABELS if len(LABELS["gradient_norm"]) <= kind else SHORT_LABELS)[quantity.key]
    a, b = (number_text(quantity, report, cell) for report in (pair.first, pair.second))
    style = "" if changed(pair, quantity) else "$foreground 60%"
    return [
        (f"{alone + label:{name}} ", style), (f"{what:{kind}}", "$foreground 60%"),
        (f" {a:>{cell}} {b:>{cell}} ", style),
        (f"{difference_text(quantity, pair, change):>{change}}", f"bold {style}"),
    ]  # fmt: skip


def fitted(value: float, cells: int, digits: int, sign: str = "") -> str:
    """At most so many significant digits, fewer where they do not fit.

    >>> fitted(1.234567e-5, 10, 6), fitted(0.7779180, 7, 6), fitted(-1.2345e-5, 8, 3, "+")
    ('1.2346e-05', '0.77792', '-1.2e-05')
    """
    texts = [f"{value:{sign}.{most}g}" for most in range(digits, 0, -1)]
    return next((text for text in texts if len(text) <= cells), texts[-1])


def number_text(quantity: Quantity, report: LayerReport | None, cells: int) -> str:
    """The number in a report, rounded up where it is a bound."""
    value = None if report is None else quantity.of(report)
    if report is None or value is None:
        return ("not proved" if cells >= 10 else "open") if report is not None and quantity.key == "bound" else "–"
    return short(value) if quantity.key == "bound" else fitted(value, cells, 6 if cells >= 10 else 4)


def difference_text(quantity: Quantity, pair: LayerPair, cells: int = 9) -> str:
    """Second minus first with its sign; an equals sign where there is none."""
    change = quantity.difference(pair)
    if change is None:
        return "–"
    return fitted(change, cells, 3, "+") if abs(change) > SAME else "="


def verdict_line(letter: str, state: State, width: int) -> Content:
    """Sign and words of the verdict of one model, what is certified of it, and its file."""
    said, certificates = answer(state), state.results.certificates
    proof = ""
    if certificates is not None:
        eps = DEFAULT_EPS[0]
        mark = "  claimed " if certificates.standing == "claimed" else "  "
        proof = f"{mark}{rate_text(certificates.certified_count(eps), len(certificates))} at {format_eps(eps)}"
    short = "no verdict" if said.status == "pending" else said.status.replace("-", " ")
    words = said.words if width >= 76 else short
    start = Content.assemble(
        (f"{letter}  ", "bold"), (f"{SIGNS[said.status]} {words}", f"bold {STYLES[said.status]}"), (proof, "bold")
    )
    file = harmless(state.header.path, max(width - start.cell_length - 2, 12), keep="end")
    return Content.assemble(start, (f"  {file}", "$foreground 60%"))


def obstacle(first: State, second: State) -> str:
    """Why certified radii are not compared, and what to do; empty when they are."""
    a, b = first.results.certificates, second.results.certificates
    if a is None or b is None:
        lacking = ((letter, one) for letter, one in (("A", first), ("B", second)) if one.results.certificates is None)
        return " ".join(f"{letter}: {results_notice(one)}" for letter, one in lacking)
    why = objection(a, b)
    return f"The certified radii are not compared: {harmless(why, 200)}. The layers are." if why else ""


def warnings(first: State, second: State) -> str:
    """What is wrong with what is shown all the same; empty when nothing is."""
    words, claimed = [], []
    for letter, state in (("A", first), ("B", second)):
        if state.phase is Phase.FAILED and state.failure is not None:
            words.append(f"The analysis of {letter} FAILED: {error_sentence(state.failure)}")
        elif state.phase is Phase.CANCELLED:
            words.append(f"The analysis of {letter} was cancelled{missing(state)}; r starts it again.")
        if state.on_disk != "same":
            words.append(f"{letter} is {state.on_disk} on the disk; r reads it again.")
        certificates, checked = state.results.certificates, state.results.checked
        foreign = certificates is not None and certificates.standing == "claimed"
        if state.stale or (foreign and checked is not None and not checked.holds):
            words.append(f"{letter}: {results_notice(state)}.")
        elif foreign:
            claimed.append(letter)
    if claimed:
        words.append(f"{' and '.join(claimed)}: {WORDS['claimed']}; 4 Radii says why.")
    return " ".join(words)


def accuracy_lines(
    first: Certificates | None, second: Certificates | None, eps: Fraction, listed: Sequence[Fraction] = DEFAULT_EPS
) -> list[str]:
    """Clean and certified accuracy side by side; a model without results has dashes."""
    lines = [f"{'radius above':14}{'A':>9}{'B':>9}{'B − A':>9}"]
    for at in (None, *sorted({*listed, eps})):
        counts = [
            0 if one is None else int(one.correct.sum()) if at is None else one.certified_count(at)
            for one in (first, second)
        ]
        totals = [0 if one is None else len(one) for one in (first, second)]
        rates = [rate_text(count, total) for count, total in zip(counts, totals, strict=True)]
        change = "–"
        if first is not None and second is not None and not objection(first, second):
            a, b = (count / total for count, total in zip(counts, totals, strict=True))
            change = f"{100 * (b - a):+.2f}" if a != b else "="
        name, here = "clean" if at is None else format_eps(at), " ◀" if at == eps else ""
        lines.append(f"{name:14}{rates[0]:>9}{rates[1]:>9}{change:>9}{here}")
    means = ["–" if one is None else radius_text(one.average_certified_radius()) for one in (first, second)]
    lines.append(f"{'average radius':14}{means[0]:>9}{means[1]:>9}")
    return lines


def shared_lines(common: Shared, eps: Fraction, word: str) -> list[str]:
    """How many images both models, one alone and neither certify, each with its bar."""
    counts, total = common.counts(eps), len(common.index)
    found = {"both": counts.both, "A alone": counts.only_first, "B alone": counts.only_second,
             "neither": counts.neither}  # fmt: skip
    lines = [f"  {name:12}{count:>9,} {bar(count / max(total, 1), 20)}" for name, count in found.items()]
    return ["", f"{word} at {format_eps(eps)} by", *lines]


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


def compare_sheet(first: State, second: State, pairs: Iterable[LayerPair], eps: Fraction) -> Sheet:
    """The layers as shown; the certified counts and the images that one model alone certifies in the JSON."""
    rows: list[Cells] = []
    for pair in pairs:
        where = "both" if pair.first and pair.second else "a" if pair.first else "b"
        cells: dict[str, Value] = {"layer": pair.name, "in": where}
        for quantity in QUANTITIES:
            words = f"{quantity.key} ({'proved' if quantity.key == 'bound' else 'estimate'})"
            for letter, report in (("a", pair.first), ("b", pair.second)):
                cells[f"{letter} {words}"] = quantity.of(report) if report else None
            cells[f"b minus a {words}"] = quantity.difference(pair)
        rows.append(cells)
    facts: dict[str, object] = {
        "a": str(first.header.path), "b": str(second.header.path), "eps": format_eps(eps),
        "not_compared": obstacle(first, second) or None,
    }  # fmt: skip
    a, b = first.results.certificates, second.results.certificates
    if a is not None and b is not None and not objection(a, b):
        common = shared(a, b)
        counts = common.counts(eps)
        facts["certified"] = {
            "standing": [a.standing, b.standing],
            "both": counts.both, "only_a": counts.only_first, "only_b": counts.only_second, "neither": counts.neither,
            "images_only_a": common.index[common.only(eps, "first")].tolist(),
            "images_only_b": common.index[common.only(eps, "second")].tolist(),
        }  # fmt: skip
    return Sheet(rows, facts)
