"""The analysis behind ``lipscope inspect``: layer by layer, the most important facts first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from lipscope.analysis.chain import chain_of_reports
from lipscope.analysis.gradients import GradientFlow, gradient_flow, tightness
from lipscope.analysis.images import measuring_images
from lipscope.analysis.parametrised import parametrised
from lipscope.analysis.spectra.singular_values import measure_layer
from lipscope.analysis.subject import Place, Subject, load_subject, places_of
from lipscope.analysis.tensors import analyse_tensor, listed
from lipscope.analysis.verdict import verdict
from lipscope.analysis.witness import body_parts, linear_witness, network_witness, proved_ratio
from lipscope.bounds.rounding import product_up
from lipscope.environment import environment, full_precision
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import Header, sha256_of
from lipscope.layers.block import Block
from lipscope.layers.contract import LinearLayer, LipschitzLayer
from lipscope.layers.heads import Head
from lipscope.layers.householder import PairActivation
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.records import AnalysisEvent, Bound, Chain, InspectReport, LayerReport, Tightness, round_down


def analyse(path: Path, *, data_dir: Path | None = None, description: Path | None = None) -> Iterator[AnalysisEvent]:
    """Analyse a safetensors file, yielding every fact as soon as it is known.

    First all layers with their bounds, then the verdict, then gradient norms, then singular values; a later report of
    a layer replaces the earlier one, and the last verdict counts. Stop iterating to cancel.

    Args:
        path: a lipscope checkpoint, or any safetensors file (or index of shards), whose tensors are then analysed one
            by one.
        data_dir: where to look for the data set of the gradient norms.
        description: a JSON file that says how the tensors are connected (docs/describe.md).

    Raises:
        CheckpointError: the file is damaged, or is not what it claims to be.
        UsageError: the description cannot be.
    """
    yield AnalysisEvent(0, 0, "reading the model, forming its matrices")
    yield from _events(load_subject(path, description), data_dir)


def inspect_report(path: Path, *, data_dir: Path | None = None, description: Path | None = None) -> InspectReport:
    """Run the whole analysis and collect it.

    Raises:
        CheckpointError: as :func:`analyse`; the file changed meanwhile.
        UsageError: as :func:`analyse`.
    """
    subject = load_subject(path, description)
    header = subject if isinstance(subject, Header) else subject.header
    # The tensors of a file that is no model are read one by one: all of them from the same bytes, or none.
    digest = sha256_of(path) if isinstance(subject, Header) else subject.sha256
    report = _gathered(_events(subject, data_dir))
    if isinstance(subject, Header) and sha256_of(path) != digest:
        raise CheckpointError("the file changed while it was analysed", where=str(path), next_step="run it again")
    architecture = header.architecture if description is None else f"described by {description.name}"
    return replace(report, path=str(path), sha256=digest, architecture=architecture, claims=header.metadata)


def _events(subject: Subject | Header, data_dir: Path | None) -> Iterator[AnalysisEvent]:
    return _unknown(subject) if isinstance(subject, Header) else _model(subject, data_dir)


def subject_report(subject: Subject, *, data_dir: Path | None = None) -> InspectReport:
    """The same of a network that is in memory; its path and its claims stay empty."""
    return replace(_gathered(_model(subject, data_dir)), sha256=subject.sha256)


def _gathered(events: Iterable[AnalysisEvent]) -> InspectReport:
    """The last word on everything."""
    layers: dict[str, LayerReport] = {}
    judged = verdict(())
    tight: Tightness | None = None
    notes: tuple[str, ...] = ()
    chain: Chain | None = None
    for event in events:
        if event.layer is not None:
            layers[event.layer.name] = event.layer
        judged = event.verdict or judged
        tight = event.tightness or tight
        notes = event.notes or notes
        chain = event.chain or chain
    with full_precision():
        context = environment(dtype="float64 bounds and singular values, float32 gradients")
    return InspectReport("", "", None, {}, judged, tuple(layers.values()), context, tight, notes, chain)


@dataclass(frozen=True)
class _Row:
    place: Place
    report: LayerReport


def _model(subject: Subject, data_dir: Path | None) -> Iterator[AnalysisEvent]:
    places = places_of(subject.net)
    measurable = [place.name for place in places if _has_spectrum(place.layer)]
    total = len(places) + 1 + len(measurable)
    rows: dict[str, _Row] = {}
    if places:
        yield AnalysisEvent(0, total, f"bound of {places[0].name}")
    for done, place in enumerate(places):
        row = _Row(place, _report(place, rows))
        rows[place.name] = row
        doing = f"bound of {places[done + 1].name}" if done + 1 < len(places) else "gradient norms"
        yield AnalysisEvent(done + 1, total, doing, row.report)
    reports = [row.report for row in rows.values()]
    chain = chain_of_reports(reports, subject.head)
    judged = verdict(reports, searching=True)
    yield AnalysisEvent(len(places), total, "gradient norms", verdict=judged, notes=_notes(subject), chain=chain)

    images, source = measuring_images(subject.dataset, subject.net.input_shape, data_dir)
    with full_precision():
        flow = gradient_flow(subject.net, images, source)
    tight = _tightness(flow, subject.head, reports)
    done = len(places) + 1
    following = f"singular values of {measurable[0]}" if measurable else ""
    for name, row in rows.items():
        if name in flow.margin or name in flow.random:
            report = replace(
                row.report,
                gradient_norm=flow.margin.get(name),
                gradient_norm_random=flow.random.get(name),
                gradient_norm_cumulative=flow.cumulative.get(name),
            )
            rows[name] = replace(row, report=report)
            yield AnalysisEvent(done, total, following, report, tightness=tight)

    gains: list[tuple[str, float]] = []
    for position, name in enumerate(measurable):
        place, report = rows[name].place, rows[name].report
        assert isinstance(place.layer, LinearLayer)
        try:
            measured = measure_layer(place.layer, place.input_shape)
        except OverflowError as error:
            report = replace(report, notes=(*report.notes, str(error)))
        else:
            proved = measured.spectrum.proved_range
            notes = report.notes if proved is None else (_floor_note(proved[0]), *report.notes[1:])
            report = replace(measured.told_by(report), notes=notes)
            if subject.layerwise and report.role == "body" and measured.gain > 1:
                shown = linear_witness(name, place.layer, place.input_shape, subject.sha256, measured.witness)
                gains.append((name, proved_ratio(shown, [(place.layer, place.input_shape)])))
        coming = measurable[position + 1 : position + 2]
        doing = f"singular values of {coming[0]}" if coming else ""
        yield AnalysisEvent(done + position + 1, total, doing, report)
    if subject.layerwise:
        judged = verdict(reports, gains)
    else:
        found = network_witness(subject.net, images, subject.sha256)
        judged = verdict(reports, network_gain=proved_ratio(found, body_parts(subject.net)) if found else None)
    yield AnalysisEvent(total, total, "", verdict=judged)


def _notes(subject: Subject) -> tuple[str, ...]:
    if not subject.unused:
        return ()
    names = ", ".join(subject.unused)
    return (f"{len(subject.unused)} tensors of the file are not used by the description: {names}",)


def _tightness(flow: GradientFlow, head: Head | None, reports: list[LayerReport]) -> Tightness | None:
    """Against the product of the bounds of everything before the head; None when that is not proved.

    Without a head l and i are two outputs, and f_l - f_i has the constant sqrt(2) (1 for a single output).
    """
    before = [report.bound for report in reports if report.role in ("normalisation", "body")]
    if not all(bound.proved for bound in before):
        return None
    if head is not None:
        constants = head.pair_bounds_between(flow.predicted, flow.runner_up)
    else:
        constants = torch.where(flow.predicted == flow.runner_up, 1.0, math.sqrt(2))
    return tightness(flow, constants, product_up([bound.value for bound in before]))


def _has_spectrum(layer: LipschitzLayer) -> bool:
    return isinstance(layer, LinearLayer) and not isinstance(layer, (Normalize, Flatten))


def _report(place: Place, rows: Mapping[str, _Row]) -> LayerReport:
    layer, shape = place.layer, place.input_shape
    notes: tuple[str, ...] = ()
    if isinstance(layer, OrthogonalConv2d):
        floor = layer.singular_value_floor(shape)
        if floor.proved:
            notes += (_floor_note(floor.value),)
        if not layer.gradient_norm_preserving:
            notes += ("more outputs than inputs: gradient outside the range of the layer is legitimately lost",)
        elif layer.out_channels < layer.in_channels * layer.stride**2:
            notes += ("fewer outputs than inputs: directions of the input without effect are not counted",)
    role: Literal["normalisation", "head", "body", "part"] = "part" if place.inside else "body"
    if isinstance(layer, (Normalize, Head)):
        role = "normalisation" if isinstance(layer, Normalize) else "head"
    outside, bound = layer.output_shape(shape), _bound(place, rows)
    thetas = layer.named_parameters() if isinstance(layer, PairActivation) else ()
    angles = {name: tuple(theta.detach().double().tolist()) for name, theta in thetas}
    return LayerReport(place.name, layer.kind, shape, outside, bound, role, notes=notes, angles=angles)


def _bound(place: Place, rows: Mapping[str, _Row]) -> Bound:
    """The layer's own; a block's from the bounds of its parts, which are known already."""
    layer, shape = place.layer, place.input_shape
    if not isinstance(layer, Block):
        return layer.bound(shape)
    return layer.bound_from({name: rows[name].report.bound for name, _, _ in layer.parts(shape)}, shape)


def _floor_note(floor: float) -> str:
    return f"every singular value, over the smaller side, is proved to be at least {round_down(floor)}"


def _unknown(header: Header) -> Iterator[AnalysisEvent]:
    total = len(header.tensors)
    wholes = parametrised({info.name: info for info in header.tensors})
    for info in header.tensors:
        yield AnalysisEvent(0, total, "reading tensors", listed(header, info, wholes.get(info.name)))
    yield AnalysisEvent(0, total, "reading tensors", verdict=verdict(()))
    for done, info in enumerate(header.tensors):
        following = header.tensors[done + 1 : done + 2]
        doing = following[0].name if following else ""
        yield AnalysisEvent(done + 1, total, doing, analyse_tensor(header, info, wholes.get(info.name)))
