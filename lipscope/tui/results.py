"""What the screens say about the results file, and the counts beside the certified one. Pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lipscope.tui.numerals import rate_text
from lipscope.tui.text import harmless
from lipscope.tui.work.state import State
from lipscope.units import largest_not_above

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates


def standing_text(certificates: Certificates) -> str:
    """Whose radii these are, in words."""
    from lipscope.records.certificates import WORDS

    return WORDS[certificates.standing]


def verdict_words(certificates: Certificates) -> tuple[str, str]:
    """``certified`` and its colour; what somebody else claims is not proved, and looks so."""
    return ("claimed", "$text-warning") if certificates.standing == "claimed" else ("certified", "$text-success")


def data_text(certificates: Certificates) -> str:
    """Which images they are about."""
    name = harmless(f"{certificates.data_name} {certificates.data_split}", 40)
    return f"{len(certificates):,} images of {name}"


@dataclass(frozen=True)
class Side:
    """Another count beside the certified one.

    Args:
        heading: of its column.
        words: what it is.
        count: how many images, at a radius.
        total: out of how many.
    """

    heading: str
    words: str
    count: Callable[[Fraction], int]
    total: int

    def text(self, eps: Fraction, of: int) -> str:
        """A share where it is one of the same images as the column beside it, else how many of how many."""
        count = self.count(eps)
        return rate_text(count, self.total) if self.total == of else f"{count:,}/{self.total:,}"


def other_sides(certificates: Certificates) -> list[Side]:
    """What an attack could not break, where the results hold it: never mixed with the radii."""
    sides = []
    distance = certificates.attack_distance
    if distance is not None:
        attacked = certificates.attacked
        correct, total = certificates.correct & attacked, int(attacked.sum())

        def unbroken(eps: Fraction) -> int:
            return int((correct & (distance > largest_not_above(eps))).sum())

        words = f"attack ≤: not broken, of {total:,} attacked; their true robust share is at most that"
        sides.append(Side("attack ≤", words, unbroken, total))
    return sides


def results_notice(state: State) -> str:
    """Why there are no radii to see, or why they are not to be trusted; empty when all is well."""
    results, path = state.results, state.header.path
    if results.reading:
        return "reading the results file …"
    if results.error is not None:
        step = results.error.next_step or f"run `{certify_command(path, force=True)}`"
        why = f" ({harmless(results.error.why, 200)})" if results.error.why else ""
        return f"The results file cannot be used: {harmless(results.error.what, 200)}{why}. Next: {harmless(step)}."
    if results.certificates is None:
        if state.header.config is None:
            return "No radii: lipscope has no model for this file, so it cannot certify it."
        return (
            f"No results beside the model yet. w on Radii, or `{certify_command(path)}`, computes how far around each "
            "test image the prediction is proved, and keeps the radii beside the model for this screen."
        )
    if state.stale:
        return (
            "STALE: these radii are about another model file (SHA-256 differs); "
            f"run `{certify_command(path, force=True)}`"
        )
    if state.stale is None and state.phase.active:
        return "Checking that the results are about this very file …"
    if results.certificates.standing == "claimed":
        checked = results.checked
        if checked is not None and not checked.holds:
            return f"NOT TRUE: {harmless(str(checked), 200)}; `{certify_command(path)}` proves radii of your own"
        found = f" ({harmless(str(checked), 80)})" if checked is not None else ""
        return (
            f"CLAIMED by somebody else ({harmless(results.certificates.reason, 120)}), not proved here{found}; "
            f"`{certify_command(path)}` proves radii of your own"
        )
    return ""


def certify_command(path: Path, *, force: bool = False) -> str:
    """The command that makes the results file, ready to be copied where the path is short enough.

    >>> certify_command(Path("my models/a.safetensors"))
    "lipscope certify 'my models/a.safetensors'"
    """
    return f"lipscope certify {'--force ' if force else ''}{harmless(shlex.quote(str(path)), 120, keep='end')}"
