"""A violation made into a file: found again, written, and recomputed from what was written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lipscope.analysis.images import measuring_images
from lipscope.analysis.subject import Subject, load_subject
from lipscope.analysis.witness import (
    NETWORK,
    Witness,
    body_of,
    body_parts,
    linear_witness,
    network_witness,
    proved_ratio,
    read_witness,
    recomputed,
    write_witness,
)
from lipscope.errors import CheckpointError, UsageError
from lipscope.files.checkpoint import sha256_of
from lipscope.layers.contract import LinearLayer, LipschitzLayer
from lipscope.records import VERDICT_TOLERANCE, Shape, Verdict


def exhibit(
    path: Path, target: Path, judged: Verdict, *, data_dir: Path | None = None, description: Path | None = None
) -> Witness:
    """Write the pair of vectors behind a verdict ``violated``, read it back, and recompute its ratio both ways.

    Args:
        path: the model.
        target: the file to write.
        judged: the verdict.
        data_dir, description: as of the analysis that gave it.

    Returns:
        the witness as it stands in the file.

    Raises:
        UsageError: the target is the model itself.
        CheckpointError: the model changed meanwhile, or the recomputed ratio does not exceed 1.
        LipscopeError: the place cannot be written to.
    """
    if os.path.realpath(target) == os.path.realpath(path):
        raise UsageError("--witness would overwrite the model", where=str(target))
    subject = load_subject(path, description)
    assert isinstance(subject, Subject)
    found = _found(subject, judged, data_dir)
    write_witness(target, found)
    kept = read_witness(target)
    again = recomputed(kept, _layer(subject, kept.layer))
    proved = proved_ratio(kept, _parts(subject, kept.layer))
    if not (proved > 1 + VERDICT_TOLERANCE and abs(again - kept.ratio) <= 1e-9 * kept.ratio):
        target.unlink()
        raise CheckpointError(
            "the witness does not hold", where=str(target), why=f"{kept.ratio!r}, again {again!r}, proved {proved!r}"
        )
    if sha256_of(path) != kept.model_sha256:
        raise CheckpointError("the file changed while it was analysed", where=str(path), next_step="run it again")
    return kept


def _found(subject: Subject, judged: Verdict, data_dir: Path | None) -> Witness:
    if judged.layer is not None:
        name, layer, shape = next(place for place in subject.net.layers() if place[0] == judged.layer)
        assert isinstance(layer, LinearLayer)
        return linear_witness(name, layer, shape, subject.sha256)
    images, _ = measuring_images(subject.dataset, subject.net.input_shape, data_dir)
    found = network_witness(subject.net, images, subject.sha256)
    assert found is not None
    return found


def _parts(subject: Subject, name: str) -> list[tuple[LipschitzLayer, Shape]]:
    if name == NETWORK:
        return body_parts(subject.net)
    return [(layer, shape) for found, layer, shape in subject.net.layers() if found == name]


def _layer(subject: Subject, name: str) -> Callable[[Tensor], Tensor]:
    if name == NETWORK:
        return body_of(subject.net)
    layer: torch.nn.Module = next(layer for found, layer, _ in subject.net.layers() if found == name)
    return layer
