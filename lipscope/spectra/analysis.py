"""The analysis behind ``lipscope inspect``: layer by layer, the most important facts first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lipscope.bounds.rounding import product_up
from lipscope.checkpoint import Header, read_header, sha256_of
from lipscope.data import ImageSet, load
from lipscope.environment import environment, full_precision
from lipscope.errors import CheckpointError, DataError, UsageError
from lipscope.layers.contract import LinearLayer, LipschitzLayer
from lipscope.layers.heads import Head
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.stored import StoredModel, load_model
from lipscope.records import AnalysisEvent, InspectReport, LayerReport, Shape, Tightness
from lipscope.spectra.gradients import GradientFlow, gradient_flow, tightness
from lipscope.spectra.singular_values import measure
from lipscope.spectra.tensors import analyse_tensor, listed
from lipscope.spectra.verdict import verdict

IMAGES = 64
"""Images on which gradient norms are measured."""


def analyse(path: Path, *, data_dir: Path | None = None) -> Iterator[AnalysisEvent]:
    """Analyse a safetensors file, yielding every fact as soon as it is known.

    First all layers with their bounds, then the verdict, then gradient norms, then singular values; a later report of
    a layer replaces the earlier one, and the last verdict counts. Stop iterating to cancel.

    Args:
        path: a lipscope checkpoint, or any safetensors file, whose tensors are then analysed one by one.
        data_dir: where to look for the data set of the gradient norms.

    Raises:
        CheckpointError: the file is damaged, or is not what it claims to be.
    """
    header = read_header(path)
    yield from _unknown(header) if header.config is None else _model(load_model(path), data_dir)


def inspect_report(path: Path, *, data_dir: Path | None = None) -> InspectReport:
    """Run the whole analysis and collect it.

    Raises:
        CheckpointError: as :func:`analyse`; the file changed meanwhile.
    """
    header, digest = read_header(path), sha256_of(path)
    layers: dict[str, LayerReport] = {}
    judged = verdict(())
    tight: Tightness | None = None
    for event in analyse(path, data_dir=data_dir):
        if event.layer is not None:
            layers[event.layer.name] = event.layer
        judged = event.verdict or judged
        tight = event.tightness or tight
    if sha256_of(path) != digest:
        raise CheckpointError("the file changed while it was analysed", where=str(path), next_step="run it again")
    with full_precision():
        context = environment(dtype="float64 bounds and singular values, float32 gradients")
    return InspectReport(
        str(path), digest, header.architecture, header.metadata, judged, tuple(layers.values()), context, tight
    )


@dataclass(frozen=True)
class _Row:
    layer: LipschitzLayer
    input_shape: Shape
    report: LayerReport


def _model(stored: StoredModel, data_dir: Path | None) -> Iterator[AnalysisEvent]:
    net = stored.net
    places = list(net.layers())
    measurable = [name for name, layer, _ in places if _has_spectrum(layer)]
    total = len(places) + 1 + len(measurable)
    rows: dict[str, _Row] = {}
    for done, (name, layer, shape) in enumerate(places):
        row = _Row(layer, shape, _report(name, layer, shape))
        rows[name] = row
        doing = f"bound of {places[done + 1][0]}" if done + 1 < len(places) else "gradient norms"
        yield AnalysisEvent(done + 1, total, doing, row.report)
    reports = [row.report for row in rows.values()]
    judged = verdict(reports)
    yield AnalysisEvent(len(places), total, "gradient norms", verdict=judged)

    images, source = _images(stored, data_dir)
    with full_precision():
        flow = gradient_flow(net, images, source)
    tight = _tightness(flow, net.head, reports)
    done = len(places) + 1
    for name, row in rows.items():
        if name in flow.margin or name in flow.random:
            report = replace(
                row.report,
                gradient_norm=flow.margin.get(name),
                gradient_norm_random=flow.random.get(name),
                gradient_norm_cumulative=flow.cumulative.get(name),
            )
            rows[name] = replace(row, report=report)
            yield AnalysisEvent(done, total, f"singular values of {measurable[0]}", report, tightness=tight)

    gains: list[tuple[str, float]] = []
    for position, name in enumerate(measurable):
        row = rows[name]
        assert isinstance(row.layer, LinearLayer)
        try:
            measured = measure(row.layer.operator(row.input_shape))
        except OverflowError as error:
            report = replace(row.report, notes=(*row.report.notes, str(error)))
        else:
            report = replace(
                row.report, sigma_max=measured.largest, sigma_min=measured.smallest, spectrum=measured.spectrum
            )
            if report.role == "body":
                gains.append((name, measured.gain))
        following = measurable[position + 1 : position + 2]
        doing = f"singular values of {following[0]}" if following else ""
        yield AnalysisEvent(done + position + 1, total, doing, report)
    yield AnalysisEvent(total, total, "", verdict=verdict(reports, gains))


def _tightness(flow: GradientFlow, head: Head, reports: list[LayerReport]) -> Tightness | None:
    """Against the product of the bounds of everything before the head; None when that is not proved."""
    before = [report.bound for report in reports if report.role in ("normalisation", "body")]
    if not all(bound.proved for bound in before):
        return None
    return tightness(flow, head.pair_bounds(), product_up([bound.value for bound in before]))


def _has_spectrum(layer: LipschitzLayer) -> bool:
    return isinstance(layer, LinearLayer) and not isinstance(layer, (Normalize, Flatten))


def _report(name: str, layer: LipschitzLayer, shape: Shape) -> LayerReport:
    notes: tuple[str, ...] = ()
    if isinstance(layer, OrthogonalConv2d):
        floor = layer.singular_value_floor(shape)
        if floor.proved:
            notes += (
                f"every singular value, over the smaller side, is proved to be at least {_round_down(floor.value)}",
            )
        if not layer.gradient_norm_preserving:
            notes += ("more outputs than inputs: gradient outside the range of the layer is legitimately lost",)
        elif layer.out_channels < layer.in_channels * layer.stride**2:
            notes += ("fewer outputs than inputs: directions of the input without effect are not counted",)
    role: Literal["normalisation", "head", "body"] = "body"
    if isinstance(layer, (Normalize, Head)):
        role = "normalisation" if isinstance(layer, Normalize) else "head"
    return LayerReport(name, layer.kind, shape, layer.output_shape(shape), layer.bound(shape), role, notes=notes)


def _round_down(value: float) -> str:
    """Nine decimals, never printing more than the value."""
    return f"{Decimal(value).quantize(Decimal('1e-9'), rounding=ROUND_FLOOR):f}"


def _images(stored: StoredModel, data_dir: Path | None) -> tuple[Tensor, str]:
    """Test images of the model's data set; synthetic ones where it is not there, and which they are."""
    name = str((stored.header.config or {}).get("dataset", ""))
    try:
        data: ImageSet = load(name, "test", data_dir)
        source = f"{IMAGES} images of {data.name} test"
    except (DataError, UsageError) as error:
        data = load("synthetic", "test")
        # A name that lipscope does not know may hold anything, escape sequences too.
        missing = name if isinstance(error, DataError) else f"data set {name[:40]!r}"
        source = f"{IMAGES} synthetic images ({missing} was not found)"
    images = torch.from_numpy(data.images[:IMAGES]).to(torch.float32) / 255
    if images.shape[1:] == stored.net.input_shape:
        return images, source
    generator = torch.Generator().manual_seed(0)
    return torch.rand(IMAGES, *stored.net.input_shape, generator=generator), f"{IMAGES} images of uniform noise"


def _unknown(header: Header) -> Iterator[AnalysisEvent]:
    total = len(header.tensors)
    for info in header.tensors:
        yield AnalysisEvent(0, total, "reading tensors", listed(info))
    yield AnalysisEvent(0, total, "reading tensors", verdict=verdict(()))
    for done, info in enumerate(header.tensors):
        following = header.tensors[done + 1 : done + 2]
        doing = following[0].name if following else ""
        yield AnalysisEvent(done + 1, total, doing, analyse_tensor(header, info))
