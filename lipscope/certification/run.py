"""One certification from request to kept results: answer from what is kept, else compute and keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lipscope.certification.evaluate import Told, certify, estimate, progress_of
from lipscope.certification.kept import Note, answer_from, check_place, keep
from lipscope.certification.partial import Progress, partial_path
from lipscope.certification.selection import Chosen, Request, choose
from lipscope.certification.sound import BATCH
from lipscope.errors import LipscopeError
from lipscope.files.locks import BusyError, exclusive
from lipscope.files.results import results_path
from lipscope.models.stored import StoredModel
from lipscope.records.certificates import Certificates

if TYPE_CHECKING:
    from torch import Tensor

    from lipscope.certification.budget import Budget
    from lipscope.data import ImageSet

Bar = Callable[[str, int], AbstractContextManager[Told]]
"""Given what is done and for how many images: a context whose value is told how many are done."""

FAST_BATCH = 500


@contextmanager
def no_bar(doing: str, total: int) -> Iterator[Told]:
    """Shows nothing."""
    yield lambda done, total: None


@dataclass(frozen=True)
class Answer:
    """What a request brought.

    Args:
        certificates: one radius per image.
        logits: where they were evaluated just now.
        files: names of the images by record number, for a folder.
        budget: the rounding errors that were subtracted just now.
        unkept: why the results could not be kept, if they should have been.
    """

    certificates: Certificates
    logits: Tensor | None = None
    files: tuple[str, ...] = ()
    budget: Budget | None = None
    unkept: LipscopeError | None = None


def answer(stored: StoredModel, request: Request, note: Note = lambda text: None, bar: Bar = no_bar) -> Answer:
    """Certify a model, or answer from this user's own results where they still hold.

    Args:
        stored: as it was read from its file.
        request: which images, and how.
        note: told in words what a person should know.
        bar: shows progress.

    Raises:
        BusyError: another process is doing the same.
        LipscopeError: whatever is wrong with the model, the data, the request or the place for the results.
    """
    path = stored.header.path
    chosen = choose(stored, request, note)
    device = chosen_device(request.device)
    if request.fast:
        with bar("estimating", len(chosen.data)) as advance:
            found = estimate(
                stored, chosen.data, chosen.index, device=device, batch_size=request.batch_size or FAST_BATCH,
                on_progress=advance,
            )  # fmt: skip
        return Answer(found.certificates, found.logits, chosen.files)
    target = results_path(path, request.keep)
    kept = chosen.kept and not request.no_keep
    if kept and not request.force and not request.logits:
        earlier = answer_from(target, stored, chosen.data, note)
        if earlier is not None:
            note(f"unchanged model and data: answered from your own {target} (--force computes anew)")
            return Answer(earlier)
    if not chosen.whole or request.no_keep:
        return _evaluate(stored, chosen, request, device, None, bar)
    side = partial_path(target, "" if chosen.kept else f"{_word(chosen.data)}-{chosen.data.split}")
    with ExitStack() as held:
        progress = _held(held, target, side, stored, chosen, request, device, note)
        result = _evaluate(stored, chosen, request, device, progress, bar)
        if kept:
            try:
                result = replace(result, certificates=keep(target, str(path), result.certificates, note))
            except LipscopeError as error:
                note(f"the results could not be kept: {error}")
                return replace(result, unkept=error)
        if progress is not None:
            progress.remove()
    return result


def _held(
    held: ExitStack,
    target: Path,
    side: Path,
    stored: StoredModel,
    chosen: Chosen,
    request: Request,
    device: str,
    note: Note,
) -> Progress | None:
    """The progress of the evaluation, while nobody else works on the same; None where only progress cannot be kept.

    Raises:
        BusyError: another process is doing the same.
        LipscopeError: the results should be kept, and cannot.
    """
    if chosen.kept:
        check_place(target, force=request.force)
    try:
        held.enter_context(exclusive(target if chosen.kept else side))
    except BusyError:
        raise
    except LipscopeError as error:
        if chosen.kept:
            raise
        note(f"progress is not kept: {error}")
        return None
    if request.force:
        side.unlink(missing_ok=True)
    return held.enter_context(progress_of(side, stored, chosen.data, chosen.index, device=device, note=note))


def _evaluate(
    stored: StoredModel, chosen: Chosen, request: Request, device: str, progress: Progress | None, bar: Bar
) -> Answer:
    with bar("certifying", len(chosen.data)) as advance:
        found = certify(
            stored, chosen.data, chosen.index, device=device, batch_size=request.batch_size or BATCH,
            on_progress=advance, progress=progress, world=request.world,
        )  # fmt: skip
    return Answer(found.certificates, found.logits, chosen.files, found.budget)


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
