"""``lipscope certify``: certified accuracy, and the radius of every image."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipscope.commands.messages import narrate, say
from lipscope.commands.models import choose_model
from lipscope.commands.options import data_dir_option, device_option, json_option, one_of
from lipscope.errors import CheckFailedError, LipscopeError, UsageError
from lipscope.units import DEFAULT_EPS, format_eps, parse_eps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lipscope.certification.gate import Requirement
    from lipscope.certification.run import Answer
    from lipscope.certification.selection import Request

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

    from lipscope.certification.gate import parse_requirement
    from lipscope.certification.selection import Request
    from lipscope.processes.world import World, led

    required = [parse_requirement(text) for text in dict.fromkeys(required_texts)]
    request = Request(
        dataset=dataset, train_set=train_set, images=images, size=size, limit=limit, indices=indices, logits=logits,
        fast=fast, batch_size=batch_size, force=force, device=device, data_dir=data_dir, keep=keep, no_keep=no_keep,
    )  # fmt: skip
    (path, *others) = chosen
    if csv_file is not None and not to_stdout:
        _check_place(csv_file, path)

    def run(world: World) -> int:
        shared = replace(request, world=world, device=str(world.device))
        if others:
            return _certify_set(chosen, shared, eps, required, as_json=as_json)
        return _certify_one(path, shared, eps, required, csv_file, as_json=as_json, per_image=per_image)

    return led(device, run)


def _certify_one(
    path: Path,
    request: Request,
    eps: Sequence[Fraction],
    required: Sequence[Requirement],
    csv_file: Path | None,
    *,
    as_json: bool,
    per_image: bool,
) -> int:
    to_stdout = csv_file is not None and str(csv_file) == STDOUT
    found = _answer(path, request)
    facts, missed = _facts(found, path, eps, required)
    if csv_file is not None:
        _write_csv(None if to_stdout else csv_file, found)
    if as_json:
        if per_image:
            from lipscope.certification.rows import per_image as rows_of

            facts["images"] = rows_of(found.certificates, found.logits if request.logits else None, found.files)
        say(json.dumps(facts))
    elif not to_stdout:
        from lipscope.commands.certify_text import text

        say(text(facts, found.certificates))
    return _exit_code(found, missed)


def _refuse(*cases: tuple[bool, str]) -> None:
    """Raise UsageError for the first combination of options that cannot be."""
    for wrong, what in cases:
        if wrong:
            raise UsageError(what)


def _answer(path: Path, request: Request) -> Answer:
    from lipscope.certification.run import answer
    from lipscope.commands.progress import images_bar
    from lipscope.models.stored import load_model

    return answer(load_model(path), request, narrate, images_bar)


def _facts(
    found: Answer, path: Path, eps: Sequence[Fraction], required: Sequence[Requirement]
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """The summary with what became of the requirements, each miss told; and whether one was missed.

    Raises:
        UsageError: as :func:`lipscope.certification.gate.held`.
    """
    from lipscope.certification.gate import held
    from lipscope.certification.summary import summary

    facts = summary(found.certificates, str(path), eps, found.budget)
    if not required:
        return facts, False
    outcomes = [held(wanted, found.certificates) for wanted in required]
    for one in outcomes:
        if not one.met:
            narrate(f"{path}: {one}")
    facts["min_certified"] = [one.to_json() for one in outcomes]
    return facts, not all(one.met for one in outcomes)


def _exit_code(found: Answer, missed: bool) -> int:
    unkept = found.unkept.exit_code if found.unkept else 0
    return max(unkept, CheckFailedError.exit_code if missed else 0)


def _certify_set(
    paths: Sequence[Path],
    request: Request,
    radii: Sequence[Fraction],
    required: Sequence[Requirement],
    *,
    as_json: bool,
) -> int:
    """One table over several models; one that fails does not hide the others, and the worst exit code counts."""
    certified: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    worst = 0
    for path in paths:
        narrate(f"model {path}")
        try:
            found = _answer(path, request)
            if not found.certificates.labelled:
                raise UsageError("a table sorted by certified accuracy needs labels", where=str(request.images))
            facts, missed = _facts(found, path, radii, required)
        except LipscopeError as error:
            narrate(str(error))
            failed.append({"model": {"path": str(path)}, **error.to_json()})
            worst = max(worst, error.exit_code)
            continue
        certified.append(facts)
        worst = max(worst, _exit_code(found, missed))
    certified.sort(key=_rank)
    eps = [format_eps(radius) for radius in radii]
    if as_json:
        say(json.dumps({"schema": SET_SCHEMA, "sorted_by": eps[0], "models": certified + failed}))
    else:
        from lipscope.commands.certify_text import set_text

        say(set_text(certified + failed, eps))
    return worst


def _rank(facts: dict[str, Any]) -> tuple[Fraction, Fraction, str]:
    """The best certified accuracy at the first radius first, then clean accuracy, then the name."""
    n = facts["data"]["n"]
    shares = facts["certified"][0], facts["clean"]
    first, clean = (Fraction(share["count"], n) for share in shares)
    return -first, -clean, facts["model"]["path"]


def _check_place(csv_file: Path, model: Path) -> None:
    """Refuse, before anything is computed, a place that no CSV file can take.

    Raises:
        UsageError: the model, its results, or a folder that is not there.
    """
    from lipscope.files.results import results_path, summary_path
    from lipscope.files.writing import require_writable

    where, results = f"--csv {csv_file}", results_path(model)
    if any(_same_file(csv_file, kept) for kept in (model, results, summary_path(results))):
        raise UsageError("would overwrite the model or its results", where=where, next_step="choose another name")
    if not csv_file.absolute().parent.is_dir():
        raise UsageError("no such folder", where=where, next_step="make it first")
    require_writable(csv_file)


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, through links and ``..`` too."""
    return os.path.realpath(one) == os.path.realpath(other) or (one.exists() and other.exists() and one.samefile(other))


def _write_csv(file: Path | None, found: Answer) -> None:
    """One row per image, to the file (atomically) or to stdout.

    Raises:
        LipscopeError: the place cannot be written to.
    """
    from lipscope.certification.rows import as_csv
    from lipscope.files.checkpoint import atomic_path

    content = as_csv(found.certificates, found.files)
    if file is None:
        say(content, end="")
        return
    with atomic_path(file) as temporary:
        temporary.write_text(content, encoding="utf-8", newline="")
    narrate(f"{len(found.certificates)} rows in {file}")
