"""One attack from request to kept results: answer from what is kept, else attack, save violations, merge."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lipscope.attacks.driver import Outcome, Settings, attack, progress_of
from lipscope.attacks.report import adversarials_of, earlier_run, merged, report, rows_of, run_record
from lipscope.attacks.violations import (
    Violation,
    describe,
    save_violation,
    summary_of,
    verify_saved,
    violated,
)
from lipscope.certification.kept import Note, summary_of_kept
from lipscope.certification.partial import Progress, partial_path
from lipscope.certification.run import Bar, answer, chosen_device, no_bar
from lipscope.certification.selection import Request, load_for, own_dataset, selection
from lipscope.data import ImageSet
from lipscope.errors import CheckpointError, DataError, LipscopeError
from lipscope.files.adversarials import (
    Adversarials,
    adversarials_path,
    nearest_of,
    read_adversarials,
    write_adversarials,
)
from lipscope.files.locks import BusyError, exclusive
from lipscope.files.results import read_results, results_path, write_results
from lipscope.files.violation import violation_path
from lipscope.files.writing import require_place
from lipscope.models.stored import StoredModel, load_model
from lipscope.records.certificates import Certificates
from lipscope.visible import counted

MOST_SAVED = 10
"""Image pairs that one run saves; a lie about L breaks every certificate."""


def run_attack(
    path: Path,
    settings: Settings,
    request: Request,
    *,
    claimed: Path | None = None,
    save_to: Path | None = None,
    note: Note = lambda text: None,
    bar: Bar = no_bar,
) -> tuple[dict[str, Any], LipscopeError | None]:
    """Attack the model at ``path``: the facts, and why they could not be kept if they could not.

    Args:
        path: a model.
        settings: of the attacks.
        request: which images, where things are kept, and whether earlier attacks are forgotten.
        claimed: a results file whose radii are attacked instead of the model's own.
        save_to: the folder for violations; None for where the results are kept.
        note: told in words what a person should know.
        bar: shows progress.

    Raises:
        BusyError: another process is doing the same.
        LipscopeError: whatever is wrong with the model, the data, the request or the place for what is found.
    """
    own = claimed is None
    if own and not request.no_keep:
        for place in (results_path(path, request.keep), adversarials_path(path, request.keep)):
            require_place(place)
    model = load_model(path)
    data = load_for(path, own_dataset(model), "test", request.data_dir)
    index = selection(len(data), request.limit, request.indices)
    whole, unkept = _own(model, request, note, bar) if claimed is None else (_claimed(claimed, model, data, note), None)
    images, attacked = data.subset(index), rows_of(whole, index)
    earlier = earlier_run(whole, settings, index) if own and not request.force else None
    folder = save_to or request.keep or (None if request.no_keep else path.parent)
    saved = _Saved(model, attacked, folder, note)
    if earlier is not None:
        note("these images were attacked so before: answered from the results file (--force attacks anew)")
        if not adversarials_path(path, request.keep).exists():
            note("their adversarial images are not kept; --force finds them again and keeps them")
        run, distance = earlier, attacked.attack_distance
    else:
        device = chosen_device(request.device)
        with ExitStack() as held:
            progress = _progress(held, model, images, attacked, settings, request, device, note)
            with bar("attacking", len(images)) as advance:
                outcome = attack(
                    model, images, attacked, settings, device=device, progress=progress,
                    on_progress=advance, on_violation=saved.add, world=request.world,
                )  # fmt: skip
            run, distance = run_record(settings, index, outcome), outcome.distance
            if own and not request.no_keep and unkept is None:
                whole, unkept = _keep(path, whole, index, outcome, run, request, note)
                distance = rows_of(whole, index).attack_distance
            if progress is not None and unkept is None:
                progress.remove()
    assert distance is not None
    refuted = violated(attacked, distance)
    facts = report(
        attacked, distance, run, str(path), settings.eps,
        summary_of(saved.files(), saved.verified()), int(np.count_nonzero(refuted)),
    )  # fmt: skip
    return facts, unkept


class _Saved:
    """The violations of one run: each saved when it is found, and looked at again in the file."""

    def __init__(self, model: StoredModel, claimed: Certificates, folder: Path | None, note: Note) -> None:
        self._path, self._model, self._claimed = model.header.path, model, claimed
        self._folder, self._note = folder, note
        self._count = 0

    def add(self, row: int, image: Tensor, point: Tensor) -> None:
        """Save the pair of a row, unless there are enough of them."""
        violation = describe(self._model, self._claimed, row, image, point)
        if violation is None:
            return
        self._count += 1
        if self._count > MOST_SAVED:
            return
        if self._folder is None:
            where = "the pair is not saved, because of --no-keep"
        else:
            file = violation_path(self._folder, self._path, violation.index)
            where = f"pair saved in {file}"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                save_violation(file, violation, self._model.sha256, image, point)
            except (LipscopeError, OSError) as error:
                # The finding counts without its picture: the exit code and the distance tell of it.
                where = f"the pair is not saved: {error}"
        self._note(
            f"VIOLATION: image {violation.index} has class {violation.adversarial_class} at {violation.distance!r}, "
            f"inside the radius {violation.radius!r}; {where}"
        )

    def files(self) -> dict[int, Path]:
        """The saved pairs of these images, of this run and of those that it continues."""
        if self._folder is None:
            return {}
        places = {int(i): violation_path(self._folder, self._path, int(i)) for i in self._claimed.index}
        return {index: place for index, place in places.items() if place.exists()}

    def verified(self) -> tuple[Violation, ...]:
        """What the saved files show, evaluated anew by a model read anew."""
        files = self.files()
        if not files:
            return ()
        fresh = load_model(self._path)
        found = []
        for index, file in files.items():
            try:
                violation = verify_saved(file, fresh, self._claimed)
            except CheckpointError as error:
                self._note(f"{error}; left alone")
                continue
            verdict = "verified again in float64" if violation else "does NOT show a violation"
            self._note(f"image {index}, read again from {file}: {verdict}")
            found += [violation] if violation else []
        return tuple(found)


def _own(model: StoredModel, request: Request, note: Note, bar: Bar) -> tuple[Certificates, LipscopeError | None]:
    """This user's own results, computed where they are missing or stale; and why they could not be kept."""
    if not request.no_keep:  # the whole test set is certified, and kept
        request = replace(request, limit=None, indices=None)
    found = answer(model, replace(request, force=False), note, bar)
    return found.certificates, found.unkept


