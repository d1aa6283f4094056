"""Certified, not certified, wrong: the three shares of a test set as a bar, and over the radii as an area."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from lipscope.tui.plots.bars import EIGHTHS

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

CERTIFIED, NOT, WRONG = "█", "▒", "░"
"""The signs say the same as the colours."""

STYLES = {CERTIFIED: "$success", NOT: "$warning", WRONG: "$error"}

BEHIND = {NOT: "$warning 50%", WRONG: "$error 25%"}
"""What a part of a certified cell lies on: as dense as the sign beside it."""

Runs = list[tuple[str, str]]
"""Characters with their styles."""


def sure_style(certificates: Certificates) -> str:
    """Of the certified share: what somebody else claims is not proved, and looks so."""
    return STYLES[NOT if certificates.standing == "claimed" else CERTIFIED]


def counts(certificates: Certificates, eps: Fraction) -> tuple[int, int, int]:
    """How many images are certified beyond a radius, right but not certified, wrong."""
    certified, correct = certificates.certified_count(eps), int(certificates.correct.sum())
    return certified, correct - certified, len(certificates) - correct


def band_bar(certified: int, not_certified: int, wrong: int, width: int, sure: str = STYLES[CERTIFIED]) -> Runs:
    """The three shares side by side; the first, in the style ``sure``, in eighths of a cell.

    >>> "".join(text for text, _ in band_bar(5, 2, 3, 10))
    '█████▒▒░░░'
    """
    total = max(certified + not_certified + wrong, 1)
    full, rest = divmod(round(8 * width * certified / total), 8)
    right = max(round(width * (certified + not_certified) / total), full + bool(rest))
    part = EIGHTHS[rest] if rest else ""
    behind = NOT if right > full + 1 or not_certified else WRONG
    return [
        (CERTIFIED * full, sure),
        (part, f"{sure} on {BEHIND[behind]}"),
        (NOT * (right - full - bool(rest)), STYLES[NOT]),
        (WRONG * (width - right), STYLES[WRONG]),
    ]
