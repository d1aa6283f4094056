"""Results kept beside a model: which of them may answer, what may be overwritten, and how new ones are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from lipscope.certification.partial import order_digest
from lipscope.certification.summary import summary
from lipscope.data import ImageSet
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header
from lipscope.files.results import OtherSchemaError, read_results, summary_path, with_attacks_of, write_results
from lipscope.files.signing import Signer
from lipscope.files.writing import require_place
from lipscope.models.stored import StoredModel
from lipscope.records.certificates import Certificates
from lipscope.units import DEFAULT_EPS
from lipscope.version import __version__

Note = Callable[[str], None]


def objection(kept: Certificates, model: StoredModel, data: ImageSet) -> str:
    """Why kept results cannot answer for this model on all of these images; empty when they can.

    What this user's own key has signed is what this program computed: only what it is about is left to ask.
    """
    if kept.standing != "own":
        return f"they are claimed by somebody else ({kept.reason})"
    if kept.model_sha256 != model.sha256:
        return "they are of another model"
    if kept.environment.get("lipscope") != __version__:
        return "they are of another version of lipscope"
    if (
        (kept.data_name, kept.data_split) != (data.name, data.split)
        or kept.data_fingerprint != data.fingerprint()
        or not np.array_equal(kept.index, np.arange(len(data)))
        or not np.array_equal(kept.label, data.labels)
        or kept.data_order != order_digest(data, kept.index)
    ):
        return "they are of other images"
    return ""


def answer_from(target: Path, model: StoredModel, data: ImageSet, note: Note) -> Certificates | None:
    """The kept results, if they hold for these very bytes; why they do not is told.

    Raises:
        OtherSchemaError: another version of lipscope wrote them; they are not overwritten without --force.
        CheckpointError: they are damaged, and may be all that is left of a long run: as above.
    """
    if not os.path.lexists(target):
        return None
    try:
        found = read_results(target)
    except OtherSchemaError as error:
        if "lipscope.results" in read_header(target).metadata:
            raise
        note(f"{error}; computing anew")
        return None
    if reason := objection(found, model, data):
        note(f"{target}: the kept results do not answer, {reason}; computing anew")
        return None
    return found


def check_place(target: Path, *, force: bool) -> None:
    """Refuse, before anything is computed, a place where results cannot be kept.

    Only a whole results file of a known schema is overwritten; with ``force`` any or a damaged one, but never a model.

    Raises:
        OtherSchemaError: another version of lipscope wrote it.
        CheckpointError: it is damaged, or something else lies there.
        LipscopeError: the place cannot be written to.
    """
    for place in (target, summary_path(target)):
        require_place(place)
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


def keep(target: Path, model_path: str, certificates: Certificates, note: Note) -> Certificates:
    """Write results, with the attack distances that this user's own earlier ones hold for the same predictions.

    Raises:
        LipscopeError: they cannot be written.
    """
    with suppress(CheckpointError):  # there are none, or none that can be read
        earlier = read_results(target)
        if earlier.standing == "own":
            certificates = with_attacks_of(certificates, earlier)
    write_results(target, certificates, summary_of_kept(certificates, model_path))
    unsigned = Signer().why_no_key()
    note(f"results kept in {target}" + (f", unsigned, so they will not answer again: {unsigned}" if unsigned else ""))
    return certificates


def summary_of_kept(certificates: Certificates, model_path: str) -> dict[str, object]:
    """The summary beside the results: whoever reads it later reads a claim, whoever wrote it."""
    return summary(replace(certificates, standing="claimed", reason="read from a file"), model_path, DEFAULT_EPS)
