"""What the screens say about the results file, and the counts beside the certified one. Pure functions."""

from __future__ import annotations

import shlex
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipscope.tui.work.state import Phase, State
from lipscope.units import largest_not_above
from lipscope.visible import harmless

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


def verdict_words(*certificates: Certificates) -> tuple[str, str]:
    """``certified`` and its colour; what somebody else claims of one of them is not proved, and looks so."""
    claimed = any(one.standing == "claimed" for one in certificates)
    return ("claimed", "$text-warning") if claimed else ("certified", "$text-success")


def radius_column(certificates: Certificates | None, words: str) -> str:
    """The name of a column of radii, with what they are: only the user's own are proved."""
    claimed = certificates is not None and certificates.standing == "claimed"
    return f"{words} ({'claimed' if claimed else 'proved lower bound'})"


def sheet_facts(certificates: Certificates) -> dict[str, Any]:
    """Whose the radii are and which images they are about, as data."""
    names = ("name", "split", "fingerprint")
    data = {name: getattr(certificates, f"data_{name}") for name in names}
    return {"standing": certificates.standing, "data": data}


def unbroken(certificates: Certificates, eps: Fraction) -> tuple[int, int] | None:
    """How many attacked images an attack could not break within a radius, and how many were attacked; None without.

    Their true robust share is at most that: it is never mixed with the radii.
    """
    distance = certificates.attack_distance
    if distance is None:
        return None
    tried = certificates.attacked
    held = certificates.correct & tried & (distance > largest_not_above(eps))
    return int(held.sum()), int(tried.sum())


def results_notice(state: State, *, reasons: bool = True) -> str:
    """Why there are no radii to see, or why they are not to be trusted; empty when all is well."""
    results = state.results
    certify = partial(certify_command, state.header.path, results.kept)
    if state.phase is Phase.WAITING:
        return f"No radii: {state.doing}."
    if state.phase is Phase.FAILED and results.certificates is None and results.error is None:
        return "No radii: the analysis failed."
    if results.reading:
        return "reading the results file …"
    if results.error is not None:
        step = results.error.next_step or f"run `{certify(force=True)}`"
        why = f" ({harmless(results.error.why, 200)})" if results.error.why else ""
        return f"The results file cannot be used: {harmless(results.error.what, 200)}{why}. Next: {harmless(step)}."
    if results.certificates is None:
        if state.header.config is None:
            return "No radii: lipscope has no model for this file, so it cannot certify it."
        where = "beside the model" if results.kept is None else f"in {harmless(results.kept, 120, keep='end')}"
        return (
            f"No results {where} yet. w on Radii, or `{certify()}`, computes how far around each test image the "
            f"prediction is proved, and keeps the radii {where} for this screen."
        )
    if state.stale:
        return (
            "STALE: these radii are about another model file; w on Radii makes new ones"
            + reasons * " (SHA-256 differs)"
        )
    if state.stale is None and state.phase.active:
        return "Checking that the results are about this very file …"
    if results.certificates.standing == "claimed":
        checked = results.checked
        if checked is not None and not checked.holds:
            return f"NOT TRUE: {harmless(checked, 200)}; w on Radii proves your own"
        why = "; ".join(harmless(said, 120) for said in (results.certificates.reason, checked) if said)
        return "CLAIMED by somebody else, not proved here; w on Radii proves your own" + reasons * f" ({why})"
    return ""


CHANGED = {
    "same": "",
    "replaced": "! FILE REPLACED: this is about the earlier bytes; r reads the new ones",
    "gone": "! FILE GONE: this is about the bytes that were there",
}


def changed_words(state: State) -> tuple[str, bool]:
    """What to know of a file that is no longer the one that is shown, and whether a training writes it."""
    log = state.run.log if state.run is not None and not state.run.ended else None
    if log is not None and state.on_disk == "replaced":
        return f"epoch {len(log.epochs)} is written; r analyses it (this is about the earlier bytes)", True
    return CHANGED[state.on_disk], log is not None


def certify_command(path: Path, kept: Path | None = None, *, force: bool = False) -> str:
    """The command that makes the results file, ready to be copied where the path is short enough.

    >>> certify_command(Path("my models/a.safetensors"))
    "lipscope certify 'my models/a.safetensors'"
    """
    keep = "" if kept is None else f"--keep {harmless(shlex.quote(str(kept)), 120, keep='end')} "
    return f"lipscope certify {'--force ' if force else ''}{keep}{harmless(shlex.quote(str(path)), 120, keep='end')}"
