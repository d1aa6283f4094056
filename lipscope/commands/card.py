"""``lipscope card``: a model card in Markdown, from the file, from its proofs and from the results beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipscope.commands.messages import narrate, say
from lipscope.commands.models import choose_model, file_of
from lipscope.commands.options import data_dir_option
from lipscope.visible import counted, duration, harmless

if TYPE_CHECKING:
    from lipscope.records import InspectReport

ANOTHER_ORDER = (
    "records in a fixed order of their own, not the official one, which changes no figure over the whole set"
)

DATA_NOTES = {
    "ca56c08c38ca9d46af761bd314df8550ecf51f7e76d28ebc032e426fc3a52452": (
        f"CIFAR-10, all 10,000 test images; 25 CIFAR-10 test images are JPEG-decoded copies; {ANOTHER_ORDER}"
    ),
    "8bf4143eccf23f7eafb6afda5acde0f334311cac2d68007ddda4227bde878240": (
        f"CIFAR-100, all 10,000 test images, lossless; the split was reconstructed; {ANOTHER_ORDER}"
    ),
}
"""What has to be said of images, by their fingerprint: those that the committed models were measured on."""

THREE_CENTURIES = 1e10
"""In seconds: a file that claims a longer training says nothing of it."""

WHOLE = 10_000
"""Test images of either set."""

FLAGS = {
    "epochs": "--epochs", "minutes": "--minutes", "batch_size": "--batch", "accumulate": "--accumulate",
    "learning_rate": "--lr", "gamma": "--gamma", "end_gamma": "--end-gamma", "offset": "--offset",
    "temperature": "--temperature", "end_temperature": "--end-temperature", "padding": "--padding",
    "end_padding": "--end-padding", "padding_mode": "--padding-mode", "distortion": "--distortion",
    "end_distortion": "--end-distortion", "holdout": "--holdout", "seed": "--seed",
}  # fmt: skip
"""The options of ``lipscope train`` by the fields of a recipe."""


@click.command("card")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write this file. [default: stdout]")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Where results are. [default: beside the model]"
)
@data_dir_option
def card_command(model: Path | None, output: Path | None, keep: Path | None, data_dir: Path | None) -> int:
    """Write the card of MODEL: what it is, how it was trained, what is proved and certified, its gradients and curve.

    Bounds are proved anew from the file. Radii are read from the results of `lipscope certify` beside it; those that
    others made are checked on a few images where the data is here. The card says what they are worth.
    """
    from lipscope.door.beside import radii_beside
    from lipscope.door.inspection import inspect
    from lipscope.files.checkpoint import atomic_path
    from lipscope.files.kind import read_model_header

    path = file_of(choose_model(model))
    header, report = read_model_header(path), inspect(path, data_dir=data_dir)
    certified = radii_beside(path, report.sha256, keep, data_dir, narrate)
    if certified is not None and certified["stale"]:
        narrate("the results beside the model are about other bytes than its own, and were left out")
        certified = None
    text = card(report, header.config, header.training, certified)
    if output is None:
        say(text)
        return 0
    with atomic_path(output) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    narrate(f"card of {path} written to {output}")
    return 0


def card(
    report: InspectReport,
    config: Mapping[str, Any] | None,
    training: Mapping[str, Any],
    certified: Mapping[str, Any] | None,
) -> str:
    """The card.

    Args:
        report: of the file.
        config, training: that the file claims.
        certified: the summary of the results beside it; None without any.
    """
    from lipscope.commands.gradients import gradient_lines
    from lipscope.commands.inspect import chain_lines

    name = Path(report.path).name
    lines = [f"# {harmless(name, 200)}", "", f"- **Model**: {harmless(_title(config, report), 200)}"]
    lines += [f"- **SHA-256**: {report.sha256}", f"- **Verdict**: {report.verdict.headline}"]
    lines += [*_trained(config, training), "", "## Proved here, from the bytes of the file", ""]
    lines += ["```", *chain_lines(report.chain), "```"]
    lines += ["", "## Certified", "", *(_certified(certified) if certified else [_NO_RESULTS])]
    gradients = gradient_lines(report)
    if gradients:
        # The last two lines are of the whole network; `lipscope inspect` has those of every layer.
        lines += ["", "## Gradient norms (estimates)", "", *(f"- {line}" for line in gradients[-2:])]
    return "\n".join(lines)


_NO_RESULTS = "No results of `lipscope certify` are beside the file."


def _title(config: Mapping[str, Any] | None, report: InspectReport) -> str:
    from lipscope.errors import LipscopeError
    from lipscope.models.registry import configuration

    try:
        return configuration(config or {}).title if config else report.architecture or "unknown"
    except (LipscopeError, TypeError, ValueError):
        return report.architecture or "unknown"


def _trained(config: Mapping[str, Any] | None, training: Mapping[str, Any]) -> list[str]:
    """What the file says of its training; nothing of it can be proved."""
    if not training:
        return ["- **Training**: the file says nothing of it"]
    lines = ["- **Training**: what follows is claimed by the file, and nothing here proves it"]
    claimed = training.get("recipe")
    recipe: Mapping[str, Any] = claimed if isinstance(claimed, dict) else {}
    command = train_command_of(config or {}, recipe)
    if command:
        lines.append(f"- **Command** that asks for the same: `{command}`")
    seconds, steps = training.get("wall_seconds"), training.get("steps")
    took = []
    if isinstance(seconds, (int, float)) and 0 <= seconds < THREE_CENTURIES:
        took.append(f"{duration(seconds)} of wall time")
    took += [f"{steps} steps, epoch {training.get('epoch')}"] if isinstance(steps, int) else []
    known = {
        "Took": ", ".join(took) or None,
        "Hardware and versions": training.get("hardware"),
        "Seed": training.get("seed"),
        "Extra images": recipe.get("extra") and (
            f"a share of {recipe.get('extra_share')} of every batch is not of the data set, but from a file with the "
            f"SHA-256 {recipe['extra']}"
        ),
        "Teacher": recipe.get("teacher") and (
            f"its probabilities at a temperature of {recipe.get('teacher_temperature')} were learnt instead of the "
            f"labels; its file has the SHA-256 {recipe['teacher']}"
        ),
    }  # fmt: skip
    return lines + [f"- **{key}**: {harmless(value, 200)}" for key, value in known.items() if value not in (None, "")]


def train_command_of(config: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The command line that asks for this training; empty for what this version cannot train.

    >>> train_command_of({"architecture": "lipconvnet", "channels": 16}, {"name": "paper", "seed": 1})
    'lipscope train --model lipconvnet --channels 16 --recipe paper --seed 1'
    """
    from lipscope.errors import LipscopeError
    from lipscope.models.registry import configuration
    from lipscope.training.recipe import ENDS, RECIPES, UNSAID, Recipe, for_convolutions

    try:
        made = configuration(config)
        asked = replace(RECIPES[recipe["name"]](), **{**UNSAID, **recipe})
        assert isinstance(asked, Recipe)
    except (LipscopeError, KeyError, TypeError, ValueError):
        return ""
    net = made.to_json()
    words = ["lipscope train", f"--model {made.architecture}{getattr(made, 'depth', '')}"]
    if made.dataset != "cifar10":
        words.append(f"--dataset {shlex.quote(harmless(made.dataset, 40))}")
    if made.architecture == "shiftnet":
        stages = ",".join(f"{width}x{count}" for width, count in zip(net["widths"], net["blocks"], strict=True))
        words.append(f"--stem {net['stem']} --stages {stages}")
    else:
        usual_net = configuration({"architecture": made.architecture}).to_json()
        options = (key for key in ("blocks", "channels", "conv", "activation", "head") if key in net)
        words += [f"--{key} {net[key]}" for key in options if key == "channels" or net[key] != usual_net[key]]
    words.append(f"--recipe {asked.name}")
    usual = for_convolutions(RECIPES[asked.name](), str(config.get("conv", "soc")))
    if asked.loss != usual.loss:
        words.append(f"--loss {asked.loss}")
    words += ["--float32"] if usual.bfloat16 and not asked.bfloat16 else []
    words += ["--recompute"] if asked.recompute else []
    words += [f"--extra FILE --extra-share {asked.extra_share:g}"] if asked.extra else []
    words += [f"--teacher FILE --teacher-temperature {asked.teacher_temperature:g}"] if asked.teacher else []
    for field, flag in FLAGS.items():
        value = getattr(asked, field)
        # One option of two that belong together lets go of what the recipe has for the other.
        together = next((pair for pair in ENDS.items() if field in pair), (field,))
        usually = all(getattr(asked, one) == getattr(usual, one) for one in together)
        if value is not None and not usually and not (field == "epochs" and asked.minutes):
            short = value if isinstance(value, str) else f"{value:g}"
            words.append(f"{flag} {short if short == value or float(short) == value else value}")
    return " ".join(words)


