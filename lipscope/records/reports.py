"""What is known of a whole file: the verdict, the steps of an analysis, the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lipscope.records.layers import LayerReport, Tightness, loses_most
from lipscope.records.numbers import round_up

VERDICT_TOLERANCE = 1e-9
"""How far above 1 a proved product may lie (rounding of the bounds) and still be called 1-Lipschitz."""


def allowed(limit: float) -> float:
    """The largest proved bound that passes for a limit: itself; for 1 what is called 1-Lipschitz, rounding counted.

    >>> allowed(2.0), allowed(1.0) > 1
    (2.0, True)
    """
    return 1 + VERDICT_TOLERANCE if limit == 1 else limit


@dataclass(frozen=True)
class Verdict:
    """The answer to the question: is this file really 1-Lipschitz?

    It speaks of the network on normalised inputs, up to the features before the head.

    Args:
        status: ``"proved"``, ``"violated"`` or ``"not-proved"``.
        lipschitz: the proved upper bound (``proved``), the exhibited ratio (``violated``), else None.
        reason: the layer and the method that decide, in words.
        layer: the name of the layer that decides; None where it is not one alone.
    """

    status: Literal["proved", "violated", "not-proved"]
    lipschitz: float | None
    reason: str
    layer: str | None = None

    def within(self, limit: float) -> bool:
        """Whether a Lipschitz constant of at most ``limit`` is proved; 1 means what is called 1-Lipschitz.

        >>> Verdict("proved", 1.0, "").within(1.0), Verdict("not-proved", None, "").within(9.0)
        (True, False)
        """
        return self.status == "proved" and self.lipschitz is not None and self.lipschitz <= allowed(limit)

    @property
    def headline(self) -> str:
        """One line for a person.

        >>> Verdict("proved", 1.375, "product of 12 layers").headline
        'PROVED with L <= 1.375 (product of 12 layers)'
        """
        if self.status == "proved" and self.lipschitz is not None:
            limit = "1-Lipschitz (L <= {})" if self.lipschitz <= 1 + VERDICT_TOLERANCE else "with L <= {}"
            return f"PROVED {limit.format(round_up(self.lipschitz))} ({self.reason})"
        if self.status == "violated":
            return f"VIOLATED ({self.reason})"
        return f"NOT PROVED ({self.reason})"

    def to_json(self) -> dict[str, Any]:
        """The verdict as in ``lipscope.inspect/1``."""
        return {**asdict(self), "headline": self.headline}


@dataclass(frozen=True)
class AnalysisEvent:
    """One step of an analysis in progress, as the app shows it.

    Args:
        done, total: steps finished and steps in all.
        doing: what comes next, in words; empty at the end.
        layer: a report that replaces the earlier one of the same name.
        verdict: at the end of the bounds.
        tightness: of the certificate, with the gradient norms.
        notes: on the file as a whole, one sentence each.
    """

    done: int
    total: int
    doing: str
    layer: LayerReport | None = None
    verdict: Verdict | None = None
    tightness: Tightness | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InspectReport:
    """Everything `lipscope inspect` says of one file.

    Args:
        path, sha256, architecture: the file; architecture is None where lipscope has no model for it.
        claims: the metadata of the file, which it merely claims.
        verdict: see :class:`Verdict`.
        layers: one report a layer, in forward order (one a tensor for unknown files).
        environment: versions, device, precision flags.
        tightness: of the certificate, end to end; None where no margin could be measured.
        notes: on the file as a whole, one sentence each.
    """

    path: str
    sha256: str
    architecture: str | None
    claims: Mapping[str, str]
    verdict: Verdict
    layers: tuple[LayerReport, ...]
    environment: Mapping[str, Any] = field(default_factory=dict)
    tightness: Tightness | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object printed by ``lipscope inspect --json``."""
        losing = loses_most(self.layers)
        return {
            "schema": "lipscope.inspect/1",
            "model": {"path": self.path, "sha256": self.sha256, "architecture": self.architecture},
            "verdict": self.verdict.to_json(),
            "tightness": self.tightness.to_json() if self.tightness else None,
            "loses_most": losing.name if losing else None,
            "notes": list(self.notes),
            "layers": [layer.to_json() for layer in self.layers],
            "claims": dict(self.claims),
            "environment": dict(self.environment),
        }
