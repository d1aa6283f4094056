"""The rows of the layer table: pure functions of the state, so that sorting and filtering need no terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lipscope.files.checkpoint import TensorInfo
from lipscope.records import Estimate, LayerReport
from lipscope.tui.numerals import bound_text, estimate_text, shape_text
from lipscope.tui.text import harmless
from lipscope.tui.work.state import State

PENDING, ABSENT = "…", "–"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        key: the layer's name as it is in the file.
        kind: what it is, or which tensors the header lists under the name.
        report: None while only the header is known.
        active: whether more may become known.
    """

    key: str
    kind: str
    report: LayerReport | None = None
    active: bool = False


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        key: its identifier.
        label: its heading.
        width: in cells; the name takes what is left over.
        importance: 0 is always shown; of the others, the lower the number the sooner.
        cell: the text for a row.
        rank: what rows are sorted by, the worst number or the first name first; None for a row that has nothing
            to be sorted by. All ranks of a column can be compared with each other.
        order: the sort order in words.
    """

    key: str
    label: str
    width: int
    importance: int
    cell: Callable[[Row], str]
    rank: Callable[[Row], Any]
    order: str


def _missing(row: Row) -> str:
    return PENDING if row.active else ABSENT


def _bound(row: Row) -> str:
    return bound_text(row.report.bound) if row.report else _missing(row)


def _bound_rank(row: Row) -> float | None:
    if row.report is None:
        return None
    bound = row.report.bound
    proved = bound.proved and math.isfinite(bound.value)
    return -bound.value if proved else -math.inf


def _estimate(which: str) -> Callable[[Row], Estimate | None]:
    return lambda row: getattr(row.report, which) if row.report else None


def _estimate_cell(which: str) -> Callable[[Row], str]:
    find = _estimate(which)

    def cell(row: Row) -> str:
        estimate = find(row)
        return estimate_text(estimate.value) if estimate else _missing(row)

    return cell


def _estimate_rank(which: str, sign: int) -> Callable[[Row], float | None]:
    find = _estimate(which)

    def rank(row: Row) -> float | None:
        estimate = find(row)
        if estimate is None:
            return None
        return -math.inf if math.isnan(estimate.value) else sign * estimate.value

    return rank


def _method(row: Row) -> str:
    estimate = row.report.sigma_max if row.report else None
    return harmless(re.split(r"[\s,;:(]", estimate.method, maxsplit=1)[0], 9) if estimate else _missing(row)


def _gradient(row: Row) -> str:
    gradient = row.report.gradient_norm if row.report else None
    return f"{gradient.mean:.4f}" if gradient else _missing(row)


def _gradient_rank(row: Row) -> float | None:
    gradient = row.report.gradient_norm if row.report else None
    if gradient is None:
        return None
    return -math.inf if math.isnan(gradient.mean) else gradient.mean


def _share(row: Row) -> float | None:
    spectrum = row.report.spectrum if row.report else None
    return spectrum.at_one if spectrum is not None else None


def _kept(row: Row) -> str:
    share = _share(row)
    return _missing(row) if share is None else f"{100 * share:.1f}%"


def _shape(which: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        if row.report is None:
            return _missing(row)
        return harmless(shape_text(getattr(row.report, which)), 9)

    return cell


def _shape_rank(which: str) -> Callable[[Row], int | None]:
    def rank(row: Row) -> int | None:
        shape = getattr(row.report, which) if row.report else None
        return None if shape is None else -math.prod(shape)

    return rank


COLUMNS: tuple[Column, ...] = (
    Column("name", "layer", 14, 0, lambda row: row.key, lambda row: natural(row.key), "by name"),
    Column("kind", "kind", 17, 5, lambda row: harmless(row.kind, 17), lambda row: row.kind.casefold(), "by kind"),
    Column("input", "in", 9, 7, _shape("input_shape"), _shape_rank("input_shape"), "input size, largest first"),
    Column("output", "out", 9, 6, _shape("output_shape"), _shape_rank("output_shape"), "output size, largest first"),
    Column("bound", "upper bound", 14, 0, _bound, _bound_rank, "upper bound, largest first"),
    Column("sigma_min", "est. σmin", 9, 2, _estimate_cell("sigma_min"), _estimate_rank("sigma_min", 1),
           "σ min, smallest first"),
    Column("sigma_max", "est. σmax", 9, 1, _estimate_cell("sigma_max"), _estimate_rank("sigma_max", -1),
           "σ max, largest first"),
    Column("kept", "est. σ=1", 8, 8, _kept, _share, "share of σ at 1, smallest first"),
    Column("method", "σ method", 9, 9, _method, lambda row: _method(row) if row.report else None, "by σ method"),
    Column("gradient", "est. grad", 9, 3, _gradient, _gradient_rank, "gradient norm, smallest first"),
)  # fmt: skip
"""In the order of the table. Bounds are proved unless they say otherwise; σ and gradient are estimates."""

GAP = 2
"""Cells between columns."""

WIDEST_NAME = 44


def fitting_columns(width: int, longest_name: int) -> tuple[tuple[Column, int], ...]:
    """The columns that fit into ``width`` cells, with their widths: the important ones whole, never half a one.

    >>> [column.key for column, _ in fitting_columns(56, 30)]
    ['name', 'bound', 'sigma_max']
    """
    wanted = max(COLUMNS[0].width, min(longest_name, 26))
    chosen = {column.key for column in COLUMNS if column.importance == 0}
    used = sum(column.width + GAP for column in COLUMNS[1:] if column.key in chosen) + GAP
    for column in sorted(COLUMNS, key=lambda column: column.importance):
        # A name gives way to the first columns, and further ones only take what a whole name leaves.
        name = {1: 14, 2: 18, 3: 18}.get(column.importance, wanted)
        if column.key not in chosen and used + column.width + GAP + name <= width:
            chosen.add(column.key)
            used += column.width + GAP
    name_width = max(8, min(width - used, max(longest_name, COLUMNS[0].width), WIDEST_NAME))
    return tuple(
        (column, name_width if column.key == "name" else column.width) for column in COLUMNS if column.key in chosen
    )


def row_text(row: Row) -> str:
    """One layer in a few words, each number called a bound or an estimate.

    >>> row_text(Row("head", "dense"))
    'head'
    """
    parts = [harmless(row.key, WIDEST_NAME, keep="end")]
    report = row.report
    if report is not None:
        parts.append(f"bound {bound_text(report.bound)}")
        if report.sigma_min is not None and report.sigma_max is not None:
            values = f"{estimate_text(report.sigma_min.value)} to {estimate_text(report.sigma_max.value)}"
            parts.append(f"est. σ {values}")
    return ", ".join(parts)


def rows(state: State) -> list[Row]:
    """The layers in forward order; before they are known, what the header lists, in natural order.

    A file without a model has no forward order: its tensors are listed in the natural order of their names.
    """
    active = state.phase.active
    known = [Row(name, report.kind, report, active) for name, report in state.layers.items()]
    if known and all(row.report and row.report.role == "tensor" for row in known):
        known.sort(key=lambda row: natural(row.key))
    if state.verdict is not None:
        return known
    names = state.layers.keys()
    covered = {parent(row.key) for row in known if row.report and row.report.role == "tensor"}.union(names)
    waiting = [
        row
        for row in header_rows(state.header.tensors, active=active)
        if row.key not in covered and parent(row.key) not in names
    ]
    if state.header.config is not None:  # lipscope's own names: activations follow, the head comes last
        waiting.sort(key=lambda row: (row.key == "head", natural(row.key.replace(".activation", ".~"))))
    return known + waiting


def parent(name: str) -> str:
    """The name without its last part: the layer that a tensor belongs to, as far as names tell.

    >>> parent("stage1.block1.conv.kernel"), parent("weight")
    ('stage1.block1.conv', 'weight')
    """
    return name.rpartition(".")[0] or name


def header_rows(tensors: Iterable[TensorInfo], *, active: bool) -> list[Row]:
    """One row for all tensors that share a parent name: a layer, as far as names tell."""
    groups: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        groups.setdefault(parent(tensor.name), []).append(tensor)
    return [Row(name, _tensors_text(name, groups[name]), active=active) for name in sorted(groups, key=natural)]


def _tensors_text(group: str, tensors: list[TensorInfo]) -> str:
    parts = [
        f"{harmless(tensor.name[len(group) :].lstrip('.') or 'tensor', 20)} {shape_text(tensor.shape)}"
        for tensor in tensors[:4]
    ]
    return ", ".join(parts) + (f" and {len(tensors) - 4} more" if len(tensors) > 4 else "")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that counts: ``stage2`` before ``stage10``.

    >>> sorted(["stage10.conv", "stage2.conv", "head"], key=natural)
    ['head', 'stage2.conv', 'stage10.conv']
    """
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name[:1000])
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts)


