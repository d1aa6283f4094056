"""``lipscope inspect``: the terminal app; without a terminal, or with --json, the same facts on stdout."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipscope.commands.app import draw_screen, means_for, open_app
from lipscope.commands.gradients import gradient_lines
from lipscope.commands.messages import narrate, say
from lipscope.commands.models import choose_model
from lipscope.commands.names import Names, column_of
from lipscope.commands.options import data_dir_option, json_option
from lipscope.commands.run_report import NO_MODEL, report_json, run_lines
from lipscope.commands.spectra import bound_lines, spectrum_lines
from lipscope.errors import CheckFailedError, UsageError
from lipscope.records import round_up
from lipscope.tui.registry import SCREENS
from lipscope.visible import counted, harmless, visible

if TYPE_CHECKING:
    from lipscope.records import Chain, Estimate, InspectReport, LayerReport

BOUND_LEGEND = (
    "proved bound: on the Lipschitz constant, from above, rounded up. est.: estimates of the extreme singular values s "
    "and of the mean of ||J^T g|| / ||g||."
)


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 5 unless the network is proved 1-Lipschitz from normalised pixels to features; opens no app.",
)
@click.option("--whole", is_flag=True, help="Let --check ask for the whole network, from pixels to logits.")
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
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False),
    help="Keep the analysis in this folder, and look for results there. [default: beside the model]",
)  # fmt: skip
@click.option("--no-keep", is_flag=True, help="Keep no analysis, and answer from none.")
@data_dir_option
@json_option
def inspect_command(
    model: Path | None,
    other: Path | None,
    check: bool,
    whole: bool,
    max_lipschitz: float | None,
    description: Path | None,
    witness: Path | None,
    screen: str | None,
    screenshot: Path | None,
    size: str | None,
    keep: Path | None,
    no_keep: bool,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Look into MODEL: bounds, singular values, gradient norms, certified radii.

    Without MODEL, or with a folder of several, a list to choose from; outside a terminal the newest run's model, else
    the first of ./checkpoints. Any other safetensors file, or
    model.safetensors.index.json with its shards, is analysed tensor by tensor, or as the network that --describe
    makes of it. The verdict speaks of the network from normalised pixels to features; the chain above the table
    gives the constants from end to end. MODEL may also be the folder of a run, live or finished: then its training
    is shown too.

    With OTHER, a second model, the two are compared: their layers, and what is certified of the same images.
    """
    from lipscope.files.checkpoint import index_of
    from lipscope.files.kept_analysis import kept_path
    from lipscope.files.kind import read_model_header
    from lipscope.files.run_log import is_run, read_run
    from lipscope.files.writing import require_place, require_writable

    for option, given in (("--max-lipschitz", max_lipschitz is not None), ("--whole", whole)):
        if given and not check:
            raise UsageError(f"{option} needs --check")
    if max_lipschitz is not None and not math.isfinite(max_lipschitz):
        raise UsageError("--max-lipschitz needs a finite number")
    if size is not None and screenshot is None:
        raise UsageError("--size needs --screenshot")
    if screenshot is not None and (as_json or check or witness):
        raise UsageError("--screenshot does not go with --json, --check or --witness")
    if other is not None and (check or witness):
        raise UsageError("--check and --witness speak of one model", next_step="name one model only")
    if keep is not None and no_keep:
        raise UsageError("--keep and --no-keep exclude each other")
    interactive = not (as_json or check or witness or screenshot) and all(
        stream.isatty()
        for stream in (sys.stdin, sys.stdout, sys.stderr)  # the app draws on stderr
    )
    if interactive and (model is None or (model.is_dir() and not (is_run(model) or index_of(model)))):
        from lipscope.commands.app import choose_in_app

        folders = [Path("runs"), Path("checkpoints")] if model is None else [model]
        model = choose_in_app(folders, means_for(data_dir, None, keep, no_keep=no_keep))
        if model is None:
            return 0
    path = choose_model(model)
    log = read_run(path) if is_run(path) else None
    path = path / "model.safetensors" if log is not None else index_of(path) or path
    untrained = log is not None and not path.exists() and not (check or witness)
    if other is not None:
        other = index_of(other) or other
        screen = screen or "compare"
        read_model_header(other)  # before the first of two files is analysed
    if keep is not None:
        require_place(kept_path(path, keep))
    if screenshot is not None:
        means = means_for(data_dir, description, keep, no_keep=no_keep)
        draw_screen(path, screenshot, means, screen=screen or SCREENS[0].id, size=size, other=other)
        return 0
    if interactive:
        open_app(path, means_for(data_dir, description, keep, no_keep=no_keep), screen, other)
        return 0
    if other is not None:
        from lipscope.commands.compare import comparison_text
        from lipscope.door.beside import comparison

        facts = comparison((path, other), data_dir, description, narrate)
        say(json.dumps(facts) if as_json else comparison_text(facts))
        return 0

    from lipscope.door.beside import radii_beside
    from lipscope.door.inspection import inspect

    if log is not None and untrained:
        say(json.dumps(report_json(log, None)) if as_json else "\n".join([*run_lines(log), "", NO_MODEL]))
        return 0
    if witness is not None:
        require_writable(witness)
    report = inspect(path, data_dir=data_dir, description=description)
    checked = report.check(1.0 if max_lipschitz is None else max_lipschitz, whole=whole)
    certified = radii_beside(path, report.sha256, keep, data_dir, narrate)
    exhibited = None if witness is None else _exhibit(path, witness, report, data_dir, description)
    if as_json:
        kept = {} if witness is None else {"witness": exhibited}
        gate = {"check": checked.to_json()} if check else {}
        inspected = {**report.to_json(), "certified": certified, **gate, **kept}
        say(json.dumps(inspected if log is None else report_json(log, inspected)))
    else:
        told = [] if log is None else [*run_lines(log), ""]
        answer = [f"check    {checked}"] if check else []
        say("\n".join([*told, _text(report, certified), *answer]))
    return 0 if checked.within or not check else CheckFailedError.exit_code


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
        f"witness written to {target}: {harmless(found.layer, 60)} moves two points apart by {found.ratio:.9g} times "
        "their distance, recomputed in float64 from the file"
    )
    facts = {"path": str(target), "layer": found.layer, "ratio": found.ratio, "model_sha256": found.model_sha256}
    return {**facts, "shapes": {"x": list(found.x.shape), "image_x": list(found.image_x.shape)}}