def _claimed(path: Path, model: StoredModel, data: ImageSet, note: Note) -> Certificates:
    """The claims of a results file about these images.

    Raises:
        DataError, CheckpointError: they are about others.
    """
    certificates, where = read_results(path), str(path)
    if (certificates.data_name, certificates.data_split) != (data.name, data.split) or len(certificates) != len(data):
        raise DataError("is about other images", where=where, why=f"{certificates.data_name} {certificates.data_split}")
    if certificates.data_fingerprint != data.fingerprint():
        raise DataError("is about other images", where=where, why="another fingerprint")
    if not np.array_equal(certificates.index, np.arange(len(data))):
        raise DataError("is about other images", where=where, why="other record numbers")
    if max(certificates.predicted.max(), certificates.runner_up.max()) >= model.net.head.classes:
        raise CheckpointError("is about a model of more classes", where=where)
    if certificates.model_sha256 != model.sha256:
        note(f"{path} was made for another model; its radii are attacked as claims about this one")
        certificates = replace(
            certificates, standing="claimed", reason="they are of another model",
            model_sha256=model.sha256, architecture=model.header.architecture or "",
        )  # fmt: skip
    return certificates


def _progress(
    held: ExitStack,
    model: StoredModel,
    images: ImageSet,
    attacked: Certificates,
    settings: Settings,
    request: Request,
    device: str,
    note: Note,
) -> Progress | None:
    """The progress of the attack, which is held until its distances are kept; None, and told, where it cannot be.

    Raises:
        BusyError: another process attacks the same model.
    """
    if request.no_keep:
        return None
    side = partial_path(results_path(model.header.path, request.keep), "attack")
    try:
        held.enter_context(exclusive(side))
    except BusyError:
        raise
    except LipscopeError as error:
        note(f"progress is not kept: {error}")
        return None
    if request.force:
        side.unlink(missing_ok=True)
    return held.enter_context(progress_of(side, model, images, attacked, settings, device=device, note=note))


def _keep(
    path: Path,
    whole: Certificates,
    index: NDArray[np.int64],
    outcome: Outcome,
    run: dict[str, Any],
    request: Request,
    note: Note,
) -> tuple[Certificates, LipscopeError | None]:
    """Merge into the results file as it is now; a failure is told and returned."""
    target = results_path(path, request.keep)
    updated = merged(whole, index, outcome.distance, run, force=request.force)
    try:
        with exclusive(target):
            now = read_results(target)
            same = (
                now.standing == "own"
                and now.model_sha256 == whole.model_sha256
                and now.data_fingerprint == whole.data_fingerprint
            )
            if not same or not np.array_equal(now.predicted, whole.predicted):
                raise CheckpointError("the results file changed during the attack", where=str(target))
            updated = merged(now, index, outcome.distance, run, force=request.force)
            write_results(target, updated, summary_of_kept(updated, str(path)))
    except LipscopeError as error:
        note(f"the attack distances could not be kept: {error}")
        return updated, error
    note(f"attack distances kept in {target}")
    return updated, _keep_images(
        adversarials_path(path, request.keep), adversarials_of(whole, index, outcome), force=request.force, note=note
    )


def _keep_images(path: Path, found: Adversarials, *, force: bool, note: Note) -> LipscopeError | None:
    """Add the nearest adversarial images to those that are kept; a failure is told and returned."""
    try:
        with exclusive(path):
            kept: Adversarials | None = None
            if path.exists():
                try:
                    kept = read_adversarials(path, found.model_sha256, found.data_fingerprint)
                    if not kept.origin.own:
                        note(
                            f"earlier adversarial images are replaced: claimed by somebody else ({kept.origin.reason})"
                        )
                        kept = None
                except CheckpointError as error:
                    note(f"earlier adversarial images are replaced: {error}")
            together = nearest_of(kept, found, force=force)
            write_adversarials(path, together)
    except LipscopeError as error:
        note(f"the adversarial images could not be kept: {error}")
        return error
    note(f"the nearest adversarial images of {counted(len(together), 'image')} kept in {path}")
    return None
