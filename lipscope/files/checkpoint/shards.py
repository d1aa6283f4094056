"""Checkpoints in several files: ``model.safetensors.index.json`` and the shards that it names.

The index holds ``{"metadata": {...}, "weight_map": {tensor: shard, ...}}``, the shards lie beside it. The headers of
all shards are read at once; the tensors are read one by one, as from a single file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint.header import Header, TensorInfo, read_file_header
from lipscope.files.keys_once import keys_once
from lipscope.files.opening import open_regular, read_regular

INDEX_SUFFIX = ".safetensors.index.json"
LARGEST_INDEX = 100_000_000
"""Bytes."""


def index_of(path: Path) -> Path | None:
    """The index that a path means: itself, or the only one in a folder; None for anything else.

    Raises:
        CheckpointError: a folder with several.
    """
    if path.name.endswith(INDEX_SUFFIX):
        return path
    if not path.is_dir():
        return None
    found = sorted(path.glob(f"*{INDEX_SUFFIX}"))
    if len(found) > 1:
        raise CheckpointError(
            "holds several sharded checkpoints", where=str(path), why=", ".join(file.name for file in found)[:200],
            next_step="name one of them",
        )  # fmt: skip
    return found[0] if found else None


def read_sharded_header(index: Path) -> Header:
    """The headers of all shards as one: tensors by shard, in the order of the shards' names.

    Raises:
        CheckpointError: an index that is missing or damaged, a shard that is missing or damaged, a tensor that is in
            another shard than the index says, in two, or in none.
    """
    where = str(index)
    content = _parse(index)
    places: Mapping[str, str] = content["weight_map"]
    tensors: list[TensorInfo] = []
    files: dict[str, Path] = {}
    shards: dict[Path, Header] = {}
    for shard in sorted(set(places.values())):
        path = index.with_name(shard)
        if not path.is_file():
            needed = sum(place == shard for place in places.values())
            raise CheckpointError(
                f"shard {shard[:80]!r} is missing", where=where, why=f"{needed} tensors are in it",
                next_step="copy all shards beside the index",
            )  # fmt: skip
        shards[path] = header = read_file_header(path)
        for tensor in header.tensors:
            if places.get(tensor.name) != shard:
                said = places.get(tensor.name, "nowhere")
                why = f"tensor {tensor.name[:80]!r} is in {shard[:80]!r}, the index says {said[:80]!r}"
                raise _inconsistent(where, why)
            files[tensor.name] = path
        tensors += header.tensors
    absent = sorted(set(places) - set(files))
    if absent:
        raise _inconsistent(where, f"tensor {absent[0][:80]!r} is not in {places[absent[0]][:80]!r}")
    claims = content.get("metadata")
    metadata = {str(k): str(v) for k, v in claims.items()} if isinstance(claims, Mapping) else {}
    size = sum(header.file_size for header in shards.values())
    return Header(
        index, size, tuple(tensors), {**metadata, "shards": str(len(shards))}, files=files, shards=shards
    )  # fmt: skip


def sha256_of_shards(index: Path) -> str:
    """The SHA-256 of the shards' bytes one after another, in the order of their names.

    The same as of ``cat model-*-of-*.safetensors``. The index itself is not part of it.

    Raises:
        CheckpointError: an index or a shard that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for shard in sorted(set(_parse(index)["weight_map"].values())):
            with open_regular(index.with_name(shard)) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise CheckpointError("cannot be read", where=str(index), why=error) from error
    return digest.hexdigest()


def _inconsistent(where: str, why: str) -> CheckpointError:
    return CheckpointError(
        "the index and the shards do not fit together", where=where, why=why,
        next_step="copy the index and all shards again",
    )  # fmt: skip


def _parse(index: Path) -> Mapping[str, Any]:
    where = str(index)
    try:
        if index.stat().st_size > LARGEST_INDEX:
            raise CheckpointError("is too large for an index", where=where)
        content: Any = json.loads(read_regular(index), object_pairs_hook=keys_once)
    except OSError as error:
        raise CheckpointError("cannot be read", where=where, why=error) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("the index is not JSON", where=where, why=str(error)[:200]) from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError("is not an index of shards", where=where, why="no weight_map of tensors to files")
    for shard in places.values():
        if not shard.endswith(".safetensors") or Path(shard).name != shard:
            raise CheckpointError(
                f"names the shard {shard[:80]!r}", where=where, why="a shard is a .safetensors file beside the index"
            )
    result: Mapping[str, Any] = content
    return result
