"""``lipscope inspect``: the terminal app; without a terminal, or with --json, the same facts on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipscope.commands.app import draw_screen, open_app
from lipscope.commands.gradients import gradient_lines
from lipscope.commands.messages import cut, narrate
from lipscope.commands.models import choose_model
from lipscope.commands.options import data_dir_option, json_option
from lipscope.commands.run_report import NO_MODEL, report_json, run_lines
from lipscope.commands.spectra import bound_lines, spectrum_lines
from lipscope.errors import CheckFailedError, CheckpointError, UsageError
from lipscope.records import allowed, round_up
from lipscope.tui.registry import SCREENS
from lipscope.units import DEFAULT_EPS

if TYPE_CHECKING:
    from lipscope.records import Estimate, InspectReport, LayerReport, Verdict

BOUND_LEGEND = (
    "proved bound: on the Lipschitz constant, from above, rounded up. est.: estimates of the extreme singular values s "
    "and of the mean of ||J^T g|| / ||g||."
)


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--check", is_flag=True, help="Exit with 5 unless the model is proved 1-Lipschitz; opens no app.")
@click.option(
    "--max-lipschitz", type=click.FloatRange(min=0, min_open=True), help="The constant for --check. [default: 1]"
)
@click.option(
    "--describe",
    "description",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A JSON file that says how the tensors of MODEL are connected (docs/describe.md).",
)
@click.option(
    "--witness",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the verdict is VIOLATED, keep the vectors that show it in this file; opens no app.",
)
@click.option(
    "--screen",
    type=click.Choice([entry.id for entry in SCREENS]),
    help="The screen to open with, or to draw. [default: overview]",
)
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the screen into this SVG file, complete and without a terminal; opens no app.",
)
@click.option("--size", help="Columns and rows of --screenshot. [default: 120x36]")
@data_dir_option
@json_option
def inspect_command(
    model: Path | None,
    other: Path | None,
    check: bool,
    max_lipschitz: float | None,
    description: Path | None,
    witness: Path | None,
    screen: str | None,
    screenshot: Path | None,
    size: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Look into MODEL: bounds, singular values, gradient norms, certified radii.

    Without MODEL, the newest run's model, else the first of ./checkpoints. Any other safetensors file, or
    model.safetensors.index.json with its shards, is analysed tensor by tensor, or as the network that --describe
    makes of it. The verdict speaks of the network on normalised inputs. MODEL may also be the folder of a run, live or
    finished: then its training is shown too.

    With OTHER, a second model, the two are compared: their layers, and what is certified of the same images.
    """
    from lipscope.files.checkpoint import index_of, read_header
    from lipscope.files.run_log import is_run, read_run
    from lipscope.files.writing import require_writable

    if max_lipschitz is not None and not check:
        raise UsageError("--max-lipschitz needs --check")
    if size is not None and screenshot is None:
        raise UsageError("--size needs --screenshot")
    if screenshot is not None and (as_json or check or witness):
        raise UsageError("--screenshot does not go with --json, --check or --witness")
    if other is not None and (check or witness):
        raise UsageError("--check and --witness speak of one model", next_step="name one model only")
    path = choose_model(model)
    log = read_run(path) if is_run(path) else None
    path = path / "model.safetensors" if log is not None else index_of(path) or path
    untrained = log is not None and not path.exists() and not (check or witness)
    if not untrained:
        read_header(path)
    if other is not None:
        other = index_of(other) or other
        read_header(other)
        screen = screen or "compare"
    if screenshot is not None:
        draw_screen(path, screenshot, data_dir, description, screen=screen or SCREENS[0].id, size=size, other=other)
        return 0
    # The app draws on stderr, so all three must be the terminal.
    if not (as_json or check or witness) and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        open_app(path, data_dir, description, screen, other)
        return 0
    if other is not None:
        from lipscope.commands.compare import comparison, comparison_text

        facts = comparison(path, other, data_dir, description)
        click.echo(json.dumps(facts) if as_json else comparison_text(facts))
        return 0

    from lipscope.analysis.analysis import inspect_report
    from lipscope.analysis.verdict import verdict

    if log is not None and untrained:
        click.echo(json.dumps(report_json(log, None)) if as_json else "\n".join([*run_lines(log), "", NO_MODEL]))
        return 0
    if witness is not None:
        require_writable(witness)
    report = inspect_report(path, data_dir=data_dir, description=description)
    # By the bounds alone: a vector that breaks the limit 1 does not break a larger one.
    proved = verdict(report.layers)
    limit = 1.0 if max_lipschitz is None else max_lipschitz
    within = proved.within(limit)
    certified = _results(path, report.sha256)
    exhibited = None if witness is None else _exhibit(path, witness, report, data_dir, description)
    if as_json:
        kept = {} if witness is None else {"witness": exhibited}
        checked = {"check": _check_json(proved, limit, within)} if check else {}
        inspected = {**report.to_json(), "certified": certified, **checked, **kept}
        click.echo(json.dumps(inspected if log is None else report_json(log, inspected)))
    else:
        told = [] if log is None else [*run_lines(log), ""]
        asked = [_check(proved, limit, within)] if check else []
        click.echo("\n".join([*told, _text(report, certified), *asked]))
    return 0 if within or not check else CheckFailedError.exit_code


