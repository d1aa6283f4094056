"""Which of lipscope's own kinds a safetensors file is, by its metadata: what lies beside a model is no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import Header, read_header

KINDS = {
    "lipscope.results": "the results of a certification",
    "lipscope.progress": "the progress of a certification or an attack",
    "lipscope.adversarial": "adversarial images",
    "lipscope.violation": "the pair of images that refutes a certificate",
    "lipscope.witness": "the witness of a violation",
}
"""By the name of the metadata string that holds the schema."""


def kind_beside(metadata: Mapping[str, str]) -> str | None:
    """What a file holds in place of a model, in words; None where it may hold one.

    >>> kind_beside({"format": "pt", "lipscope.results": "lipscope.results/1"})
    'the results of a certification'
    """
    return next((words for name, words in KINDS.items() if name in metadata), None)


def require_model(header: Header) -> None:
    """Refuse a file that lipscope itself keeps beside a model.

    Raises:
        CheckpointError: naming what it holds.
    """
    kind = kind_beside(header.metadata)
    if kind is not None:
        raise CheckpointError(
            f"holds {kind}, not a model", where=str(header.path), next_step="name the model that it is about"
        )


def read_model_header(path: Path) -> Header:
    """The header of a file that may hold a model.

    Raises:
        CheckpointError: as :func:`lipscope.files.checkpoint.read_header` and :func:`require_model`.
    """
    header = read_header(path)
    require_model(header)
    return header
