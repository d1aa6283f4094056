"""One certification from request to kept results: answer from what is kept, else compute and keep."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lipscope.bounds.rounding import FLOAT64
from lipscope.certify.budget import error_budget
from lipscope.certify.evaluate import TooCoarseError, certify, progress_of
from lipscope.certify.freshness import objection
from lipscope.certify.partial import Progress, partial_path
from lipscope.certify.radii import NotFiniteError
from lipscope.certify.sound import sound_progress_of
from lipscope.certify.summary import summary
from lipscope.commands.certify_images import Chosen, Request, choose
from lipscope.commands.certify_sound import Stopwatch, add_sound_radii, sound_radii_hold
from lipscope.commands.messages import narrate
from lipscope.commands.progress import images_bar
from lipscope.data import ImageSet
from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import SUFFIX, read_header
from lipscope.files.locks import BusyError, exclusive
from lipscope.files.results import (
    Certificates,
    OtherSchemaError,
    keeping_what_holds,
    read_results,
    results_path,
    summary_path,
    write_results,
)
from lipscope.models.stored import load_model
from lipscope.units import DEFAULT_EPS

if TYPE_CHECKING:
    from torch import Tensor

    from lipscope.certify.budget import Budget
    from lipscope.models.stored import StoredModel


@dataclass(frozen=True)
class Answer:
    """What a request brought.

    Args:
        certificates: one radius an image.
        logits: where they were evaluated just now.
        files: names of the images by record number, for a folder.
        budget: what was subtracted for the sound radii, where they were asked for.
        unkept: why the results could not be kept, if they should have been.
    """

    certificates: Certificates
    logits: Tensor | None = None
    files: tuple[str, ...] = ()
    budget: Budget | None = None
    unkept: LipscopeError | None = None

    @property
    def shown(self) -> Certificates:
        """The radii of the kind that was asked for."""
        return self.certificates if self.budget is None else self.certificates.as_sound()


def answer(path: Path, request: Request) -> Answer:
    """Certify the model at ``path``, or answer from its results file where that still holds.

    Raises:
        BusyError: another process is doing the same.
        LipscopeError: whatever is wrong with the model, the data or the request.
    """
    stored = load_model(path)
    chosen = choose(stored, request)
    target = results_path(path)
    found = None
    if chosen.kept and not request.force and not request.logits:
        found = _answer(target, path, stored, chosen.data)
        if found is not None and (not request.sound or sound_radii_hold(found, stored, chosen.data)):
            narrate(f"unchanged model and data: answered from {target} (--force computes anew)")
            return Answer(found, budget=error_budget(stored.net, FLOAT64)[0] if request.sound else None)
    if not chosen.whole:
        return _evaluate(stored, chosen, request)
    side = partial_path(target, "" if chosen.kept else f"{_word(chosen.data)}-{chosen.data.split}")
    with ExitStack() as held:
        unkept, single, double = None, None, None
        try:
            held.enter_context(exclusive(target if chosen.kept else side))
            if chosen.kept:
                _check_replaceable(target, force=request.force)
        except (BusyError, OtherSchemaError):
            raise
        except LipscopeError as error:
            narrate(f"the results cannot be kept: {error}" if chosen.kept else f"progress is not kept: {error}")
            unkept = error if chosen.kept else None
        else:
            single = held.enter_context(_progress(side, stored, chosen, request))
            if request.sound:
                double = held.enter_context(_sound_progress(side, stored, chosen, request))
        result = _evaluate(stored, chosen, request, found, single, double)
        if unkept is not None:
            return replace(result, unkept=unkept)
        if chosen.kept:
            result = _keep(target, path, result)
        for progress in (single, double):
            if progress is not None and result.unkept is None:
                progress.remove()
    return result


def _evaluate(
    stored: StoredModel,
    chosen: Chosen,
    request: Request,
    found: Certificates | None = None,
    single: Progress | None = None,
    double: Progress | None = None,
) -> Answer:
    """Float32, unless it was found, and then float64 where sound radii are wanted; each with its progress."""
    device, watch = chosen_device(request.device), Stopwatch(request.batch_size)
    known, logits = found, None
    if known is None:
        try:
            with images_bar("certifying", len(chosen.data)) as advance:
                evaluation = certify(
                    stored, chosen.data, chosen.index, device=device, batch_size=request.batch_size,
                    on_progress=watch.following(advance), progress=single,
                )  # fmt: skip
            known, logits = evaluation.certificates, evaluation.logits
        except (TooCoarseError, NotFiniteError) as error:
            if not request.sound:
                raise
            narrate(f"{error.what.removeprefix('refused: ')} ({error.why}): every radius comes from float64")
    if not request.sound:
        assert known is not None
        return Answer(known, logits, chosen.files)
    sound = add_sound_radii(known, stored, chosen, device, watch.rate, double)
    return Answer(sound.certificates, sound.logits, chosen.files, sound.budget)


def _progress(side: Path, stored: StoredModel, chosen: Chosen, request: Request) -> Progress:
    if request.force:
        side.unlink(missing_ok=True)
    return progress_of(
        side, stored, chosen.data, chosen.index, device=chosen_device(request.device), batch_size=request.batch_size,
        note=narrate,
    )  # fmt: skip


def _sound_progress(side: Path, stored: StoredModel, chosen: Chosen, request: Request) -> Progress:
    place = side.with_name(f"{side.name.removesuffix(SUFFIX)}.sound{SUFFIX}")
    if request.force:
        place.unlink(missing_ok=True)
    device = chosen_device(request.device)
    return sound_progress_of(place, stored, chosen.data, chosen.index, device=device, note=narrate)


def _answer(target: Path, path: Path, stored: StoredModel, data: ImageSet) -> Certificates | None:
    """The kept results, if they hold for these very bytes; why they do not is told.

    Raises:
        OtherSchemaError: another version of lipscope wrote them; they are not overwritten without --force.
        CheckpointError: they are damaged, and may be all that is left of a long run: as above.
    """
    if not target.exists():
        return None
    try:
        found, kept_summary = read_results(target)
    except OtherSchemaError as error:
        if "lipscope.results" in read_header(target).metadata:
            raise
        narrate(f"{error}; computing anew")
        return None
    reason = objection(found, stored, data)
    if reason:
        narrate(f"{target}: the kept results do not answer, {reason}; computing anew")
        return None
    certificates = found if found.classes else replace(found, classes=data.classes)
    _renew(target, certificates, kept_summary, path)
    return certificates


def _renew(target: Path, certificates: Certificates, kept: object, path: Path) -> None:
    """Write the summary again where an older version left figures out, or the copy beside it is lost or torn."""
    facts = summary(certificates, str(path), DEFAULT_EPS)
    try:
        beside = json.loads(summary_path(target).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        beside = None
    if isinstance(kept, dict) and kept.keys() == facts.keys() and beside == kept:
        return
    try:
        with exclusive(target):
            write_results(target, certificates, facts)
    except LipscopeError as error:
        narrate(f"the summary beside the model was not renewed: {error}")


def _keep(target: Path, path: Path, result: Answer) -> Answer:
    """Write the results with what still holds of the earlier ones; a failure is told and returned."""
    certificates = result.certificates
    with suppress(CheckpointError):  # there are none, or none that can be read
        certificates = keeping_what_holds(certificates, read_results(target)[0])
    kept = replace(result, certificates=certificates)
    try:
        write_results(target, certificates, summary(certificates, str(path), DEFAULT_EPS))
    except LipscopeError as error:
        narrate(f"the results could not be kept: {error}")
        return replace(kept, unkept=error)
    narrate(f"results kept in {target}")
    return kept


def _check_replaceable(target: Path, *, force: bool) -> None:
    """Only a whole results file of this schema is overwritten; with ``force`` any or a damaged one, but never a model.

    Raises:
        OtherSchemaError: another version of lipscope wrote it.
        CheckpointError: it is damaged, or something else lies there.
    """
    if not target.exists():
        return
    try:
        metadata = read_header(target).metadata
    except CheckpointError:
        if force:
            return
        raise
    if "lipscope.results" not in metadata:
        raise CheckpointError(
            "is not a results file, and is not overwritten", where=str(target), next_step="rename one of the two models"
        )
    if not force:
        read_results(target)


def chosen_device(given: str | None) -> str:
    """The device asked for, else a GPU where there is one.

    Raises:
        UsageError: torch cannot compute on it.
    """
    import torch

    from lipscope.environment import check_device

    device = given or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    return device


def _word(data: ImageSet) -> str:
    return "folder" if data.split == "images" else data.name
