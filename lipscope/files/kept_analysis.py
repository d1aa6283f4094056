"""The kept results of an analysis: ``model.inspected.jsonl`` beside the model, for an instant second opening.

A kept analysis is an answer that somebody else could forge: a checkpoint may come in a folder with a file that says
"proved". So it counts only when this user's own key has signed it (:mod:`lipscope.files.signing`), and when the SHA-256
in it is that of the model's bytes. Before both are checked, nothing of it is parsed. Where the model's folder is
read-only the file lies in the user's cache folder instead.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lipscope.errors import LipscopeError
from lipscope.files.beside import beside
from lipscope.files.opening import open_regular
from lipscope.files.plain import outline, revived
from lipscope.files.signing import NAME, UNSIGNED, Signer
from lipscope.files.writing import atomic_path
from lipscope.records import AnalysisEvent
from lipscope.version import __version__

SCHEMA = "lipscope.inspected/2"
ENDING = ".inspected.jsonl"
LARGEST = 64_000_000
"""Bytes; a longer analysis is not kept, and a longer file is not read."""


@dataclass(frozen=True)
class Kept:
    """An analysis that ran to its end.

    Args:
        events: the last word on every layer and on the whole file, in the order in which they came.
        seconds: how long it took.
    """

    events: tuple[AnalysisEvent, ...]
    seconds: float


def kept_path(model: Path, folder: Path | None = None) -> Path:
    """Where an analysis lies: ``model.inspected.jsonl`` beside the model, or in another folder.

    >>> kept_path(Path("runs/a/model.safetensors")).name
    'model.inspected.jsonl'
    """
    return beside(model, ENDING, folder)


class Cache:
    """Reads and writes kept analyses.

    Args:
        folder: the user's cache folder; platformdirs knows it when this is None.
        about: what else the results depend on, e.g. the folder of the data sets.
        signer: knows the user's own.
        keep: the only folder for them; beside the model, or else in the user's folder, when this is None.
    """

    def __init__(
        self, folder: Path | None = None, about: str = "", signer: Signer | None = None, keep: Path | None = None
    ) -> None:
        if folder is None:
            import platformdirs

            folder = platformdirs.user_cache_path("lipscope")
        self._folder = folder
        self._about = about
        self._signer = signer or Signer()
        self._keep = keep

    def places(self, model: Path) -> tuple[Path, ...]:
        """Beside the model, and in the user's folder under a name made of the model's path."""
        if self._keep is not None:
            return (kept_path(model, self._keep),)
        name = hashlib.sha256(os.fsencode(model.absolute())).hexdigest()[:32]
        return kept_path(model), self._folder / "inspected" / (name + ENDING)

    def candidates(self, model: Path) -> list[Path]:
        """The files that could hold the analysis of a model."""
        return [place for place in self.places(model) if place.is_file()]

    def read(self, model: Path, sha256: str) -> Kept | None:
        """The analysis of these very bytes by this very version, if this user kept one; None otherwise."""
        for place in self.candidates(model):
            kept = self._read(place, sha256)
            if kept is not None:
                return kept
        return None

    def write(self, model: Path, sha256: str, kept: Kept) -> Path | None:
        """Keep an analysis; where it lies now, or None where there is no place for it, or no key to sign it."""
        lines = [self._title(sha256, kept.seconds), *map(_line, kept.events)]
        content = self._signer.sign("\n".join(lines).encode())
        if len(content) > LARGEST or not self._signer.origin(content).own:
            return None
        for place in self.places(model):
            # A folder that cannot be written to is no failure of the analysis: the next place, or none.
            with suppress(LipscopeError, OSError):
                place.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(place) as temporary:
                    temporary.write_bytes(content)
                return place
        return None

    def _title(self, sha256: str, seconds: float, signature: str = UNSIGNED) -> str:
        about = {
            "schema": SCHEMA, "version": __version__, "records": _records(), "about": self._about, "sha256": sha256,
        }  # fmt: skip
        return json.dumps({NAME: signature, **about, "seconds": seconds})

    def _read(self, place: Path, sha256: str) -> Kept | None:
        try:
            with open_regular(place) as file:
                content = file.read(LARGEST + 1)
        except OSError:
            return None
        if len(content) > LARGEST or not self._signer.origin(content).own:
            return None
        first, *rest = content.decode().split("\n")
        title = json.loads(first)
        if first != self._title(sha256, title["seconds"], title[NAME]):
            return None
        # Line by line: a long parse would hold the interpreter, and the keys with it.
        events = tuple(revived(AnalysisEvent, json.loads(line)) for line in rest)
        return Kept(events, title["seconds"])


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
