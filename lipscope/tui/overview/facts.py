"""What the overview lists: what the file claims, and what lipscope recomputed. Pure functions of the state."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import Header
from lipscope.records import NEAR_ONE, LayerReport
from lipscope.tui.numerals import bound_text, estimate_text, size_text
from lipscope.tui.panes import of
from lipscope.tui.widgets.notice import Fact
from lipscope.tui.work.state import Phase, State
from lipscope.visible import counted, duration, harmless

CLAIMED_FIRST = {
    "architecture": "architecture",
    "blocks": "blocks per stage",
    "channels": "first channels",
    "activation": "activation",
    "head": "head",
    "terms": "series terms",
    "classes": "classes",
    "dataset": "data set",
    "mean": "input mean",
    "std": "input std",
}
"""Keys of ``lipscope.config`` with their labels, in the order of interest."""

NOT_SHOWN = ("layers", "schema")
"""Of a file that describes itself: its layers have a screen of their own."""

MOST_CLAIMS = 40


def claims(header: Header) -> list[Fact]:
    """What the metadata claim; nothing of it is verified here."""
    if header.config is None:
        facts = [(key, value) for key, value in header.metadata.items()]
    else:
        config = header.config
        known = [key for key in CLAIMED_FIRST if key in config]
        facts = [(CLAIMED_FIRST[key], _plain(config[key])) for key in known]
        facts += [(key, _plain(value)) for key, value in config.items() if key not in (*CLAIMED_FIRST, *NOT_SHOWN)]
        facts += _training_claims(header)
        facts += [("written by", f"lipscope {header.metadata.get('lipscope.version', '?')}")]
    shown = [(harmless(label, 24), harmless(value, 400)) for label, value in facts[:MOST_CLAIMS]]
    if len(facts) > MOST_CLAIMS:
        shown.append(("and more", f"{len(facts) - MOST_CLAIMS} further"))
    return shown or [("metadata", "none: the file claims nothing")]


def _training_claims(header: Header) -> list[Fact]:
    try:
        training = header.training
    except CheckpointError as error:
        return [("training", error.what)]
    facts: list[Fact] = []
    for key, value in training.items():
        if key == "wall_seconds" and isinstance(value, int | float) and math.isfinite(value):
            facts.append(("wall time", duration(float(value))))
        elif key == "recipe" and isinstance(value, Mapping):
            said = [f"{k} {_plain(v)}" for k, v in list(value.items())[:MOST_CLAIMS] if v is not None and v != ""]
            facts.append(("recipe", ", ".join(said)))
        else:
            facts.append((key, _plain(value)))
    return facts


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) <= 8 and all(isinstance(item, int | float) for item in value):
        return ", ".join(f"{item:.4g}" for item in value)
    return json.dumps(value)


def file_facts(state: State) -> list[Fact]:
    """What the bytes of the file tell before anything is computed."""
    header = state.header
    if state.phase is Phase.WAITING:
        return [("file", harmless(header.path, keep="end")), ("size", "is known when it is analysed")]
    dtypes = sorted({harmless(tensor.dtype, 10) for tensor in header.tensors})
    return [
        ("file", harmless(header.path, keep="end")),
        ("size", size_text(header.file_size)),
        ("parameters", f"{header.parameters:,} in {counted(len(header.tensors), 'tensor')}"),
        ("stored as", ", ".join(dtypes[:6]) or "nothing"),
        ("SHA-256", state.sha256[:32] + "…" if state.sha256 else "being computed"),
    ]


def recomputed(state: State) -> list[Fact]:
    """What lipscope computed from the bytes, each fact with the word proved or estimate."""
    reports = list(state.layers.values())
    tensors_only = bool(reports) and all(report.role == "tensor" for report in reports)
    facts: list[Fact] = []
    if reports and not tensors_only and state.verdict is not None:
        claim = "the description" if state.header.config is None else "the claimed architecture"
        facts.append(("model", f"{counted(len(reports), 'layer')}; the stored tensors fit {claim}"))
    if reports:
        proved = sum(report.bound.proved and math.isfinite(report.bound.value) for report in reports)
        what = "tensor" if tensors_only else "layer"
        facts.append(("bounds", f"proved for {proved} of {counted(len(reports), what)}"))
    facts += [
        (f"{report.role}", f"{bound_text(report.bound)} {'(proved)' if report.bound.proved else ''}".strip())
        for report in reports
        if report.role == "normalisation"
    ]
    if found := _extreme(reports, lambda one: of(one.sigma_max, "value"), largest=True):
        facts.append(("σ max", f"largest {estimate_text(found[0])} in {found[1]} (estimate)"))
    if found := _extreme(reports, lambda one: of(one.sigma_min, "value")):
        facts.append(("σ min", f"smallest {estimate_text(found[0])} in {found[1]} (estimate)"))
    body = [one for one in reports if one.role == "body"]  # whose shapes could keep all singular values
    if found := _extreme(body, lambda one: of(one.spectrum, "at_one")):
        where = f"fewest in {found[1]}: " if found[0] < 1 else "in every layer of the body "
        facts.append(("σ at 1", f"{where}{100 * found[0]:.1f}% within {NEAR_ONE} (estimate)"))
    passing = [one for one in reports if one.role != "head"]
    if found := _extreme(passing, lambda one: of(one.gradient_norm, "mean")):
        facts.append(("gradient norm", f"lowest mean {found[0]:.4f} in {found[1]} (estimate)"))
    if facts:
        return facts
    if state.phase is Phase.WAITING:
        return [("", state.doing)]
    if state.phase.active:
        return [("", "the analysis has begun; its first results appear here")]
    return [("", "nothing: the analysis did not get that far")]


def _extreme(
    reports: Iterable[LayerReport], number: Callable[[LayerReport], float | None], *, largest: bool = False
) -> tuple[float, str] | None:
    """The smallest number that is known of a layer, or the largest, and the layer; None where none is known."""
    known = ((number(one), harmless(one.name, 40, keep="end")) for one in reports)
    found = [(value, name) for value, name in known if value is not None and not math.isnan(value)]
    return (max if largest else min)(found, key=itemgetter(0), default=None)


def unknowable(state: State) -> str:
    """What a file without a model leaves open; empty for lipscope's own."""
    if state.modelled:
        return ""
    return (
        "lipscope has no model for this file. It shows each tensor on its own; the order and wiring of the "
        "layers, their strides, paddings and activations, and the size of the input are not in the file, so "
        "the Lipschitz constant of the network cannot be known from it. `--describe arch.json` says it."
    )


def sources(state: State) -> dict[str, list[Fact]]:
    """All facts, under the words that say who tells them."""
    return {
        "recomputed by lipscope": recomputed(state), "file": file_facts(state),
        "claimed by the file, not verified": claims(state.header),
    }  # fmt: skip