def _certified(facts: Mapping[str, Any]) -> list[str]:
    """The accuracies with their counts, what they are worth, and the curve."""
    from lipscope.commands.certify_text import curve_lines
    from lipscope.records.certificates import ADJECTIVES, WORDS
    from lipscope.units import radius_text

    data, versions, called = facts["data"], facts["environment"], ADJECTIVES[facts["standing"]]
    note = f"{harmless(data['name'], 40)} {harmless(data['split'], 40)}, {counted(data['n'], 'image')}"
    # Others may claim the fingerprint of the whole set for the results of some of it.
    note = DATA_NOTES.get(data["fingerprint"], note) if data["n"] == WHOLE else note
    lines = []
    if facts["clean"] is not None:
        columns = [("clean", facts["clean"]), *((row["eps"], row) for row in facts["certified"])]
        lines += [f"| {counted(data['n'], 'image')} | {' | '.join(name for name, _ in columns)} | average radius |"]
        lines += ["|---" * (len(columns) + 2) + "|"]
        shares = (f"{row['rate']:.2%} ({row['count']})" for _, row in columns)
        lines += [f"| {called} | {' | '.join(shares)} | {radius_text(facts['average_certified_radius'])} |", ""]
    lines += _attacked(facts["attack"], called) if facts["attack"] else []
    worth = WORDS[facts["standing"]].replace("of your own", "of whoever made this card")
    lines += [f"- **Data**: {note}", f"- **Worth**: {worth}; `lipscope certify` proves them anew"]
    if facts["claim"] is not None:
        lines.append(f"- **Checked**: {harmless(facts['claim']['words'], 200)}")
    told = [
        f"{key} {harmless(versions[key], 40)}" for key in ("dtype", "device", "torch", "lipscope") if key in versions
    ]
    lines += [f"- **Certified with**: {', '.join(told)}"] if told else []
    if facts["curve"] is not None:
        lines += ["", "```", *curve_lines(facts["curve"], called), "```"]
    return lines


def _attacked(facts: Mapping[str, Any], called: str) -> list[str]:
    """What was certified of the attacked images, and what withstood."""
    names = " | ".join(row["eps"] for row in facts["certified"])
    worth = "claimed" if called == "claimed" else "estimate"
    rows = ((called, facts["certified"]), (f"withstood the attacks ({worth})", facts["robust"]))
    shown = (
        f"| {name} | " + " | ".join(f"{row['rate']:.1%} ({row['count']})" for row in of) + " |" for name, of in rows
    )
    return [
        f"| {counted(facts['n'], 'attacked image')} | {names} |",
        "|---" * (len(facts["certified"]) + 1) + "|",
        *shown,
        "",
    ]
