"""One attack from request to kept results: answer from what is kept, else attack, save violations, merge."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from lipscope.certification.kept import summary_of_kept
from lipscope.certification.partial import Progress, partial_path
from lipscope.certification.run import answer, chosen_device
from lipscope.certification.selection import Request, load_for, own_dataset, selection
from lipscope.commands.messages import narrate
from lipscope.commands.progress import images_bar
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

MOST_SAVED = 10
"""Image pairs that one run saves; a lie about L breaks every certificate."""


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Args:
        settings: of the attacks.
        limit, indices: which images; one of them is None.
        claimed: a results file whose radii are attacked instead of the model's own.
        save_to: the folder for violations; None for the model's.
        force: forget earlier attacks.
        device: a torch device; None for a GPU where there is one.
        data_dir: searched first.
        keep: the folder for results, progress and adversarial images; None for the model's.
        no_keep: keep none of them, and answer from none.
    """

    settings: Settings
    limit: int | None
    indices: str | None
    claimed: Path | None
    save_to: Path | None
    force: bool
    device: str | None
    data_dir: Path | None
    keep: Path | None = None
    no_keep: bool = False


def run_attack(path: Path, order: Order) -> tuple[dict[str, Any], LipscopeError | None]:
    """Attack the model at ``path``: the facts, and why they could not be kept if they could not.

    Raises:
        BusyError: another process is doing the same.
        LipscopeError: whatever is wrong with the model, the data, the request or the place for what is found.
    """
    own = order.claimed is None
    if own and not order.no_keep:
        for place in (results_path(path, order.keep), adversarials_path(path, order.keep)):
            require_place(place)
    model = load_model(path)
    data = load_for(path, own_dataset(model), "test", order.data_dir)
    index = selection(len(data), order.limit, order.indices)
    whole, unkept = _certificates(path, model, data, order)
    images, claimed = data.subset(index), rows_of(whole, index)
    earlier = earlier_run(whole, order.settings, index) if own and not order.force else None
    saved = _Saved(path, model, claimed, order.save_to or order.keep or (None if order.no_keep else path.parent))
    if earlier is not None:
        narrate("these images were attacked so before: answered from the results file (--force attacks anew)")
        if not adversarials_path(path, order.keep).exists():
            narrate("their adversarial images are not kept; --force finds them again and keeps them")
        run, distance = earlier, claimed.attack_distance
    else:
        with ExitStack() as held:
            progress = _progress(held, path, model, images, claimed, order)
            outcome = _attack(model, images, claimed, order, saved, progress)
            run, distance = run_record(order.settings, index, outcome), outcome.distance
            if own and not order.no_keep and unkept is None:
                whole, unkept = _keep(path, whole, index, outcome, run, order)
                distance = rows_of(whole, index).attack_distance
            if progress is not None and unkept is None:
                progress.remove()
    assert distance is not None
    refuted = violated(claimed, distance)
    facts = report(
        claimed, distance, run, str(path), order.settings.eps,
        summary_of(saved.files(), saved.verified()), int(np.count_nonzero(refuted)),
    )  # fmt: skip
    return facts, unkept


