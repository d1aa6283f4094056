"""A published state dict as a model of lipscope's in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lipscope.errors import UsageError
from lipscope.files.checkpoint import SUFFIX, sha256_of
from lipscope.files.writing import require_writable
from lipscope.models.published.network import import_published, published_config
from lipscope.models.published.reading import load_published
from lipscope.models.published.unwrapping import StateDict
from lipscope.models.stored import save_model
from lipscope.visible import harmless

SHOWN = 6
"""Names of what was left out that are told."""


def convert(
    source: Path,
    target: Path | None = None,
    *,
    key: str | None = None,
    dataset: str | None = None,
    force: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write the model, and give its place: beside the source where no other is named.

    Args:
        source: a file that ``torch.save`` wrote.
        target: the model.
        key: where a file that holds several has the state dict, e.g. ``"ema.state_dict"``.
        dataset: as of :func:`published_config`.
        force: overwrite an existing model.
        note: told what was around the tensors, and which network it is.

    Raises:
        UsageError: the model exists already.
        CheckpointError: as of :func:`load_published`, :func:`published_config` and :func:`import_published`.
        LipscopeError: the place cannot be written to.
    """
    target = target or source.parent / f"{source.stem}{SUFFIX}"
    if target.exists() and not force:
        raise UsageError(
            "exists already", where=str(target), next_step="choose another --out, or overwrite with --force"
        )
    require_writable(target)
    state = load_published(source, key)
    for line in _taken_off(state):
        note(line)
    config = published_config(state.tensors, str(source), dataset)
    net = import_published(state.tensors, config, str(source))
    save_model(net, target, config.to_json(), {"converted_from": source.name, "source_sha256": sha256_of(source)})
    note(f"{config.title}, {config.classes} classes")
    return target


def _taken_off(state: StateDict) -> Iterator[str]:
    """What was around the tensors, in words."""
    if state.key:
        yield f"the state dict is at {harmless(state.key, 80)}"
    if state.prefix:
        yield f"taken off before the names: {harmless(state.prefix, 80)}"
    if state.left_out:
        more = f" and {len(state.left_out) - SHOWN} more" if len(state.left_out) > SHOWN else ""
        yield f"left out beside them: {', '.join(harmless(name, 40) for name in state.left_out[:SHOWN])}{more}"
