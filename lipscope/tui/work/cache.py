"""The kept results of an analysis: ``model.inspected.jsonl`` beside the model, for an instant second opening.

A cache is an answer that somebody else could forge: a checkpoint may come in a folder with a file that says "proved".
So it counts only when its message authentication code was made with a key that this user's own folder holds, and when
the SHA-256 in it is that of the model's bytes. Before both are checked, nothing of it is parsed. Where the model's
folder is read-only the file lies in the user's cache folder instead.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lipscope.errors import LipscopeError
from lipscope.files.checkpoint import SUFFIX, atomic_path
from lipscope.records import AnalysisEvent
from lipscope.tui.work.plain import outline, revived
from lipscope.version import __version__

SCHEMA = "lipscope.inspected/1"
ENDING = ".inspected.jsonl"
LARGEST = 64_000_000
"""Bytes; a longer analysis is not kept, and a longer file is not read."""

KEY_BYTES = 32
CODE = 64
"""Hexadecimal digits of the message authentication code, which are the first line."""


@dataclass(frozen=True)
class Kept:
    """An analysis that ran to its end.

    Args:
        events: the last word on every layer and on the whole file, in the order in which they came.
        seconds: how long it took.
    """

    events: tuple[AnalysisEvent, ...]
    seconds: float


class Cache:
    """Reads and writes kept analyses.

    Args:
        folder: the user's cache folder; platformdirs knows it when this is None.
        about: what else the results depend on, e.g. the folder of the data sets.
    """

    def __init__(self, folder: Path | None = None, about: str = "") -> None:
        if folder is None:
            import platformdirs

            folder = platformdirs.user_cache_path("lipscope")
        self._folder = folder
        self._about = about

    def places(self, model: Path) -> tuple[Path, Path]:
        """Beside the model, and in the user's folder under a name made of the model's path."""
        name = hashlib.sha256(os.fsencode(model.absolute())).hexdigest()[:32]
        return model.with_name(model.name.removesuffix(SUFFIX) + ENDING), self._folder / "inspected" / (name + ENDING)

    def candidates(self, model: Path) -> list[Path]:
        """The files that could hold the analysis of a model."""
        return [place for place in self.places(model) if place.is_file()]

    def read(self, model: Path, sha256: str) -> Kept | None:
        """The analysis of these very bytes by this very version, if this user kept one; None otherwise."""
        key = self._key(create=False)
        if key is None:
            return None
        for place in self.candidates(model):
            kept = self._read(place, sha256, key)
            if kept is not None:
                return kept
        return None

    def write(self, model: Path, sha256: str, kept: Kept) -> Path | None:
        """Keep an analysis; where it lies now, or None where there is no place for it."""
        key = self._key(create=True)
        if key is None:
            return None
        lines = [self._title(sha256, kept.seconds), *map(_line, kept.events)]
        body = "\n".join(lines).encode()
        if len(body) > LARGEST:
            return None
        for place in self.places(model):
            # A folder that cannot be written to is no failure of the analysis: the next place, or none.
            with suppress(LipscopeError, OSError):
                place.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(place) as temporary:
                    temporary.write_bytes(_code(key, body).encode() + b"\n" + body)
                return place
        return None

    def _title(self, sha256: str, seconds: float) -> str:
        about = {
            "schema": SCHEMA, "version": __version__, "records": _records(), "about": self._about, "sha256": sha256,
        }  # fmt: skip
        return json.dumps({**about, "seconds": seconds})

    def _read(self, place: Path, sha256: str, key: bytes) -> Kept | None:
        try:
            if place.stat().st_size > LARGEST + CODE + 1:
                return None
            content = place.read_bytes()
        except OSError:
            return None
        code, body = content[:CODE], content[CODE + 1 :]
        if not hmac.compare_digest(code, _code(key, body).encode()):
            return None
        first, *rest = body.decode().split("\n")
        title = json.loads(first)
        if first != self._title(sha256, title["seconds"]):
            return None
        # Line by line: a long parse would hold the interpreter, and the keys with it.
        events = tuple(revived(AnalysisEvent, json.loads(line)) for line in rest)
        return Kept(events, title["seconds"])

    def _key(self, *, create: bool) -> bytes | None:
        path = self._folder / "cache.key"
        with suppress(OSError):
            key = path.read_bytes()
            if len(key) == KEY_BYTES:
                return key
        if not create:
            return None
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            # A name of its own for every call: threads of one process that shared a name would also share the file
            # behind the link, and the later one would overwrite a key that the earlier one has signed with.
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(KEY_BYTES))
                with suppress(FileExistsError):
                    os.link(temporary, path)  # the first of several writers wins; the others take its key
            finally:
                Path(temporary).unlink()
            key = path.read_bytes()
            return key if len(key) == KEY_BYTES else None
        return None


def _code(key: bytes, body: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def _records() -> str:
    """A fingerprint of the records' fields: after a change of the program an older cache is another language."""
    return hashlib.sha256(outline(AnalysisEvent).encode()).hexdigest()[:16]


def _line(event: AnalysisEvent) -> str:
    return json.dumps(asdict(event))


def condensed(events: Iterable[AnalysisEvent]) -> Iterator[AnalysisEvent]:
    """The last word on each layer, in the order of the layers, and then the last word on everything else.

    >>> [event.done for event in condensed([AnalysisEvent(1, 2, "a"), AnalysisEvent(2, 2, "")])]
    [2]
    """
    layers: dict[str, AnalysisEvent] = {}
    last = AnalysisEvent(0, 0, "")
    for event in events:
        if event.layer is not None:
            layers[event.layer.name] = AnalysisEvent(event.done, event.total, event.doing, layer=event.layer)
        known = {
            field.name: getattr(event, field.name)
            for field in fields(event)
            if field.name != "layer" and getattr(event, field.name) != field.default
        }
        last = replace(last, **known)
    yield from layers.values()
    yield last
