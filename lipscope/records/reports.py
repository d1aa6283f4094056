"""What is known of a whole file: the steps of an analysis, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from lipscope.records.layers import LayerReport, Tightness, loses_most
from lipscope.records.numbers import round_up
from lipscope.records.verdict import Chain, Check, Verdict


@dataclass(frozen=True)
class AnalysisEvent:
    """One step of an analysis in progress, as the app shows it.

    Args:
        done, total: steps finished and steps in all.
        doing: what comes next, in words; empty at the end.
        layer: a report that replaces the earlier one of the same name.
        verdict: at the end of the bounds, and at the end of all; the last one counts.
        chain: the constants from end to end, at the end of the bounds.
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
    chain: Chain | None = None


@dataclass(frozen=True, repr=False)
class InspectReport:
    """Everything `lipscope inspect` says of one file.

    Args:
        path, sha256, architecture: the file; architecture is None where lipscope has no model for it.
        claims: the metadata of the file, which it merely claims.
        verdict: see :class:`Verdict`.
        layers: one report per layer, in forward order (one per tensor for unknown files).
        environment: versions, device, precision flags.
        tightness: of the certificate, end to end; None where no margin could be measured.
        notes: on the file as a whole, one sentence each.
        chain: the constants from end to end; None where the file does not say how its tensors are connected.
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
    chain: Chain | None = None

    def __repr__(self) -> str:
        """The verdict, and a line per layer: what a notebook or a prompt shows."""
        widths = [max(map(len, column)) for column in zip(*self._table(), strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in self._table()
        ]
        return "\n".join([f"{self.path}: {self.verdict.headline}", *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        """The same as an HTML table, for a notebook."""
        head, *rows = ([escape(cell) for cell in row] for row in self._table())
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        titles = "".join(f"<th>{cell}</th>" for cell in head)
        about = f"<p><b>{escape(self.verdict.headline)}</b><br>{escape(self.path)}</p>"
        return f"{about}<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"

    def _table(self) -> list[tuple[str, ...]]:
        """By layer, with what is proved and what is estimated told apart in the titles."""
        rows: list[tuple[str, ...]] = [
            ("layer", "kind", "proved bound", "est. s min", "est. s max", "est. gradient kept")
        ]
        for layer in self.layers:
            bound = round_up(layer.bound.value) if layer.bound.proved else "not proved"
            ends = (f"{end.value:.6f}" if end else "" for end in (layer.sigma_min, layer.sigma_max))
            kept = f"{layer.gradient_norm.mean:.4f}" if layer.gradient_norm else ""
            rows.append((layer.name, layer.kind, bound, *ends, kept))
        return rows

    def check(self, limit: float = 1.0, *, whole: bool = False) -> Check:
        """Whether a constant of at most ``limit`` is proved of the body, or of the whole network."""
        return Check(limit, None if self.chain is None else self.chain.whole if whole else self.chain.body)

    def to_json(self) -> dict[str, Any]:
        """The object printed by ``lipscope inspect --json``."""
        losing = loses_most(self.layers)
        return {
            "schema": "lipscope.inspect/1",
            "model": {"path": self.path, "sha256": self.sha256, "architecture": self.architecture},
            "verdict": self.verdict.to_json(),
            "chain": self.chain.to_json() if self.chain else None,
            "tightness": self.tightness.to_json() if self.tightness else None,
            "loses_most": losing.name if losing else None,
            "notes": list(self.notes),
            "layers": [layer.to_json() for layer in self.layers],
            "claims": dict(self.claims),
            "environment": dict(self.environment),
        }
