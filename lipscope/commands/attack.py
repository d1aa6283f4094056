"""``lipscope attack``: try to break the certificates; one success inside a certified radius is exit code 5."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from lipscope.commands.messages import narrate, say
from lipscope.commands.models import choose_model
from lipscope.commands.options import data_dir_option, device_option, json_option
from lipscope.errors import UsageError
from lipscope.records import round_up
from lipscope.units import DEFAULT_EPS, format_eps, parse_eps
from lipscope.visible import counted, visible

DEFAULT_LIMIT = 1000
"""Images of the test set that are attacked unless others are asked for."""

VIOLATED = 5


@click.command("attack")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "--eps", "eps_texts", multiple=True, help="A radius like 36/255; repeatable. [default: 36, 72, 108, 255 over 255]"
)
@click.option("--limit", type=click.IntRange(min=1), help=f"The first N images. [default: {DEFAULT_LIMIT}]")
@click.option("--indices", help="Only these record numbers of the test file, e.g. 3,17,42.")
@click.option(
    "--attacks", "attack_names", default="minimum,pgd,boundary", show_default=True, help="Which attacks, by commas."
)
@click.option("--foolbox", multiple=True, metavar="NAME", help="Also an l2 attack of foolbox, e.g. L2DeepFoolAttack.")
@click.option("--steps", type=click.IntRange(min=1), default=15, show_default=True, help="Steps of each restart.")
@click.option("--restarts", type=click.IntRange(min=1), default=2, show_default=True, help="Restarts of each attack.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random draw.")
@click.option(
    "--batch", "batch_size", type=click.IntRange(min=1), default=100, show_default=True, help="Images at a time."
)
@click.option(
    "--results", "claimed", type=click.Path(path_type=Path),
    help="Attack the radii of this results file, even if it was made for other weights.",
)  # fmt: skip
@click.option(
    "--save-to", type=click.Path(path_type=Path, file_okay=False),
    help="The folder for the image pairs of violations. [default: that of the results]",
)  # fmt: skip
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False),
    help="Keep what is found, and the results, in this folder. [default: beside the model]",
)  # fmt: skip
@click.option("--no-keep", is_flag=True, help="Keep nothing, and answer from nothing that is kept.")
@click.option("--force", is_flag=True, help="Attack anew, forgetting what earlier attacks found on these images.")
@device_option
@data_dir_option
@json_option
def attack_command(
    model: Path | None,
    eps_texts: tuple[str, ...],
    limit: int | None,
    indices: str | None,
    attack_names: str,
    foolbox: tuple[str, ...],
    steps: int,
    restarts: int,
    seed: int,
    batch_size: int,
    claimed: Path | None,
    save_to: Path | None,
    keep: Path | None,
    no_keep: bool,
    force: bool,
    device: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Attack the certificates of MODEL on its test set, and add what was found to its results file.

    Without MODEL, the newest run's model, else the first of ./checkpoints. It is certified first where that has not
    been done. An interrupted attack continues where it stopped. An adversarial image strictly inside a certified
    radius is a failed check: its pair is saved, and the exit code is 5.
    """
    eps = tuple(dict.fromkeys(parse_eps(text) for text in eps_texts)) or DEFAULT_EPS
    if limit is not None and indices is not None:
        raise UsageError("--limit and --indices exclude each other")
    if keep is not None and no_keep:
        raise UsageError("--keep and --no-keep exclude each other")
    names = tuple(dict.fromkeys(part.strip() for part in attack_names.split(",") if part.strip()))
    path = choose_model(model)

    from lipscope.attacks.driver import Settings, check_settings
    from lipscope.attacks.run import run_attack
    from lipscope.certification.selection import Request
    from lipscope.commands.progress import images_bar
    from lipscope.processes.world import World, led

    settings = Settings(names, tuple(dict.fromkeys(foolbox)), eps, steps, restarts, seed, batch_size)
    check_settings(settings)
    limit = None if indices is not None else limit or DEFAULT_LIMIT

    def run(world: World) -> int:
        request = Request(
            limit=limit, indices=indices, force=force, device=str(world.device), data_dir=data_dir, keep=keep,
            no_keep=no_keep, world=world,
        )  # fmt: skip
        facts, unkept = run_attack(
            path, settings, request, claimed=claimed, save_to=save_to, note=narrate, bar=images_bar
        )
        say(json.dumps(facts) if as_json else _text(facts, eps))
        if facts["violations"]:
            narrate(f"{facts['violations']} certificates are refuted")
            return VIOLATED
        return unkept.exit_code if unkept else 0

    return led(device, run)


def _text(facts: dict[str, Any], eps: tuple[Fraction, ...]) -> str:
    """The figures for a person."""
    from lipscope.records.certificates import ADJECTIVES, WORDS

    n, model, found = facts["data"]["n"], facts["model"], facts["distance"]
    called = ADJECTIVES[facts["standing"]]
    lines = [
        f"model      {visible(model['path'])} ({model['architecture']}, sha256 {model['sha256'][:12]})",
        f"data       {visible(facts['data']['name'])} {facts['data']['split']}, {counted(n, 'image')} attacked",
        f"L          {round_up(facts['lipschitz']['value'])}, from [0, 1] pixels to features, as {called}",
        f"{called:10s} {WORDS[facts['standing']]}; from below",
        "robust     not broken by any attack: an estimate from above",
        "",
        f"{'eps':>9s} {called:>17s} {'robust':>17s} {'gap':>17s}",
        f"{'clean':>9s} {_share(facts['clean'])} {_share(facts['clean'])}",
    ]
    lines += [
        f"{format_eps(radius):>9s} {_share(certified)} {_share(robust)} {_share(gap)}"
        for radius, certified, robust, gap in zip(eps, facts["certified"], facts["robust"], facts["gap"], strict=True)
    ]
    lines += [
        "",
        f"changed class found for {found['found']} of {counted(n, 'image')}, float32 agrees for {found['in_float32']}",
    ]
    if found["median_over_radius"] is not None:
        median, least = found["median_over_radius"], found["least_over_radius"]
        lines.append(f"nearest / {called} radius: median {median:.3f}, least {least:.4f}")
    nearest = ", ".join(f"{name} {count}" for name, count in facts["nearest"].items())
    lines += [f"nearest found by: {nearest}", f"violations {facts['violations']}"]
    lines += [
        f"  image {one['index']}: class {one['adversarial_class']} instead of {one['predicted']} "
        f"at {one['distance']!r}, inside the radius {one['radius']!r}"
        + (f", saved in {visible(one['saved'])}" if one["saved"] else "")
        for one in facts["violated"]
    ]
    return "\n".join(lines)


def _share(figures: dict[str, Any]) -> str:
    return f"{figures['rate']:9.2%} {figures['count']:7d}"
