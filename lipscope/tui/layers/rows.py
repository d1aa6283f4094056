"""The rows of the list of layers: pure functions of the state, so that sorting and filtering need no terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby, pairwise
from typing import Any

from lipscope.files.checkpoint import Header, TensorInfo
from lipscope.records import GRADIENT_KEPT, NEAR_ONE, LayerReport, allowed, loses_most
from lipscope.tui.numerals import bound_text, estimate_text, shape_text
from lipscope.tui.panes import Cells, of
from lipscope.tui.work.state import State
from lipscope.visible import harmless


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    key: str  # the layer's name as it is in the file
    kind: str  # what it is, or which tensors the header lists under the name
    report: LayerReport | None = None  # None while only the header is known
    active: bool = False  # whether more may become known
    fold: str = field(init=False, default="")  # plain or aside where neighbours that are alike are folded with it

    def __post_init__(self) -> None:
        if self.report is not None:
            object.__setattr__(self, "fold", "plain" if plain(self) else "aside" if aside(self) else "")


def _bound_rank(row: Row) -> float | None:
    if row.report is None or row.report.bound.pending:
        return None
    bound = row.report.bound
    proved = bound.proved and math.isfinite(bound.value)
    return -bound.value if proved else -math.inf


def _sigma_rank(row: Row) -> float | None:
    """How far the singular values are from 1, largest first."""
    report = row.report
    extremes = [] if report is None else [one.value for one in (report.sigma_min, report.sigma_max) if one is not None]
    if not extremes:
        return None
    return min(-math.inf if math.isnan(value) else -abs(value - 1) for value in extremes)


def _gradient_rank(row: Row) -> float | None:
    gradient = row.report.gradient_norm if row.report else None
    if gradient is None:
        return None
    return -math.inf if math.isnan(gradient.mean) else gradient.mean


@lru_cache(maxsize=2**18)
def natural(name: str) -> str:
    """A sort key that counts: ``stage2`` before ``stage10``.

    >>> sorted(["stage10.conv", "stage2.conv", "head"], key=natural)
    ['head', 'stage2.conv', 'stage10.conv']
    """
    return ".".join(map(_natural_part, name[:1000].split(".")))


@lru_cache(maxsize=2**14)
def _natural_part(part: str) -> str:
    """The names of 100,000 tensors are made of a few hundred parts."""
    return re.sub(r"[0-9]{1,18}", lambda number: "\0" + number[0].rjust(18, "0"), part)


SORTS: dict[str, tuple[Callable[[Row], Any], str]] = {
    "bound": (_bound_rank, "upper bound, largest first"),
    "sigma": (_sigma_rank, "σ, farthest from 1 first"),
    "gradient": (_gradient_rank, "gradient norm, smallest first"),
    "name": (lambda row: natural(row.key), "by name"),
    "kind": (lambda row: row.kind.casefold(), "by kind"),
}
"""What rows are sorted by, the worst number or the first name first, with the order in words. Rows of which nothing is
known come last."""

WIDEST_NAME = 44


def plain(row: Row) -> bool:
    """Whether there is nothing to see in a layer: bound 1, all singular values at 1, the whole gradient passed back."""
    report = row.report
    if report is None or report.role != "body" or not (report.bound.proved and report.bound.value <= allowed(1)):
        return False
    sigmas = [one.value for one in (report.sigma_min, report.sigma_max) if one is not None]
    gradient = report.gradient_norm
    return all(abs(value - 1) <= NEAR_ONE for value in sigmas) and (
        gradient is None or gradient.mean >= GRADIENT_KEPT
    )  # fmt: skip


def spoiled(report: LayerReport) -> bool:
    """Whether some of its numbers are not finite."""
    sigma = report.sigma_max.value if report.sigma_max is not None else 0.0
    said = (report.bound.reason, *report.notes)
    return math.isnan(report.bound.value) or math.isnan(sigma) or any("NaN or infinite" in text for text in said)


def aside(row: Row) -> bool:
    """Whether it is a tensor that is no map: a bias, a buffer; one that holds NaN is not passed over."""
    report = row.report
    if report is None or report.role != "tensor" or report.bound.proved or report.bound.pending:
        return False
    return not spoiled(report)


Line = tuple[Row, ...]
"""One line of the list: a layer, a weight with its bias and buffers, or neighbours that are alike, folded into one."""


def line_name(line: Line) -> str:
    """The name of a layer; ``stage2 … stage5``: the parts of the first and last name up to where they differ."""
    if not is_run(line):
        return line[0].key
    first, last = line[0].key.split("."), line[-1].key.split(".")
    depth = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0) + 1
    return f"{'.'.join(first[:depth])} … {'.'.join(last[:depth])}"


def is_run(line: Line) -> bool:
    """Whether it stands for neighbours that are alike, and for no one of them."""
    return len(line) > 1 and bool(line[0].fold)


RUN = 3
"""Neighbours from which on they are folded."""


def folded(all_rows: Sequence[Row], unfolded: Collection[str] = ()) -> list[Line]:
    """Biases and buffers folded into the line of their weight, rows of which there is nothing to see with neighbours.

    What was unfolded, told by the first row of its line, is not.
    """
    lines: list[Line] = []
    for kind, group in groupby(_by_weight(all_rows, unfolded), key=lambda line: line[0].fold):
        run = tuple(group)
        whole = bool(kind) and len(run) >= (2 if kind == "aside" else RUN) and run[0][0].key not in unfolded
        lines += [tuple(row for (row,) in run)] if whole else run
    return lines


def _by_weight(all_rows: Sequence[Row], unfolded: Collection[str]) -> Iterator[Line]:
    """The one weight below a name with what stands aside of it; any other row alone."""
    for _, group in groupby(all_rows, key=lambda row: parent(row.key)):
        run = tuple(group)
        weights = [row for row in run if row.fold != "aside"]
        if len(weights) == 1 and weights[0].key not in unfolded:
            yield (weights[0], *(row for row in run if row is not weights[0]))
        else:
            yield from ((row,) for row in run)


def main_row(state: State) -> str:
    """The layer that matters most: that of the verdict, else that loses most, else of the largest bound above 1."""
    verdict = state.verdict
    if verdict is not None and verdict.layer and verdict.status != "proved":
        return verdict.layer
    most = loses_most(state.layers.values())
    if most is None and verdict is not None:  # all bounds are known
        layers = (layer for layer in state.layers.values() if layer.role in ("body", "tensor") and layer.bound.proved)
        above = (layer for layer in layers if allowed(1) < layer.bound.value < math.inf)
        most = max(above, key=lambda layer: layer.bound.value, default=None)
    return most.name if most is not None else ""


def row_text(row: Row) -> str:
    """One layer in a few words, each number called a bound or an estimate."""
    parts = [harmless(row.key, WIDEST_NAME, keep="end")]
    report = row.report
    if report is not None:
        parts.append(f"bound {bound_text(report.bound)}")
        if report.sigma_min is not None and report.sigma_max is not None:
            values = f"{estimate_text(report.sigma_min.value)} to {estimate_text(report.sigma_max.value)}"
            parts.append(f"est. σ {values}")
    return ", ".join(parts)


@dataclass(eq=False)
class Rows:
    """The rows of one file: each is made once, and again when more is known of its layer."""

    header: Header
    _made: dict[str, Row] = field(default_factory=dict, init=False)

    @cached_property
    def by_name(self) -> bool:
        """Whether the writer of the file has sorted its tensors by name, those of one type together, as most do."""
        return all(one.name <= other.name for one, other in pairwise(self.header.tensors) if one.dtype == other.dtype)

    @cached_property
    def _groups(self) -> dict[str, str]:
        """What the header lists, in natural order: which tensors share a parent name, a layer as far as names tell."""
        groups: dict[str, list[TensorInfo]] = {}
        for tensor in self.header.tensors:
            groups.setdefault(parent(tensor.name), []).append(tensor)
        key = natural if self.header.config is None else _forward
        return {name: _tensors_text(name, groups[name]) for name in sorted(groups, key=key)}

    def at(self, state: State) -> list[Row]:
        """The layers in forward order; before they are known, what the header lists, in natural order.

        A file without a model has no forward order: its tensors are listed in the order of the file, or in the natural
        order of their names where its writer has sorted them.
        """
        active = state.phase.active
        known = [self._row(name, report.kind, report, active) for name, report in state.layers.items()]
        if known and all(row.report and row.report.role == "tensor" for row in known) and self.by_name:
            known.sort(key=lambda row: natural(row.key))
        if state.verdict is not None:
            return known
        names = state.layers.keys()
        waiting: Iterable[tuple[str, str]] = self._groups.items()
        if known:
            covered = {parent(row.key) for row in known if row.report and row.report.role == "tensor"}.union(names)
            waiting = [(name, kind) for name, kind in waiting if name not in covered and parent(name) not in names]
        return known + [self._row(name, kind, None, active) for name, kind in waiting]

    def _row(self, name: str, kind: str, report: LayerReport | None, active: bool) -> Row:
        row = self._made.get(name)
        if row is None or row.report is not report or row.active is not active:
            row = self._made[name] = Row(name, kind, report, active)
        return row


def _forward(name: str) -> tuple[bool, str]:
    """A sort key for lipscope's own names: activations follow, the head comes last."""
    return name == "head", natural(name.replace(".activation", ".~"))


