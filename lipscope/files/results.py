"""The results of a certification: one radius per image, kept in a file beside the model.

``model.certified.safetensors`` holds the arrays, its metadata hold the summary (JSON) and the SHA-256 of
the model and the fingerprint of the data that they are about; ``model.certified.json`` is the summary again, for
programs that read no tensors. Reading needs numpy, not torch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import SUFFIX, atomic_path, read_header, with_sorted_metadata
from lipscope.units import largest_not_above
from lipscope.version import __version__

SCHEMA = "lipscope.results/1"

REAL_ARITHMETIC = "real-arithmetic"
SOUND = "sound"

FLOATS = ("radius", "margin")
ARRAYS = ("index", "label", "predicted", "runner_up", *FLOATS)
OPTIONAL = ("sound_radius", "attack_distance")
MOST_CLASSES = 100_000
"""Class numbers from here on are damage."""

DATA = ("data_name", "data_split", "data_fingerprint")

SOUND_EXCESS = 1e-4
"""How far a sound radius may exceed the real-arithmetic one, whose float32 logits are rounded."""


class OtherSchemaError(CheckpointError):
    """A file is no results file of this version's schema."""


@dataclass(frozen=True)
class Certificates:
    """Certified radii of n images: the l2 distance within which the prediction provably cannot change.

    Args:
        index: (n,) int64, record numbers in the file of the data set.
        label, predicted, runner_up: (n,) int64 classes; the pair with the runner-up decides the radius. Images that
            nobody labelled have the label -1.
        radius: (n,) float64, l2 in [0, 1] pixel space, >= 0; about the predicted class, right or wrong.
        margin: (n,) float64, the logit difference to the runner-up.
        kind: ``"real-arithmetic"`` or ``"sound"``.
        model_sha256, architecture: the model they are about.
        data_name, data_split, data_fingerprint: the images they are about.
        lipschitz: the proved constant, from [0, 1] pixels to the features before the head.
        environment: versions, device, dtype, precision flags; those of the sound radii under ``"sound"``.
        sound_radius: (n,) float64 or None, radii about ``predicted`` that survive every rounding error; 0 where
            float64 does not confirm the prediction.
        attack_distance: (n,) float64 or None, the smallest l2 distance at which an attack changed the prediction,
            ``inf`` where none did; an upper bound on the true robustness.
        attack: what was attacked and how, when ``attack_distance`` is there.
        classes: the names of the classes; empty where they are not known.
        data_order: SHA-256 of the images, labels and record numbers in this order; empty in older files.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    runner_up: NDArray[np.int64]
    radius: NDArray[np.float64]
    margin: NDArray[np.float64]
    kind: str
    model_sha256: str
    architecture: str
    data_name: str
    data_split: str
    data_fingerprint: str
    lipschitz: float
    environment: Mapping[str, Any] = field(default_factory=dict)
    sound_radius: NDArray[np.float64] | None = None
    attack_distance: NDArray[np.float64] | None = None
    attack: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    data_order: str = ""

    def __len__(self) -> int:
        return len(self.radius)

    def as_sound(self) -> Certificates:
        """The same images with ``radius`` replaced by the sound radii, and ``environment`` by theirs.

        Raises:
            ValueError: there are none.
        """
        if self.sound_radius is None:
            raise ValueError("sound radii were not computed")
        environment = self.environment.get(SOUND, self.environment)
        return replace(self, radius=self.sound_radius, kind=SOUND, environment=environment)

    @property
    def labelled(self) -> bool:
        """Whether every image has a label, so that predictions can be right or wrong."""
        return bool((self.label >= 0).all())

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether the prediction is the label."""
        return np.equal(self.predicted, self.label)

    @property
    def attacked(self) -> NDArray[np.bool_]:
        """(n,) which images were attacked; those with a finite distance where the file does not say."""
        if self.attack_distance is None:
            return np.zeros(len(self), np.bool_)
        chosen = np.isfinite(self.attack_distance)
        pairs = self.attack.get("attacked")
        for pair in pairs if isinstance(pairs, list) else []:
            if isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair):
                chosen |= (self.index >= pair[0]) & (self.index < pair[1])
        return chosen

    def certified_count(self, eps: Fraction) -> int:
        """How many images are classified correctly with radius > eps, strictly and exactly."""
        return int(np.count_nonzero(self.correct & (self.radius > largest_not_above(eps))))

    def average_certified_radius(self) -> float:
        """The mean radius over all images, misclassified ones counting as 0."""
        return float(np.where(self.correct, self.radius, 0.0).mean())

    def mean_correct_radius(self) -> float:
        """The mean radius over the correctly classified images; 0 when there are none."""
        return float(self.radius[self.correct].mean()) if self.correct.any() else 0.0

    def curve(self, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Certified accuracy at ``points`` radii from 0 to the largest radius of a correct image.

        Returns:
            radii (points,) and rates (points,) in [0, 1]; the rate at r counts images with radius > r.
        """
        radii = np.sort(self.radius[self.correct])
        grid = np.linspace(0.0, float(radii[-1]) if len(radii) else 1.0, points)
        return grid, (len(radii) - np.searchsorted(radii, grid, side="right")) / len(self)


def results_path(model: Path) -> Path:
    """Where the results of a model lie: ``model.certified.safetensors`` beside it.

    >>> results_path(Path("runs/a/model.safetensors")).name
    'model.certified.safetensors'
    """
    return model.with_name(model.name.removesuffix(SUFFIX) + ".certified" + SUFFIX)


def summary_path(results: Path) -> Path:
    """Where the summary lies once more: ``model.certified.json`` beside the results.

    >>> summary_path(Path("runs/a/model.certified.safetensors")).name
    'model.certified.json'
    """
    return results.with_suffix(".json")


def keeping_what_holds(new: Certificates, old: Certificates) -> Certificates:
    """``new`` with the attack distances and sound radii of ``old`` that it does not bring itself.

    Only where both are about the same model, images and predictions; sound radii also must be of this version, and not
    exceed the real-arithmetic ones by more than float32 explains.
    """
    same = (
        all(getattr(new, name) == getattr(old, name) for name in ("model_sha256", *DATA))
        and all(np.array_equal(getattr(new, name), getattr(old, name)) for name in ("index", "label", "predicted"))
    )  # fmt: skip
    if not same:
        return new
    if new.attack_distance is None and old.attack_distance is not None:
        new = replace(new, attack_distance=old.attack_distance, attack=old.attack)
    plausible = old.sound_radius is None or bool((old.sound_radius <= new.radius + SOUND_EXCESS).all())
    same_version = old.environment.get("lipscope") == new.environment.get("lipscope")
    if new.sound_radius is None and same_version and plausible:
        environment = {
            **new.environment,
            **{name: old.environment[name] for name in (SOUND,) if name in old.environment},
        }
        new = replace(new, sound_radius=old.sound_radius, environment=environment)
    return new


def write_results(path: Path, certificates: Certificates, summary: Mapping[str, Any]) -> None:
    """Write the arrays with the summary, and the summary beside them, each atomically.

    Raises:
        LipscopeError: the place cannot be written to, or the disk is full.
    """
    about = {
        "kind": certificates.kind,
        "model_sha256": certificates.model_sha256,
        "architecture": certificates.architecture,
        "data_name": certificates.data_name,
        "data_split": certificates.data_split,
        "data_fingerprint": certificates.data_fingerprint,
        "lipschitz": certificates.lipschitz,
        "environment": dict(certificates.environment),
        "attack": dict(certificates.attack),
        "classes": list(certificates.classes),
        "data_order": certificates.data_order,
    }
    metadata = {
        "lipscope.results": SCHEMA,
        "lipscope.version": __version__,
        "about": json.dumps(about, sort_keys=True),
        "summary": json.dumps(summary, sort_keys=True),
    }
    present = [name for name in OPTIONAL if getattr(certificates, name) is not None]
    arrays = {name: np.ascontiguousarray(getattr(certificates, name)) for name in (*ARRAYS, *present)}
    # The arrays are the truth: they take their place first, when the summary is on the disk already.
    with atomic_path(summary_path(path)) as beside, atomic_path(path) as temporary:
        beside.write_text(json.dumps(summary) + "\n", encoding="utf-8")
        temporary.write_bytes(with_sorted_metadata(save(arrays, metadata)))


def read_results(path: Path) -> tuple[Certificates, Mapping[str, Any]]:
    """The certificates and the JSON summary of a results file.

    Raises:
        OtherSchemaError: of another schema, or no results file.
        CheckpointError: missing, damaged, or arrays that do not fit together.
    """
    header = read_header(path)
    where = str(path)
    schema = header.metadata.get("lipscope.results")
    if schema != SCHEMA:
        raise OtherSchemaError(
            "not a results file of this version", where=where, why=f"schema {schema!r}, expected {SCHEMA}",
            next_step="run `lipscope certify --force` on the model",
        )  # fmt: skip
    try:
        arrays = load_file(path)
        about = json.loads(header.metadata["about"])
        summary = json.loads(header.metadata["summary"])
        fields: dict[str, Any] = {**about, **{name: arrays[name] for name in ARRAYS}}
        fields |= {name: arrays[name] for name in OPTIONAL if name in arrays}
        certificates = Certificates(**{**fields, "classes": tuple(fields.get("classes", ()))})
    except (KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(
            "the results file is damaged", where=where, why=str(error)[:200],
            next_step="run `lipscope certify --force` on the model",
        ) from error  # fmt: skip
    if not _fits_together(certificates) or not isinstance(summary, dict):
        raise CheckpointError("the results file is damaged", where=where, why="its contents do not fit together")
    return certificates, summary


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
    texts = ("kind", "model_sha256", "architecture", "data_name", "data_split", "data_fingerprint")
    return (
        certificates.radius.ndim == 1
        and not np.any(certificates.radius < 0)
        and all(isinstance(getattr(certificates, name), str) for name in texts)
        and isinstance(certificates.lipschitz, float | int)
        and 0 <= certificates.lipschitz <= sys.float_info.max
        and isinstance(certificates.environment, dict)
        and isinstance(certificates.environment.get(SOUND, {}), dict)
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
