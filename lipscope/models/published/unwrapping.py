"""What training scripts put around a state dict: other things beside it, and prefixes before its names.

A checkpoint holds the state dict under some name (``state_dict``, ``model``, Lightning's layout), beside it epochs,
optimisers and scores; a wrapper (``torch.compile``, data parallelism, a Lightning module) puts its name before those of
the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lipscope.errors import CheckpointError, UsageError

USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module")
"""Names under which most scripts put the model; they decide where a checkpoint holds several state dicts."""

WRAPPERS = ("_orig_mod", "module", "model", "net", "network")
"""First parts of names that wrappers add; others are taken off where all tensors share them."""

COMPILED = "_orig_mod"
"""What ``torch.compile`` adds, at any depth."""

DEEPEST = 8
"""Mappings inside each other that are looked into."""


@dataclass(frozen=True)
class StateDict:
    """Named tensors, unwrapped.

    Args:
        tensors: by name, without the prefix.
        key: where they were, e.g. ``"model.state_dict"``; empty at the top.
        prefix: what was before every name, e.g. ``"module._orig_mod."``.
        left_out: what was beside the tensors that were taken.
    """

    tensors: Mapping[str, Tensor]
    key: str = ""
    prefix: str = ""
    left_out: tuple[str, ...] = ()


def unwrap(content: object, where: str, key: str | None = None) -> StateDict:
    """The one state dict in what a file holds.

    Args:
        content: as torch.load returned it.
        where: the file, for messages.
        key: which of several, by the names that lead to it.

    Raises:
        CheckpointError: there is none, or there are several.
        UsageError: none under this key.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError("holds no state dict", where=where, why=f"but a {type(content).__name__}")
    found = dict(_state_dicts(content, (), DEEPEST))
    place = _chosen(found, where, key)
    state = found[place]
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    beside = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    names, prefix = _without_prefix(tensors)
    beside += [name for name in tensors if name not in names]
    if place:
        beside += [str(name) for name in content if name != place[0]]
    return StateDict({short: tensors[name] for name, short in names.items()}, ".".join(place), prefix, tuple(beside))


def _state_dicts(
    content: Mapping[Any, Any], place: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Every mapping that holds tensors, with the names that lead to it; an optimiser numbers its own."""
    if any(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        yield place, content
    for name, value in content.items():
        if depth and isinstance(name, str) and isinstance(value, Mapping):
            yield from _state_dicts(value, (*place, name), depth - 1)


def _chosen(found: Mapping[tuple[str, ...], Mapping[Any, Any]], where: str, key: str | None) -> tuple[str, ...]:
    keys = {".".join(place): place for place in found}
    listed = ", ".join(name or "the top" for name in list(keys)[:8])
    if key is not None:
        if key not in keys:
            why = f"state dicts are at: {listed}" if keys else "there is none at all"
            raise UsageError(
                f"no state dict at {key[:80]!r}", where=where, why=why[:300], next_step="choose another --key"
            )
        return keys[key]
    if not found:
        raise CheckpointError("holds no state dict", where=where, why="no tensors with names are in it")
    usual = [place for place in found if place and place[-1] in USUAL]
    chosen = list(found) if len(found) == 1 else usual
    if len(chosen) != 1:
        raise CheckpointError(
            "holds several state dicts", where=where, why=listed[:300], next_step="choose one with --key NAME"
        )
    return chosen[0]


def _without_prefix(tensors: Mapping[str, Tensor]) -> tuple[dict[str, str], str]:
    """Each name that stays and what is left of it, and the prefix that was taken off all of them."""
    names = {name: name for name in tensors}
    taken: list[str] = []
    while True:
        heads = {short.partition(".")[0] if "." in short else "" for short in names.values()}
        known = [head for head in heads if head in WRAPPERS]
        # The tensors of losses and metrics, which Lightning keeps beside those of the model, have other heads.
        common = heads if len(heads) == 1 and "" not in heads else set(known) if len(known) == 1 else set()
        if not common:
            break
        (head,) = common
        taken.append(f"{head}.")
        names = {name: short[len(head) + 1 :] for name, short in names.items() if short.startswith(f"{head}.")}
    plain = {name: ".".join(part for part in short.split(".") if part != COMPILED) for name, short in names.items()}
    if len(set(plain.values())) < len(plain):
        return names, "".join(taken)
    if plain != names:
        taken.append(f"{COMPILED}.")
    return plain, "".join(taken)