class _Saved:
    """The violations of one run: each saved when it is found, and looked at again in the file."""

    def __init__(self, path: Path, model: StoredModel, claimed: Certificates, folder: Path | None) -> None:
        self._path, self._model, self._claimed = path, model, claimed
        self._folder = folder
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
        narrate(
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
                narrate(f"{error}; left alone")
                continue
            verdict = "verified again in float64" if violation else "does NOT show a violation"
            narrate(f"image {index}, read again from {file}: {verdict}")
            found += [violation] if violation else []
        return tuple(found)


def _certificates(
    path: Path, model: StoredModel, data: ImageSet, order: Order
) -> tuple[Certificates, LipscopeError | None]:
    """The claims, and why they could not be kept if they could not.

    They are this user's own results, computed where they are missing or stale, or those of a given file.
    """
    if order.claimed is None:
        request = Request(device=order.device, data_dir=order.data_dir, keep=order.keep)
        if order.no_keep:
            request = replace(request, no_keep=True, limit=order.limit, indices=order.indices)
        found = answer(path, request, narrate, images_bar)
        return found.certificates, found.unkept
    certificates = read_results(order.claimed)
    where = str(order.claimed)
    if (certificates.data_name, certificates.data_split) != (data.name, data.split) or len(certificates) != len(data):
        raise DataError("is about other images", where=where, why=f"{certificates.data_name} {certificates.data_split}")
    if certificates.data_fingerprint != data.fingerprint():
        raise DataError("is about other images", where=where, why="another fingerprint")
    if not np.array_equal(certificates.index, np.arange(len(data))):
        raise DataError("is about other images", where=where, why="other record numbers")
    if max(certificates.predicted.max(), certificates.runner_up.max()) >= model.net.head.classes:
        raise CheckpointError("is about a model of more classes", where=where)
    if certificates.model_sha256 != model.sha256:
        narrate(f"{order.claimed} was made for another model; its radii are attacked as claims about this one")
    return certificates, None


def _progress(
    held: ExitStack, path: Path, model: StoredModel, images: ImageSet, claimed: Certificates, order: Order
) -> Progress | None:
    """The progress of the attack, which is held until its distances are kept; None, and told, where it cannot be.

    Raises:
        BusyError: another process attacks the same model.
    """
    if order.no_keep:
        return None
    side = partial_path(results_path(path, order.keep), "attack")
    try:
        held.enter_context(exclusive(side))
    except BusyError:
        raise
    except LipscopeError as error:
        narrate(f"progress is not kept: {error}")
        return None
    if order.force:
        side.unlink(missing_ok=True)
    device = chosen_device(order.device)
    return held.enter_context(
        progress_of(side, model, images, claimed, order.settings, device=device, note=narrate)
    )  # fmt: skip


def _attack(
    model: StoredModel, images: ImageSet, claimed: Certificates, order: Order, saved: _Saved, progress: Progress | None
) -> Outcome:
    with images_bar("attacking", len(images)) as advance:
        return attack(
            model, images, claimed, order.settings, device=chosen_device(order.device), progress=progress,
            on_progress=advance, on_violation=saved.add,
        )  # fmt: skip


def _keep(
    path: Path, whole: Certificates, index: NDArray[np.int64], outcome: Outcome, run: dict[str, Any], order: Order
) -> tuple[Certificates, LipscopeError | None]:
    """Merge into the results file as it is now; a failure is told and returned."""
    target = results_path(path, order.keep)
    updated = merged(whole, index, outcome.distance, run, force=order.force)
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
            updated = merged(now, index, outcome.distance, run, force=order.force)
            write_results(target, updated, summary_of_kept(updated, str(path)))
    except LipscopeError as error:
        narrate(f"the attack distances could not be kept: {error}")
        return updated, error
    narrate(f"attack distances kept in {target}")
    return updated, _keep_images(adversarials_path(path, order.keep), adversarials_of(whole, index, outcome), order)


def _keep_images(path: Path, found: Adversarials, order: Order) -> LipscopeError | None:
    """Add the nearest adversarial images to those that are kept; a failure is told and returned."""
    try:
        with exclusive(path):
            kept: Adversarials | None = None
            if path.exists():
                try:
                    kept = read_adversarials(path, found.model_sha256, found.data_fingerprint)
                    if not kept.origin.own:
                        narrate(
                            f"earlier adversarial images are replaced: claimed by somebody else ({kept.origin.reason})"
                        )
                        kept = None
                except CheckpointError as error:
                    narrate(f"earlier adversarial images are replaced: {error}")
            together = nearest_of(kept, found, force=order.force)
            write_adversarials(path, together)
    except LipscopeError as error:
        narrate(f"the adversarial images could not be kept: {error}")
        return error
    narrate(f"the nearest adversarial images of {len(together)} images kept in {path}")
    return None
