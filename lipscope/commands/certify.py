"""``lipscope certify``: certified accuracy, and the radius of every image."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from lipscope.commands.messages import narrate
from lipscope.commands.models import choose_model
from lipscope.commands.options import data_dir_option, device_option, json_option
from lipscope.commands.progress import images_bar
from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.records import round_up
from lipscope.units import DEFAULT_EPS, format_eps, parse_eps, radius_text

if TYPE_CHECKING:
    from lipscope.data import ImageSet
    from lipscope.models.stored import StoredModel
    from lipscope.results import Certificates

HISTOGRAM_ROWS = 12
HISTOGRAM_WIDTH = 40


@click.command("certify")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "--eps", "eps_texts", multiple=True, help="A radius like 36/255; repeatable. [default: 36, 72, 108, 255 over 255]"
)
@click.option("--dataset", help="Instead of the model's own: cifar10, cifar100, synthetic, synthetic100.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N images.")
@click.option("--indices", help="Only these record numbers of the test file, e.g. 3,17,42.")
@click.option("--per-image", is_flag=True, help="With --json: one object an image.")
@click.option("--logits", is_flag=True, help="With --json --per-image: the logits too.")
@click.option(
    "--batch", "batch_size", type=click.IntRange(min=1), default=500, show_default=True, help="Images at a time."
)
@click.option("--force", is_flag=True, help="Compute anew even if the results file is up to date.")
@device_option
@data_dir_option
@json_option
def certify_command(
    model: Path | None,
    eps_texts: tuple[str, ...],
    dataset: str | None,
    limit: int | None,
    indices: str | None,
    per_image: bool,
    logits: bool,
    batch_size: int,
    force: bool,
    device: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Certify MODEL on its test set; radii are l2 in [0, 1] pixel space.

    Without MODEL, the newest run's model, else the first of ./checkpoints. The results of a whole test set are kept
    beside the model, where `lipscope inspect` reads them.
    """
    eps = tuple(dict.fromkeys(parse_eps(text) for text in eps_texts)) or DEFAULT_EPS
    if per_image and not as_json:
        raise UsageError("--per-image needs --json")
    if logits and not per_image:
        raise UsageError("--logits needs --json --per-image")
    if limit is not None and indices is not None:
        raise UsageError("--limit and --indices exclude each other")
    path = choose_model(model)

    from lipscope.certify.evaluate import certify
    from lipscope.certify.summary import per_image as rows_of
    from lipscope.certify.summary import summary
    from lipscope.data import load
    from lipscope.models.stored import load_model
    from lipscope.results import results_path

    stored = load_model(path)
    own = str((stored.header.config or {}).get("dataset", ""))
    name = dataset or own
    data = load(name, "test", data_dir)
    chosen = _selection(len(data), limit, indices)
    whole = len(chosen) == len(data) and indices is None
    selected = data if whole else data.subset(chosen)
    target = results_path(path)
    evaluation, unkept = None, None
    certificates = None if force or logits or not whole else _up_to_date(target, stored, data)
    if certificates is None:
        with images_bar("certifying", len(selected)) as advance:
            evaluation = certify(
                stored, selected, chosen, device=_device(device), batch_size=batch_size, on_progress=advance
            )
        certificates = evaluation.certificates
        if whole and name != own:
            narrate(f"not kept: the results file beside the model is for its own data set, {own}")
        elif whole:
            unkept = _keep(target, certificates, summary(certificates, str(path), DEFAULT_EPS))
    else:
        narrate(f"unchanged model and data: answered from {target} (--force computes anew)")
    facts = summary(certificates, str(path), eps)
    if as_json:
        if per_image:
            facts["images"] = rows_of(certificates, evaluation.logits if evaluation and logits else None)
        click.echo(json.dumps(facts))
    else:
        click.echo(_text(facts, certificates, eps))
    return unkept.exit_code if unkept else 0