def _check(proved: Verdict, limit: float, within: bool) -> str:
    """The answer to --check; the verdict speaks of 1 whatever the limit is."""
    bound = "no bound is proved" if proved.lipschitz is None else f"L <= {round_up(proved.lipschitz)} is proved"
    rounding = f" (up to {allowed(limit)}, for rounding)" if allowed(limit) != limit else ""
    shortest = repr(limit).removesuffix(".0")
    return f"check    {'passed' if within else 'FAILED'}: {bound}, the limit is {shortest}{rounding}"


def _check_json(proved: Verdict, limit: float, within: bool) -> dict[str, Any]:
    return {"limit": limit, "allowed": allowed(limit), "proved": proved.lipschitz, "within": within}


def _exhibit(
    path: Path, target: Path, report: InspectReport, data_dir: Path | None, description: Path | None
) -> dict[str, Any] | None:
    """Keep the vectors of a violation, and say so; None where there is no violation."""
    if report.verdict.status != "violated":
        narrate(f"no violation was found, so no witness was written to {target}")
        return None
    from lipscope.analysis.exhibit import exhibit

    found = exhibit(path, target, report.verdict, data_dir=data_dir, description=description)
    narrate(
        f"witness written to {target}: {cut(found.layer, 60)} moves two points apart by {found.ratio:.9g} times their "
        "distance, recomputed in float64 from the file"
    )
    facts = {"path": str(target), "layer": found.layer, "ratio": found.ratio, "model_sha256": found.model_sha256}
    return {**facts, "shapes": {"x": list(found.x.shape), "image_x": list(found.image_x.shape)}}


def _results(path: Path, sha256: str) -> dict[str, Any] | None:
    """The summary of the radii beside the model, and whether they are about these very bytes; None without any."""
    from lipscope.certify.summary import summary
    from lipscope.files.results import read_results, results_path

    target = results_path(path)
    if not target.exists():
        return None
    try:
        certificates, _ = read_results(target)
    except CheckpointError as error:
        narrate(str(error))
        return None
    if not len(certificates):
        return None
    return {**summary(certificates, str(path), DEFAULT_EPS), "stale": certificates.model_sha256 != sha256}


def _text(report: InspectReport, certified: dict[str, Any] | None) -> str:
    lines = [
        f"file     {report.path}",
        f"sha256   {report.sha256}",
        f"model    {report.architecture or 'unknown: the tensors are analysed one by one'}",
        f"verdict  {report.verdict.headline}",
        "",
        f"{'layer':28s} {'kind':26s} {'input -> output':26s} {'proved bound':>14s} {'est. s min':>12s}"
        f" {'est. s max':>12s} {'est. grad':>9s}",
    ]
    lines += [_row(layer) for layer in report.layers]
    lines += ["", *(f"note: {cut(note, 190)}" for note in report.notes), BOUND_LEGEND]
    lines += bound_lines(report)
    lines += spectrum_lines(report)
    lines += gradient_lines(report)
    if certified is not None:
        lines += ["", *_certified(certified)]
    elif "lipscope.schema" in report.claims:
        lines.append("no certified radii yet: `lipscope certify` makes them.")
    return "\n".join(lines)


def _row(layer: LayerReport) -> str:
    what = cut(layer.kind, 53)
    if layer.input_shape:
        what = f"{cut(layer.kind, 26):26s} {_shape(layer.input_shape)} -> {_shape(layer.output_shape)}"
    bound = round_up(layer.bound.value) if layer.bound.proved else "not proved"
    gradient = f"{layer.gradient_norm.mean:.6f}" if layer.gradient_norm else ""
    return (
        f"{cut(layer.name, 28):28s} {what:53s} {bound:>14s} "
        f"{_number(layer.sigma_min):>12s} {_number(layer.sigma_max):>12s} {gradient:>9s}"
    ).rstrip()


def _certified(summary: dict[str, Any]) -> list[str]:
    data = summary["data"]
    stale = " (STALE: computed for other bytes than this file's)" if summary["stale"] else ""
    rates = [f"clean {summary['clean']['rate']:.2%}"]
    rates += [f"{row['eps']} {row['rate']:.2%}" for row in summary["certified"]]
    return [
        f"certified on {data['n']} images of {cut(data['name'], 40)} {cut(data['split'], 40)}, "
        f"{cut(summary['kind'], 40)} radii{stale}",
        "  " + ", ".join(rates),
        "  as `lipscope certify` kept them beside the model; not computed again here.",
    ]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape else "?"


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:.8f}" if estimate.value < 1e3 else f"{estimate.value:.6e}"