def _text(report: InspectReport, certified: dict[str, Any] | None) -> str:
    names = column_of(layer.name for layer in report.layers)
    lines = [
        f"file     {visible(str(report.path))}",
        f"sha256   {report.sha256}",
        f"model    {report.architecture or 'unknown: the tensors are analysed one by one'}",
        f"verdict  {report.verdict.headline}",
        *chain_lines(report.chain),
        "",
        *names.above,
        f"{'layer':{names.width}s} {'kind':26s} {'input -> output':26s} {'proved bound':>14s} {'est. s min':>12s}"
        f" {'est. s max':>12s} {'est. grad':>9s}",
    ]
    lines += [_row(layer, names) for layer in report.layers]
    lines += ["", *(f"note: {harmless(note, 190)}" for note in report.notes), BOUND_LEGEND]
    lines += bound_lines(report)
    lines += spectrum_lines(report)
    lines += gradient_lines(report)
    if certified is not None:
        lines += ["", *_certified(certified)]
    elif "lipscope.schema" in report.claims:
        lines.append("no certified radii yet: `lipscope certify` makes them.")
    return "\n".join(lines)


def chain_lines(chain: Chain | None) -> list[str]:
    """A line for each arrow, and one for all of them."""
    if chain is None:
        return []
    arrows = [*chain.arrows, chain.whole] if len(chain.arrows) > 1 else chain.arrows
    lines = []
    for arrow in arrows:
        bound = f"L <= {round_up(arrow.bound.value)}" if arrow.bound.proved else f"not proved: {arrow.bound.reason}"
        pairs = f"; a difference of two logits: <= {round_up(arrow.pairs.value)}" if arrow.pairs else ""
        lines.append(f"{arrow.scope.start} -> {arrow.scope.end}".ljust(24) + bound + pairs)
    return ["chain    " + lines[0], *("         " + line for line in lines[1:])]


def _row(layer: LayerReport, names: Names) -> str:
    what = harmless(layer.kind, 53)
    if layer.input_shape:
        what = f"{harmless(layer.kind, 26):26s} {_shape(layer.input_shape)} -> {_shape(layer.output_shape)}"
    bound = round_up(layer.bound.value) if layer.bound.proved else "not proved"
    gradient = f"{layer.gradient_norm.mean:.6f}" if layer.gradient_norm else ""
    return (
        f"{names[layer.name]} {what:53s} {bound:>14s} "
        f"{_number(layer.sigma_min):>12s} {_number(layer.sigma_max):>12s} {gradient:>9s}"
    ).rstrip()


def _certified(summary: dict[str, Any]) -> list[str]:
    from lipscope.records.certificates import ADJECTIVES, WORDS

    data = summary["data"]
    stale = " (STALE: computed for other bytes than this file's)" if summary["stale"] else ""
    rates = [f"clean {summary['clean']['rate']:.2%}"]
    rates += [f"{row['eps']} {row['rate']:.2%}" for row in summary["certified"]]
    return [
        f"{ADJECTIVES[summary['standing']]} on {counted(data['n'], 'image')} of {harmless(data['name'], 40)} "
        f"{harmless(data['split'], 40)}{stale}",
        "  " + ", ".join(rates),
        f"  {WORDS[summary['standing']]}; read from the file beside the model, not computed again here.",
        *([f"  ({harmless(summary['reason'], 120)}: `lipscope certify` proves them)"] if summary["reason"] else []),
        *([f"  {harmless(summary['claim']['words'], 160)}"] if summary["claim"] else []),
    ]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape else "?"


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:.8f}" if estimate.value < 1e3 else f"{estimate.value:.6e}"
