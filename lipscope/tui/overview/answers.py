"""The two answers of the overview, the chain from pixels to logits, and what to worry about. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lipscope.records import Verdict, allowed, gradient_kept, loses_most
from lipscope.records.verdict import IN_WORDS
from lipscope.tui.layers.rows import parent, spoiled
from lipscope.tui.numerals import bound_text, decimals_up, rounded
from lipscope.tui.panes import Goto
from lipscope.tui.work.state import Phase, State
from lipscope.visible import counted, harmless

STYLES = {
    "proved": "$text-success", "bounded": "$text-warning", "not-proved": "$text-warning", "violated": "$text-error",
    "pending": "$foreground 60%",
}  # fmt: skip
SIGNS = {"proved": "✔", "bounded": "≤", "not-proved": "?", "violated": "✘", "pending": "…"}
"""A sign beside the words; the colour only repeats them."""


@dataclass(frozen=True)
class Answer:
    """Whether it is 1-Lipschitz."""

    status: str  # ``proved``, ``bounded``, ``violated``, ``not-proved``, or ``pending`` while there is none
    text: str  # the verdict in one line
    words: str  # the answer, after its sign
    sentence: str = ""  # what that means
    reason: str = ""  # what decides


def answer(state: State) -> Answer:
    """The verdict as an answer; why there is none (yet)."""
    verdict, cancelled = state.verdict, state.phase is Phase.CANCELLED
    if verdict is not None and (state.phase.active or cancelled or not verdict.searching):
        return _answer_of(verdict, cancelled=cancelled)
    reasons = {
        Phase.FAILED: "the analysis failed, see above",
        Phase.CANCELLED: "the analysis was cancelled; r starts it again",
        Phase.DONE: "the analysis ended without one",
        Phase.WAITING: state.doing,
    }
    if state.phase in reasons:
        return Answer("pending", "NO VERDICT", "NO VERDICT", reason=reasons[state.phase])
    words = "CHECKING whether it is 1-Lipschitz …"
    return Answer("pending", words, words, reason="each layer's bound is proved first")


def _answer_of(verdict: Verdict, *, cancelled: bool) -> Answer:
    reason = harmless(verdict.reason, 400)
    if verdict.searching and not cancelled:
        reason += "; a violation is still searched for"
    elif verdict.searching and verdict.status != "proved":  # what is proved cannot be violated
        reason += "; cancelled before a violation was searched for"
    constant = verdict.lipschitz if verdict.lipschitz is not None and math.isfinite(verdict.lipschitz) else None
    if verdict.status == "violated":
        shown = f" (a ratio of {rounded(constant, up=False)} was found)" if constant else ""
        what = f"{harmless(verdict.layer, 40, keep='end')} is not 1-Lipschitz" if verdict.layer else "not 1-Lipschitz"
        return Answer("violated", f"VIOLATED: {what}{shown}", "NO, VIOLATED", what + shown, reason)
    if verdict.status == "not-proved" or constant is None:
        if verdict.status != "not-proved":  # a claim of proof without a finite number is no proof, whoever makes it
            reason = f"the bound is not a finite number; {reason}"
        return Answer("not-proved", "NOT PROVED", "NOT PROVED", "no bound holds for the whole network", reason)
    limit, most = rounded(constant, up=True), "1" if constant <= 1 else rounded(constant, up=True)
    start, end = (verdict.scope.start, verdict.scope.end) if verdict.scope else ("input", "output")
    sentence = f"a change of 1 in the {IN_WORDS.get(start, start)} moves the {end} by at most {most}"
    about = f" {verdict.scope}" if verdict.scope else ""
    if verdict.status == "proved" and constant <= allowed(1):
        text = f"PROVED 1-Lipschitz (L ≤ {limit}){about}"
        return Answer("proved", text, f"YES, PROVED   L ≤ {most}", sentence, reason)
    text = f"BOUNDED: L ≤ {limit} is proved{about}, 1-Lipschitz is not"
    return Answer("bounded", text, f"NOT PROVED: only L ≤ {most} is", sentence, reason)


def chain(state: State) -> list[tuple[str, str]]:
    """From pixels to logits: each place with the proved constant of the arrow that leaves it; empty without a model."""
    if state.chain is None:
        return []
    places: list[tuple[str, str]] = []
    for arrow in state.chain.arrows:
        bound = arrow.bound
        text = f"● {short(bound.value)}" if bound.proved and math.isfinite(bound.value) else "not proved"
        layers = f" ({counted(arrow.layers, 'layer')})" if arrow == state.chain.body and arrow.layers > 1 else ""
        places.append((arrow.scope.start, text + layers))
    return [*places, (state.chain.whole.scope.end, "")]


def short(value: float) -> str:
    """A proved bound in few digits, rounded up; 1 with what rounding is allowed is 1.

    >>> short(3.98884), short(0.9999999965), short(1.0000000001), short(1.4046)
    ('3.99', '1', '1', '1.41')
    """
    if 0.995 <= value <= allowed(1):
        return "1"
    if value >= 1e6:
        return rounded(value, up=True)
    return decimals_up(value, 2)


def places_line(places: list[tuple[str, str]], width: int) -> str:
    """The chain in one line, with less around the arrows where there is less room.

    >>> places_line([("pixels", "● 3.99"), ("features", "")], 40)
    'pixels ─● 3.99─▶ features'
    """
    for left, right in ((" ─", "─▶ "), ("─", "▶"), ("", "▸")):
        text = "".join(name + (f"{left}{arrow}{right}" if arrow else "") for name, arrow in places)
        if len(text) <= width:
            return text
        text = text.replace(" layers)", ")").replace("● ", "●")
        if len(text) <= width:
            return text
    return harmless(text, width)


def bound_strip(state: State, cells: int) -> tuple[list[tuple[str, str]], str]:
    """One bar a layer of the body, low where its bound is at most 1, and what they say together."""
    bounds = [report.bound for report in state.layers.values() if report.role == "body"]
    values = [one.value if one.proved and math.isfinite(one.value) else math.inf for one in bounds]
    limit, above = allowed(1), sum(value > allowed(1) for value in values)

    def level(value: float) -> int:
        return 0 if value <= limit else min(2 + int(2 * math.log2(value)), 7) if value < math.inf else 7

    said = f"{above} of {len(values)} above 1 or not proved" if above else "● all ≤ 1"
    return _bars(values, cells, max, level, lambda value: value <= limit), said if values else ""


def _bars(
    values: Sequence[float], cells: int, worst: Callable[[Sequence[float]], float],
    level: Callable[[float], int], good: Callable[[float], bool],
) -> list[tuple[str, str]]:  # fmt: skip
    """A bar for each value; where there are more than cells, for the worst of some neighbours."""
    each = -(-len(values) // cells) or 1
    chosen = [worst(values[start : start + each]) for start in range(0, len(values), each)]
    return [("▁▂▃▄▅▆▇█"[level(one)], "$text-success" if good(one) else "$text-warning") for one in chosen]


def gradient_strip(state: State, cells: int) -> tuple[list[tuple[str, str]], str]:
    """One bar a layer of the body, or the least of neighbours: what it passes back of a gradient, over its bound."""
    shares = [gradient_kept(report) for report in state.layers.values() if report.role == "body"]
    kept = [one if math.isfinite(one) else -math.inf for one in shares if one is not None]
    runs = _bars(
        kept, cells, min, lambda value: min(max(round(8 * value) - 1, 0), 7) if value > -math.inf else 7,
        lambda value: value > 0.99,
    )  # fmt: skip
    most = loses_most(state.layers.values())
    if most is None or most.gradient_norm is None:
        return runs, "~ all 1" if kept else ""
    return runs, f"~{gradient_kept(most):.2f} in {harmless(most.name, 24, keep='end')}"


def warnings(state: State) -> list[tuple[str, Goto | None]]:
    """What to worry about, each with the way to its cause."""
    found: list[tuple[str, Goto | None]] = [
        (f"{harmless(report.name, 40, keep='end')} holds numbers that are not finite", Goto("layers", report.name))
        for report in state.layers.values()
        if spoiled(report)
    ]
    verdict = state.verdict
    if verdict is not None and verdict.layer and answer(state).status != "proved":
        found.append((f"{harmless(verdict.layer, 40, keep='end')} decides the verdict", Goto("layers", verdict.layer)))
    elif answer(state).status == "not-proved":
        found.append((answer(state).reason, Goto("layers")))
    else:
        found += [
            (f"{harmless(report.name, 30, keep='end')}: {bound_text(report.bound)}", Goto("layers", report.name))
            for report in state.layers.values()
            if report.role == "body" and report.bound.proved and report.bound.value > allowed(1)
        ][:3]
    if state.stale:
        found.append(("the radii are about another model file", Goto("radii")))
    certificates = state.results.certificates
    if certificates is not None and certificates.standing == "claimed":
        checked = state.results.checked
        looked = f" ({harmless(checked, 80)})" if checked is not None else ""
        found.append((f"the radii are claimed by somebody else, not proved here{looked}", Goto("radii")))
    if certificates is not None and certificates.attack_distance is not None:
        inside = int((certificates.attack_distance < certificates.radius).sum())
        if inside:
            whose = ("a claimed", "claimed") if certificates.standing == "claimed" else ("an", "certified")
            found.append((f"{whose[0]} attack came INSIDE {inside} {whose[1]} radii", Goto("radii")))
    if state.phase is Phase.FAILED and state.failure is not None:
        said = state.failure.what
        spoilt = next((tensor.name for tensor in state.header.tensors if tensor.name in said.split()), None)
        found.append((harmless(said, 120), Goto("layers", parent(spoilt)) if spoilt else None))
    if state.phase is Phase.CANCELLED:
        found.append((f"the analysis was cancelled{missing(state)}; r starts it again", None))
    return found


def missing(state: State) -> str:
    """What a cancelled analysis did not get to once the bounds were proved, in words."""
    what, _, layer = state.doing.partition(" of ")
    if what == "gradient norms":
        return " before gradients and singular values were measured"
    if what == "singular values":
        return f" before the singular values from {harmless(layer, 40, keep='end')} on were measured"
    return ""
