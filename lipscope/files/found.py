"""What can be opened: runs, checkpoints, recent files, each with what is known of it without an analysis."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lipscope.errors import LipscopeError
from lipscope.files.beside import beside
from lipscope.files.checkpoint import SUFFIX, read_header, sha256_of
from lipscope.files.kept_analysis import Cache
from lipscope.files.kind import kind_beside
from lipscope.files.opening import read_regular
from lipscope.files.run_log import is_run, read_run
from lipscope.visible import counted

MOST = 200
"""Files that are listed."""


@dataclass(frozen=True)
class Found:
    """One file or run folder."""

    path: Path  # to open
    kind: str  # ``run``, ``file`` or ``recent``
    modified: float  # seconds since 1970
    size: int  # in bytes; 0 of a run without a model
    verdict: str = ""  # of an analysis that this user kept of these very bytes; empty without
    rates: str = ""  # clean and certified accuracy as the summary beside the model claims them; empty without
    standing: str = ""  # of a run


def found(folders: Iterable[Path], recent: Iterable[Path] = ()) -> list[Found]:
    """Runs and files in some folders, then recent ones, newest first; nothing twice, and nothing is analysed."""
    seen: dict[str, Found] = {}
    for kind, paths in (("", _inside(folders)), ("recent", recent)):
        for path in paths:
            model = path / f"model{SUFFIX}" if path.is_dir() else path
            real = os.path.realpath(path)  # Path.resolve refuses a loop of links with an error of its own
            if real in seen or not (model.is_file() or is_run(path)):
                continue
            status = (model if model.is_file() else path).stat()
            size = status.st_size if model.is_file() else 0
            name = kind or ("run" if path.is_dir() else "file")
            seen[real] = Found(path, name, status.st_mtime, size, "", _rates(model), _standing(path))
    return sorted(seen.values(), key=lambda one: -one.modified)[:MOST]


def _inside(folders: Iterable[Path]) -> Iterable[Path]:
    for folder in folders:
        if not folder.is_dir():
            continue
        if is_run(folder):
            yield folder
        for path in sorted(folder.iterdir())[: 20 * MOST]:
            file = path.name.endswith(SUFFIX) and path.is_file() and _is_model(path)
            if file or (path.is_dir() and (is_run(path) or (path / f"model{SUFFIX}").is_file())):
                yield path


def _is_model(path: Path) -> bool:
    try:
        return kind_beside(read_header(path).metadata) is None
    except LipscopeError:
        return False


def _rates(model: Path) -> str:
    summary = beside(model, ".certified.json")
    try:
        facts = json.loads(read_regular(summary))
        clean, certified = float(facts["clean"]["rate"]), float(facts["certified"][0]["rate"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return f"{clean:.1%} / {certified:.1%}" if math.isfinite(clean + certified) else ""


def _standing(path: Path) -> str:
    if not is_run(path):
        return ""
    try:
        log = read_run(path)
    except LipscopeError:
        return "damaged"
    return f"{len(log.epochs)} of {counted(log.planned, 'epoch') if log.planned else '? epochs'}"


def verdict_of(model: Path, cache: Cache) -> str:
    """The word of the verdict that this user's own kept analysis gives for these very bytes; empty without one."""
    if not cache.candidates(model):
        return ""
    try:
        kept = cache.read(model, sha256_of(model))
    except (OSError, LipscopeError):
        return ""
    verdicts = [event.verdict for event in kept.events if event.verdict is not None] if kept is not None else []
    return verdicts[-1].status if verdicts else ""
