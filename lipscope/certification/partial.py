"""The progress of an evaluation in a file beside the model, so that an interrupted run continues where it stopped.

Rows that somebody else could have written prove nothing: only what this user's own key has signed is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lipscope.data import ImageSet
from lipscope.errors import LipscopeError
from lipscope.files.checkpoint import SUFFIX, atomic_path, with_sorted_metadata
from lipscope.files.opening import read_regular
from lipscope.files.signing import NAME, UNSIGNED, Signer
from lipscope.visible import counted

SCHEMA = "lipscope.progress/2"

SHARE = 0.05
"""Saving takes at most about this share of the time."""


class Progress:
    """The rows that an evaluation has finished, saved every now and then until :meth:`remove`.

    A context manager: what is left by Ctrl-C, by a crash or without :meth:`remove` is saved on the way out, to the
    last row; after an error that a user can cause, which the next run would meet again, nothing stays.

    Args:
        path: the side file.
        about: everything that must be the same for the rows to be of use; JSON.
        shape: (n, columns) of all rows.
        dtype: of the rows.
        note: told in words what became of the side file; none of it ends the evaluation.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        shape: tuple[int, int],
        dtype: torch.dtype,
        note: Callable[[str], None],
    ) -> None:
        self._path = path
        self._shape = shape
        self._dtype = dtype
        self._about = json.dumps(about, sort_keys=True)
        self._note = note
        self._rows: Tensor | None = None
        self._saved = True
        self._signer = Signer()
        self._possible = True
        self._pause_until = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LipscopeError):
            self.remove()
        elif not self._saved:
            self._save()

    def load(self) -> Tensor | None:
        """The rows of an earlier run that are of use, if any; a note says why those of a file are not."""
        if not os.path.lexists(self._path):
            return None
        try:
            content = read_regular(self._path, follow=False)
        except OSError as error:
            self._note(f"progress in {self._path} is ignored: {error.strerror or error}")
            return None
        origin = self._signer.origin(content)
        if not origin.own:
            self._note(f"progress in {self._path} is discarded, it is not your own: {origin.reason}")
            return None
        rows = self._rows_of(content)
        if rows is None:
            self._note(f"progress in {self._path} is ignored: it is of another model, data, version or setting")
            return None
        self._note(f"continued after {len(rows)} of {counted(self._shape[0], 'image')}")
        return rows

    def _rows_of(self, content: bytes) -> Tensor | None:
        """The rows of a file that this user's key has signed, if it is about the same: it may be any file of theirs."""
        try:
            metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
            if metadata["lipscope.progress"] != SCHEMA or metadata["about"] != self._about:
                return None
            rows = load(content)["rows"]
        except (KeyError, TypeError, ValueError, RecursionError, SafetensorError):
            return None
        fits = len(rows) <= self._shape[0] and rows.shape[1:] == self._shape[1:] and rows.dtype == self._dtype
        return rows if fits else None

    def update(self, rows: Tensor) -> None:
        """Take note of all rows that are finished, (k, columns); saves them when saving has been paid for."""
        self._rows, self._saved = rows, False
        if self._possible and time.monotonic() >= self._pause_until:
            self._save()

    def remove(self) -> None:
        """The results are kept elsewhere, or are of no use: forget the progress."""
        self._rows, self._saved = None, True
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _save(self) -> None:
        if self._rows is None or not self._possible:
            return
        rows, started = self._rows.contiguous(), time.monotonic()
        metadata = {"lipscope.progress": SCHEMA, "about": self._about, NAME: UNSIGNED}
        try:
            if why := self._signer.why_no_key():
                raise LipscopeError("cannot be signed", where=str(self._path), why=why)
            content = self._signer.sign(with_sorted_metadata(save({"rows": rows}, metadata)))
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(content)
        except LipscopeError as error:
            self._possible = False
            self._note(f"progress is not kept: {error}")
            return
        ended = time.monotonic()
        self._saved, self._pause_until = True, ended + (ended - started) / SHARE


def partial_path(results: Path, suffix: str = "") -> Path:
    """The side file of a results file; runs on other data sets have a suffix.

    >>> partial_path(Path("a/model.certified.safetensors"), "cifar10-train").name
    'model.certified.cifar10-train.part.safetensors'
    """
    stem = results.name.removesuffix(SUFFIX)
    return results.with_name(f"{stem}.{suffix + '.' if suffix else ''}part{SUFFIX}")


def order_digest(data: ImageSet, index: np.ndarray) -> str:
    """SHA-256 of the images with their labels and record numbers in this very order, unlike the fingerprint's."""
    digest = hashlib.sha256()
    for array in (index.astype("<i8"), data.labels.astype("<i8"), data.images):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
