"""``lipscope compare-layers``: the same net of every family of convolutions, each trained for so many minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lipscope.commands.messages import narrate, say
from lipscope.commands.options import json_option
from lipscope.layers.convolutions import CONVOLUTIONS


@click.command("compare-layers")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), required=True, help="Wall time of each training."
)
@click.option("--conv", "families", multiple=True, help="A family; may be repeated. [default: all]")
@click.option("--dataset", default="cifar10", show_default=True, help="What is learnt.")
@click.option(
    "--channels", type=click.IntRange(min=2), default=16, show_default=True, help="Planes of the first stage."
)
@click.option("--recipe", default="offset", show_default=True, help="Of every training; see `lipscope train`.")
@click.option("--limit", type=click.IntRange(min=1), help="Certify so many test images only. [default: all]")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/compare-layers"), show_default=True,
    help="Where the runs are kept: what is there is not done again, and what was stopped goes on.",
)  # fmt: skip
@json_option
def compare_layers_command(
    minutes: float,
    families: tuple[str, ...],
    dataset: str,
    channels: int,
    recipe: str,
    limit: int | None,
    out: Path,
    as_json: bool,
) -> int:
    """Train LipConvnet-5 with each family of layers for --minutes, certify each soundly, and print a Markdown table."""
    for name in families:
        CONVOLUTIONS[name]  # an unknown one is refused before anything is trained
    rows = []
    for conv in families or CONVOLUTIONS:
        folder = out / f"{dataset}-{conv}-{channels}-{recipe}-{minutes:g}"
        net = ["--model", "lipconvnet", "--conv", conv, "--channels", str(channels), "--recipe", recipe]
        certified = certified_run(folder, [*net, "--dataset", dataset, "--minutes", str(minutes)], limit)
        rows.append(_row(conv, folder, certified))
        if not as_json:
            narrate(_line(rows[-1]))
    say(
        json.dumps({"schema": "lipscope.compare-layers/1", "minutes": minutes, "rows": rows})
        if as_json
        else table(rows)
    )
    return 0


def certified_run(folder: Path, options: Sequence[str], limit: int | None = None) -> dict[str, Any]:
    """What `lipscope certify` says of a training, which is begun or gone on with unless it is finished.

    Results are kept beside the model, as always: `lipscope inspect` on the folder above lists them while they come.

    Args:
        folder: of the run.
        options: of `lipscope train`.
        limit: certify so many test images; None for all.

    Raises:
        click.exceptions.Exit: as :func:`_lipscope`.
    """
    from lipscope.files.run_log import is_run, read_run

    if not is_run(folder):
        narrate(f"training in {folder}")
        _lipscope("train", *options, "--out", str(folder))
    elif not read_run(folder).finished:
        _lipscope("train", "--resume", str(folder))
    few = [] if limit is None else ["--limit", str(limit)]
    found: dict[str, Any] = json.loads(_lipscope("certify", str(folder / "model.safetensors"), "--json", *few))
    return found


def _lipscope(*arguments: str) -> str:
    """Run a command in a process of its own, its progress on this one's stderr; its stdout.

    Raises:
        click.exceptions.Exit: it failed, with its exit code; it has said why.
    """
    done = subprocess.run(
        [sys.executable, "-m", "lipscope", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise click.exceptions.Exit(done.returncode)
    return done.stdout


def _row(conv: str, folder: Path, certified: dict[str, Any]) -> dict[str, Any]:
    from lipscope.files.run_log import read_run

    last = read_run(folder).epochs[-1]
    return {
        "conv": conv,
        "title": CONVOLUTIONS[conv].title,
        "minutes": last.seconds / 60,
        "epochs": last.epoch,
        "steps": last.step,
        "images": certified["data"]["n"],
        "clean": certified["clean"],
        "certified": certified["certified"],
        "average_certified_radius": certified["average_certified_radius"],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown, the best at the first radius first."""
    best = sorted(rows, key=lambda row: -row["certified"][0]["count"])
    heads = ["layers", "minutes", "steps", "clean", *(one["eps"] for one in best[0]["certified"]), "average radius"]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *map(_line, best)])


def _line(row: dict[str, Any]) -> str:
    shares = [f"{one['rate']:.2%} ({one['count']})" for one in (row["clean"], *row["certified"])]
    cells = [row["title"], f"{row['minutes']:.1f}", str(row["steps"]), *shares]
    return f"| {' | '.join(cells)} | {row['average_certified_radius']:.4f} |"