def _keep(target: Path, certificates: Certificates, facts: dict[str, Any]) -> LipscopeError | None:
    """Write the results file; a failure is told at once and returned, so that the figures are printed all the same."""
    from lipscope.results import write_results

    try:
        _check_replaceable(target)
        write_results(target, certificates, facts)
    except LipscopeError as error:
        narrate(f"the results could not be kept: {error}")
        return error
    narrate(f"results kept in {target}")
    return None


def _check_replaceable(target: Path) -> None:
    """Only an earlier results file is overwritten, never a model of that name.

    Raises:
        CheckpointError: something else lies there.
    """
    from lipscope.checkpoint import read_header

    if not target.exists():
        return
    try:
        metadata = read_header(target).metadata
    except CheckpointError:
        return
    if "lipscope.results" not in metadata:
        raise CheckpointError(
            "is not a results file, and is not overwritten", where=str(target), next_step="rename one of the two models"
        )


def _selection(count: int, limit: int | None, indices: str | None) -> np.ndarray:
    """The record numbers that are certified."""
    if indices is None:
        return np.arange(min(limit or count, count))
    try:
        chosen = np.array([int(part) for part in indices.split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise UsageError("not a list of numbers", where=f"--indices {indices}", next_step="e.g. 3,17,42") from error
    if len(np.unique(chosen)) < len(chosen):
        raise UsageError("a record number stands there twice", where=f"--indices {indices}")
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise UsageError(f"no record {outside[0]}", where="--indices", why=f"the test file has 0 to {count - 1}")
    return chosen


def _device(given: str | None) -> str:
    import torch

    from lipscope.environment import check_device

    device = given or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    return device


def _up_to_date(target: Path, model: StoredModel, data: ImageSet) -> Certificates | None:
    """The kept results, if they hold for these very bytes."""
    from lipscope.certify.freshness import still_holds
    from lipscope.results import read_results

    if not target.exists():
        return None
    try:
        certificates, _ = read_results(target)
    except CheckpointError as error:
        narrate(f"{error}; computing anew")
        return None
    return certificates if still_holds(certificates, model, data) else None


def _text(facts: dict[str, Any], certificates: Certificates, eps: tuple[Fraction, ...]) -> str:
    """The figures for a person."""
    n, model = facts["data"]["n"], facts["model"]
    lines = [
        f"model      {model['path']} ({model['architecture']}, sha256 {model['sha256'][:12]})",
        f"data       {facts['data']['name']} {facts['data']['split']}, {n} images",
        f"L          {round_up(certificates.lipschitz)}, proved: from [0, 1] pixels to features",
        f"kind       {certificates.kind} radii (float32 evaluation, proved Lipschitz bound)",
        "",
        f"clean                {facts['clean']['rate']:8.2%}  {facts['clean']['count']:6d}",
    ]
    lines += [
        f"certified @ {format_eps(radius):8s} {row['rate']:8.2%}  {row['count']:6d}"
        for radius, row in zip(eps, facts["certified"], strict=True)
    ]
    lines += [
        "",
        f"average certified radius       {radius_text(facts['average_certified_radius'])}  (misclassified = 0)",
        f"mean radius of correct images  {radius_text(facts['mean_radius_of_correct'])}",
        "",
        *_histogram(certificates),
    ]
    return "\n".join(lines)


def _histogram(certificates: Certificates) -> list[str]:
    """Counts of correct images by radius, as bars of eighth blocks; misclassified images on a line of their own."""
    radii = certificates.radius[certificates.correct]
    wrong = len(certificates) - len(radii)
    if not len(radii):
        return [f"{'misclassified':>15s} {wrong:6d}"]
    counts, edges = np.histogram(radii, bins=HISTOGRAM_ROWS, range=(0.0, float(radii.max()) or 1.0))
    largest = max(int(counts.max()), 1)
    lines = ["certified radius  images (correct ones)"]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        eighths = round(int(count) / largest * HISTOGRAM_WIDTH * 8)
        bar = "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
        lines.append(f"{left:6.3f} - {right:6.3f} {count:6d} {bar}")
    lines.append(f"{'misclassified':>15s} {wrong:6d}")
    return lines
