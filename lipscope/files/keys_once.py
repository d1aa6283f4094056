"""JSON objects whose every key stands there once: of two values nobody knows which is meant."""

from __future__ import annotations

from typing import Any


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The ``object_pairs_hook`` that refuses a key that stands twice.

    Raises:
        ValueError: naming it.

    >>> import json
    >>> json.loads('{"std": 1, "std": 2}', object_pairs_hook=keys_once)
    Traceback (most recent call last):
    ...
    ValueError: the key 'std' stands twice in one object
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands twice in one object")
        found[key] = value
    return found
