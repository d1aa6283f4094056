"""``lipscope certify``: certified accuracy, and the radius of every image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from lipscope.commands.messages import narrate, say
from lipscope.commands.models import choose_model
from lipscope.commands.options import data_dir_option, device_option, json_option, one_of
from lipscope.errors import UsageError
from lipscope.units import DEFAULT_EPS, format_eps, parse_eps
from lipscope.visible import counted

SET_SCHEMA = "lipscope.certify-set/2"

STDOUT = "-"


@click.command("certify")
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--eps", "eps_texts", multiple=True, help="A radius like 36/255; repeatable. [default: 36, 72, 108, 255 over 255]"
)
@click.option(
    "--dataset",
    shell_complete=one_of("cifar10", "cifar100", "synthetic", "synthetic100"),
    help="Instead of the model's own: cifar10, cifar100, synthetic, synthetic100.",
)
@click.option("--train-set", is_flag=True, help="The training images; not kept as the model's results.")
@click.option(
    "--images", type=click.Path(path_type=Path, file_okay=False),
    help="A folder of PNG or JPEG files of the right size; subfolders named after classes are labels.",
)  # fmt: skip
@click.option(
    "--size",
    type=click.IntRange(min=1),
    help="With --images: resize the middle square of each to N by N pixels, the model's.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N images.")
@click.option("--indices", help="Only these record numbers of the file, e.g. 3,17,42.")
@click.option(
    "--min-certified", "required_texts", multiple=True, metavar="RATE@EPS",
    help="Exit with 5 unless this certified accuracy is reached, e.g. 0.6@36/255; repeatable.",
)  # fmt: skip
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="One row per image to this file; - for stdout."
)
@click.option("--per-image", is_flag=True, help="With --json: one object per image.")
@click.option("--logits", is_flag=True, help="With --json --per-image: the logits too.")
@click.option("--batch", "batch_size", type=click.IntRange(min=1), help="Images at a time. [default: what suits]")
@click.option(
    "--fast", is_flag=True,
    help="Estimates for a first look: float32, nothing subtracted. They are not kept and pass no gate.",
)  # fmt: skip
@click.option("--sound", is_flag=True, hidden=True, help="The default.")
@click.option("--force", is_flag=True, help="Compute anew even if your own results are up to date.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False),
    help="Keep results and progress in this folder. [default: beside the model]",
)  # fmt: skip
@click.option("--no-keep", is_flag=True, help="Keep nothing, and answer from nothing that is kept.")
@device_option
@data_dir_option
@json_option
def certify_command(
    models: tuple[Path, ...],
    eps_texts: tuple[str, ...],
    dataset: str | None,
    train_set: bool,
    images: Path | None,
    size: int | None,
    limit: int | None,
    indices: str | None,
    required_texts: tuple[str, ...],
    csv_file: Path | None,
    per_image: bool,
    logits: bool,
    batch_size: int | None,
    fast: bool,
    sound: bool,
    force: bool,
    keep: Path | None,
    no_keep: bool,
    device: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Certify MODEL on its test set; radii are l2 in [0, 1] pixel space.

    Radii are sound: float64, with a proved bound on every rounding error subtracted. Without MODEL, the newest run's
    model, else the first of ./checkpoints. The results of a whole test set are kept beside the model, signed with your
    own key, where `lipscope inspect` reads them; an interrupted run continues where it stopped. Several models make
    one table, sorted by certified accuracy at the first radius.
    """
    eps = tuple(dict.fromkeys(parse_eps(text) for text in eps_texts)) or DEFAULT_EPS
    to_stdout = csv_file is not None and str(csv_file) == STDOUT
    _refuse(
        (per_image and not as_json, "--per-image needs --json"),
        (logits and not per_image, "--logits needs --json --per-image"),
        (limit is not None and indices is not None, "--limit and --indices exclude each other"),
        (images is not None and dataset is not None, "--images and --dataset exclude each other"),
        (size is not None and images is None, "--size needs --images"),
        (images is not None and train_set, "--images and --train-set exclude each other"),
        (to_stdout and as_json, "--csv - and --json both want stdout"),
        (len(models) > 1 and csv_file is not None, "--csv takes one model"),
        (len(models) > 1 and per_image, "--per-image takes one model"),
        (fast and bool(required_texts), "--min-certified needs proved radii, --fast gives estimates"),
        (fast and sound, "--fast and --sound exclude each other"),
        (keep is not None and no_keep, "--keep and --no-keep exclude each other"),
    )
    chosen = models or (choose_model(None),)
    (path, *others) = chosen

    from lipscope.certification.gate import parse_requirement
    from lipscope.files.checkpoint import read_header

    required = [parse_requirement(text) for text in dict.fromkeys(required_texts)]
    if not others and not path.exists():
        read_header(path)  # says so before torch is loaded

    from lipscope.certification.rows import as_csv, check_place, write_csv
    from lipscope.certification.rows import per_image as rows_of
    from lipscope.certification.run import Answer, answer
    from lipscope.certification.selection import Request
    from lipscope.certification.table import judged, table
    from lipscope.commands.certify_text import set_text, text
    from lipscope.commands.progress import images_bar
    from lipscope.models.stored import load_model
    from lipscope.processes.world import World, led

    request = Request(
        dataset=dataset, train_set=train_set, images=images, size=size, limit=limit, indices=indices, logits=logits,
        fast=fast, batch_size=batch_size, force=force, device=device, data_dir=data_dir, keep=keep, no_keep=no_keep,
    )  # fmt: skip
    if csv_file is not None and not to_stdout:
        check_place(csv_file, path)

    def run(world: World) -> int:
        shared = replace(request, world=world, device=str(world.device))

        def found(path: Path) -> Answer:
            return answer(load_model(path), shared, narrate, images_bar)

        if others:
            models, code = table(chosen, found, eps, required, narrate)
            sorted_by = [format_eps(radius) for radius in eps]
            say(
                json.dumps({"schema": SET_SCHEMA, "sorted_by": sorted_by[0], "models": models})
                if as_json
                else set_text(models, sorted_by)
            )
            return code
        one = found(path)
        facts, code = judged(one, path, eps, required, narrate)
        if to_stdout:
            say(as_csv(one.certificates, one.files), end="")
        elif csv_file is not None:
            write_csv(csv_file, one.certificates, one.files)
            narrate(f"{counted(len(one.certificates), 'row')} in {csv_file}")
        if per_image:
            facts["images"] = rows_of(one.certificates, one.logits if logits else None, one.files)
        if not to_stdout:
            say(json.dumps(facts) if as_json else text(facts, one.certificates))
        return code

    return led(device, run)


def _refuse(*cases: tuple[bool, str]) -> None:
    """Raise UsageError for the first combination of options that cannot be."""
    for wrong, what in cases:
        if wrong:
            raise UsageError(what)
