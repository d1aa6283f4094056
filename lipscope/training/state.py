"""The state of a training as bytes: with a digest, and bound to the ``run.json`` of its run.

The first line is a JSON object with the schema, the SHA-256 of ``run.json`` and that of everything after the line,
which is what ``torch.save`` writes. A state that is damaged, or that lies in another run's folder, is never continued.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

SCHEMA = "lipscope.state/2"

BEFORE_DIGESTS = b"PK\x03\x04"
"""How a state begins that was written before there were digests: the zip file of ``torch.save`` alone."""


class StateError(Exception):
    """These bytes are no state that the run can be continued from; the text says why."""


class NoDigestError(StateError):
    """A state of an earlier version: nothing shows that it is whole, or of this run."""


def packed(state: Mapping[str, Any], run: bytes) -> bytes:
    """The bytes of a state.

    Args:
        state: tensors, numbers, and containers of them.
        run: the content of ``run.json``.
    """
    # torch.save names no cause when a disk is full, so only bytes in memory go through it.
    content = io.BytesIO()
    torch.save(dict(state), content)
    return sealed(content.getvalue(), run)


def sealed(content: bytes, run: bytes) -> bytes:
    """What ``torch.save`` wrote, behind the line that says what it belongs to."""
    return _line(content, run) + b"\n" + content


def unpacked(content: bytes, run: bytes, device: torch.device) -> dict[str, Any]:
    """The state of these bytes, read without running pickled code.

    Raises:
        NoDigestError: an earlier version wrote it.
        StateError: damaged, or of another run.
    """
    if content.startswith(BEFORE_DIGESTS):
        raise NoDigestError("it carries no digest")
    line, _, rest = content.partition(b"\n")
    if line != _line(rest, run):
        with suppress(ValueError, TypeError, RecursionError, KeyError):
            told = json.loads(line)
            if told["schema"] != SCHEMA:
                raise StateError("another version wrote it")
            if told["sha256"] == _sha256(rest):
                raise StateError("it belongs to another run")
        raise StateError("its digest is not that of its content")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(rest), map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        # Its own message recommends to let pickled code run.
        raise StateError("not plain tensors and numbers") from error
    except (RuntimeError, EOFError, ValueError, OSError, LookupError) as error:
        raise StateError((str(error).strip() or type(error).__name__).splitlines()[0][:200]) from error
    if not isinstance(state, dict):
        raise StateError(f"it holds a {type(state).__name__}")
    return state


def _line(content: bytes, run: bytes) -> bytes:
    return json.dumps({"schema": SCHEMA, "run": _sha256(run), "sha256": _sha256(content)}).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
