"""The results of a certification: one radius per image, kept in a file beside the model.

``model.certified.safetensors`` holds the arrays; its metadata say what they are about (the SHA-256 of the model, the
fingerprint of the data) and carry the signature of whoever computed them. ``model.certified.json`` is the summary, for
programs that read no tensors. Reading needs numpy, not torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lipscope.errors import CheckpointError
from lipscope.files.beside import CERTIFIED, beside
from lipscope.files.checkpoint import atomic_path, opened_file, with_sorted_metadata
from lipscope.files.signing import NAME, UNSIGNED, Signer
from lipscope.records.certificates import DATA, Certificates
from lipscope.version import __version__

SCHEMA = "lipscope.results/2"

EARLIER = "lipscope.results/1"
"""Two kinds of radii, unsigned: read as what somebody else claims."""

FLOATS = ("radius", "margin")
ARRAYS = ("index", "label", "predicted", "runner_up", *FLOATS)
OPTIONAL = ("attack_distance",)
MOST_CLASSES = 100_000
"""Class numbers from here on are damage."""

ABOUT = ("model_sha256", "architecture", *DATA, "lipschitz", "environment", "attack", "classes", "data_order")
"""The fields that are no arrays, as they are kept."""


class OtherSchemaError(CheckpointError):
    """A file is no results file of a schema that this version reads."""


def results_path(model: Path, folder: Path | None = None) -> Path:
    """Where the results of a model lie: ``model.certified.safetensors`` beside it, or in another folder.

    >>> results_path(Path("runs/a/model.safetensors")).name
    'model.certified.safetensors'
    """
    return beside(model, CERTIFIED, folder)


def summary_path(results: Path) -> Path:
    """Where the summary lies: ``model.certified.json`` beside the results.

    >>> summary_path(Path("runs/a/model.certified.safetensors")).name
    'model.certified.json'
    """
    return results.with_suffix(".json")


def with_attacks_of(new: Certificates, old: Certificates) -> Certificates:
    """``new`` with the attack distances of ``old``, where both are about the same model, images and predictions."""
    same = all(getattr(new, name) == getattr(old, name) for name in ("model_sha256", *DATA)) and all(
        np.array_equal(getattr(new, name), getattr(old, name)) for name in ("index", "label", "predicted")
    )
    if not same or new.attack_distance is not None or old.attack_distance is None:
        return new
    return replace(new, attack_distance=old.attack_distance, attack=old.attack)


def write_results(path: Path, certificates: Certificates, summary: Mapping[str, Any]) -> None:
    """Write the arrays, signed with the user's own key, and the summary beside them, each atomically.

    Raises:
        LipscopeError: the place cannot be written to, or the disk is full.
        ValueError: they are not this user's own: nothing else is signed.
    """
    if certificates.standing not in ("proved", "own"):
        raise ValueError(f"{certificates.standing} radii are not kept")
    about = {name: getattr(certificates, name) for name in ABOUT}
    metadata = {
        "lipscope.results": SCHEMA,
        "lipscope.version": __version__,
        NAME: UNSIGNED,
        "about": json.dumps(about, sort_keys=True, default=dict),
    }
    present = [name for name in OPTIONAL if getattr(certificates, name) is not None]
    arrays = {name: np.ascontiguousarray(getattr(certificates, name)) for name in (*ARRAYS, *present)}
    content = Signer().sign(with_sorted_metadata(save(arrays, metadata)))
    # The arrays are the truth: they take their place first, when the summary is on the disk already.
    with atomic_path(summary_path(path)) as beside, atomic_path(path) as temporary:
        beside.write_text(json.dumps(summary) + "\n", encoding="utf-8")
        temporary.write_bytes(content)


def read_results(path: Path) -> Certificates:
    """The certificates of a results file, with their standing: this user's own, or claimed by somebody else.

    Raises:
        OtherSchemaError: of another schema, or no results file.
        CheckpointError: missing, damaged, or arrays that do not fit together.
    """
    where = str(path)
    with opened_file(path) as (header, whole):
        metadata, schema = header.metadata, header.metadata.get("lipscope.results")
        if schema not in (SCHEMA, EARLIER):
            raise OtherSchemaError(
                "not a results file of this version", where=where, why=f"schema {schema!r}, expected {SCHEMA}",
                next_step="run `lipscope certify --force` on the model",
            )  # fmt: skip
        content = whole()
    origin = Signer().origin(content)
    try:
        arrays = load(content)
        about = json.loads(metadata["about"])
        json.dumps(about, allow_nan=False)  # what repeats NaN or 1e999 would print no JSON
        told = {name: about[name] for name in ABOUT if name in about}
        if schema == SCHEMA:
            standing, reason = ("own", "") if origin.own else ("claimed", origin.reason)
        else:
            standing, reason = "claimed", "an earlier version wrote it, unsigned"
            arrays["radius"] = arrays.get("sound_radius", arrays["radius"])
            told["environment"] = about["environment"].get("sound", about["environment"])
        fields: dict[str, Any] = {**told, **{name: arrays[name] for name in ARRAYS}}
        fields |= {name: arrays[name] for name in OPTIONAL if name in arrays}
        fields |= {"classes": tuple(told.get("classes", ())), "standing": standing, "reason": reason}
        certificates = Certificates(**fields)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(
            "the results file is damaged", where=where, why=str(error)[:200],
            next_step="run `lipscope certify --force` on the model",
        ) from error  # fmt: skip
    if not _fits_together(certificates):
        raise CheckpointError("the results file is damaged", where=where, why="its contents do not fit together")
    return certificates


def _fits_together(certificates: Certificates) -> bool:
    """Whether every field has its type, the arrays have one length, and the radii can be radii."""
    for name in ARRAYS:
        array = getattr(certificates, name)
        dtype = np.float64 if name in FLOATS else np.int64
        if array.dtype != dtype or array.shape != certificates.radius.shape or not np.all(np.isfinite(array)):
            return False
    for name in OPTIONAL:
        array = getattr(certificates, name)
        if array is not None and (
            array.dtype != np.float64 or array.shape != certificates.radius.shape or not np.all(array >= 0)
        ):
            return False
    for name in ("label", "predicted", "runner_up"):
        numbers = getattr(certificates, name)
        if not np.all((numbers >= 0) & (numbers < MOST_CLASSES)):
            return False
    texts = ("model_sha256", "architecture", *DATA)
    return (
        certificates.radius.ndim == 1
        and not np.any(certificates.radius < 0)
        and all(isinstance(getattr(certificates, name), str) for name in texts)
        and isinstance(certificates.lipschitz, float | int)
        and 0 <= certificates.lipschitz <= sys.float_info.max
        and isinstance(certificates.environment, dict)
        and isinstance(certificates.attack, dict)
        and _are_runs(certificates.attack.get("runs", []), int(certificates.index.max(initial=-1)) + 1)
        and all(isinstance(name, str) for name in (*certificates.classes, certificates.data_order))
    )


def _are_runs(runs: object, end: int) -> bool:
    """Whether these are records of attacks on images below ``end``, with the fields that are read again."""
    kinds = {"settings": dict, "images": list, "nearest": dict, "in_float32": int, "environment": dict}
    return isinstance(runs, list) and all(
        isinstance(run, dict)
        and all(isinstance(run.get(name), kind) for name, kind in kinds.items())
        and all(_is_range(pair, end) for pair in run["images"])
        for run in runs
    )


def _is_range(pair: object, end: int) -> bool:
    """Whether it is ``[a, b]`` with 0 <= a <= b <= end."""
    match pair:
        case [int(first), int(last)]:
            return 0 <= first <= last <= end
    return False