def arranged(all_rows: list[Row], *, wanted: str, sort: str | None, reverse: bool = False) -> list[Row]:
    """The rows whose name or kind contains ``wanted`` (in any case), worst first by the column ``sort``.

    Rows with nothing to sort by come last, also in reverse; equals keep the forward order.
    """
    needle = wanted.casefold()
    kept = [row for row in all_rows if needle in row.key.casefold() or needle in row.kind.casefold()]
    if sort is None:
        return kept[::-1] if reverse else kept
    rank = next(column.rank for column in COLUMNS if column.key == sort)
    ranked = [(place, row) for row in kept if (place := rank(row)) is not None]
    nothing = [row for row in kept if rank(row) is None]
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0], reverse=reverse)] + nothing


NUMBERS = ("bound", "sigma_min", "sigma_max", "kept", "gradient")
"""What one sorts by most: first in the cycle."""


def next_sort(sort: str | None, shown: Iterable[str]) -> str | None:
    """The sort column after ``sort`` among those that are shown, numbers first; None is the forward order.

    >>> next_sort(None, ["name", "bound"]), next_sort("bound", ["name", "bound"]), next_sort("name", ["name", "bound"])
    ('bound', 'name', None)
    """
    columns = sorted(shown, key=lambda key: key not in NUMBERS)
    cycle = [None, *columns]
    return cycle[(cycle.index(sort) + 1) % len(cycle)] if sort in cycle else None