def parent(name: str) -> str:
    """The name without its last part: the layer that a tensor belongs to, as far as names tell.

    >>> parent("stage1.block1.conv.kernel"), parent("weight")
    ('stage1.block1.conv', 'weight')
    """
    return name.rpartition(".")[0] or name


@lru_cache(maxsize=2**12)
def _tensor_text(ending: str, shape: tuple[int, ...]) -> str:
    """Of 100,000 tensors most end alike."""
    return f"{harmless(ending.lstrip('.') or 'tensor', 20)} {shape_text(shape)}"


def _tensors_text(group: str, tensors: list[TensorInfo]) -> str:
    parts = [_tensor_text(tensor.name[len(group) :], tensor.shape) for tensor in tensors[:4]]
    return ", ".join(parts) + (f" and {len(tensors) - 4} more" if len(tensors) > 4 else "")


def arranged(all_rows: Sequence[Row], *, wanted: str, sort: str | None, reverse: bool = False) -> list[Row]:
    """The rows whose name or kind contains ``wanted`` (in any case), worst first by the column ``sort``.

    Rows with nothing to sort by come last, also in reverse; equals keep the forward order.
    """
    needle = wanted.casefold()
    kept = [row for row in all_rows if needle in row.key.casefold() or needle in row.kind.casefold()]
    if sort is None:
        return kept[::-1] if reverse else kept
    rank = SORTS[sort][0]
    ranked = [(place, row) for row in kept if (place := rank(row)) is not None]
    nothing = [row for row in kept if rank(row) is None]
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0], reverse=reverse)] + nothing


def sheet_row(row: Row) -> Cells:
    """One layer; what is not known is None."""
    report = row.report
    bound, low, high, norms = (of(report, name) for name in ("bound", "sigma_min", "sigma_max", "gradient_norm"))
    shapes = (of(report, "input_shape"), of(report, "output_shape"))
    inside, outside = (None if shape is None else shape_text(shape) for shape in shapes)
    return {
        "name": row.key, "kind": of(report, "kind") or row.kind, "role": of(report, "role"),
        "input_shape": inside, "output_shape": outside,
        "bound": of(bound, "value") if of(bound, "proved") else None,
        "bound_proved": of(bound, "proved"),
        "bound_method": of(bound, "method") if of(bound, "proved") else of(bound, "reason"),
        "sigma_min_estimate": of(low, "value"), "sigma_max_estimate": of(high, "value"),
        "sigma_method": of(high, "method"),
        "share_of_sigma_near_1_estimate": of(of(report, "spectrum"), "at_one"),
        "gradient_norm_mean_estimate": of(norms, "mean"), "gradient_norm_min_estimate": of(norms, "minimum"),
        "gradient_norm_max_estimate": of(norms, "maximum"),
    }  # fmt: skip
