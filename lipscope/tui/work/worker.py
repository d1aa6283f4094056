"""Work off the app's thread: the analysis of the model (or its kept results), and the files beside it.

The threads are daemons of ``threading`` and not Textual's thread workers: those run in asyncio's default
executor, which ``asyncio.run`` waits for on the way out, so that quitting would last as long as an SVD.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.beside import CERTIFIED, beside
from lipscope.files.checkpoint import sha256_of
from lipscope.records import AnalysisEvent
from lipscope.tui.work.gallery import Evaluator, Gallery
from lipscope.tui.work.pauses import Precedence, yield_to_keys
from lipscope.tui.work.state import Phase, Results
from lipscope.tui.work.watch import SECONDS, Stamp, stamp_of, watch

if TYPE_CHECKING:
    from lipscope.data import ImageSet
    from lipscope.files.kept_analysis import Cache
    from lipscope.records.certificates import Certificates, Checked

Analyse = Callable[[Path], Iterator[AnalysisEvent]]


@dataclass(frozen=True)
class Means:
    """What the work is done with."""

    analyse: Analyse  # yields the events; may block for long between two of them
    cache: Cache | None = None  # keeps analyses; None keeps nothing
    clock: Callable[[], float] = time.monotonic  # tells seconds
    look_every: float = SECONDS  # seconds between two looks at the files on the disk
    data_dir: Path | None = None  # searched first for the images
    # reads a model that answers for single images; None where there is none
    evaluator: Callable[[Path], Evaluator] | None = None
    # holds radii that somebody else claims against the model and its images; None where they are not here
    check: Callable[[Certificates, Path], Checked | None] = lambda claimed, model: None
    kept: Path | None = None  # the folder of results and adversarial images; None for the model's
    precedence: Precedence = field(default_factory=Precedence)  # of the app's thread

    def read_images(self, name: str, split: Literal["train", "test"]) -> ImageSet:
        """One split of a data set.

        Raises:
            LipscopeError: it is not here, unknown or damaged.
        """
        from lipscope.data import load

        return load(name, split, self.data_dir)


@dataclass(eq=False)
class Work:
    """Threads: one analyses the model, one reads the results and hashes the model, two watch these files."""

    path: Path
    means: Means
    tell: Callable[..., None]
    after: list[Work] = field(default_factory=list)  # whose analyses must have ended: two never compute at once
    fresh: bool = False  # whether nothing that was kept may answer

    def __post_init__(self) -> None:
        path, means = self.path, self.means
        self._stamp = stamp_of(path)
        self._results = beside(path, CERTIFIED, means.kept)
        self._results_stamp = stamp_of(self._results)
        self._sha256: str | None = None
        self._events: deque[AnalysisEvent] = deque()
        self._cancelled = threading.Event()
        self._closed = threading.Event()
        self._latest = Results()
        self._threads = self._made(("analysis", self._analyse_then_check), ("files", self._read_files))
        self.gallery = Gallery(
            path, means.read_images, means.evaluator, partial(self.tell, self), self._handing_over, means.kept,
            self._stamp,
        )  # fmt: skip
        self._watchers = self._made(("watch-model", self._watch_model), ("watch-results", self._watch_results))

    def _made(self, *targets: tuple[str, Callable[[], None]]) -> tuple[threading.Thread, ...]:
        return tuple(
            threading.Thread(target=self._handing_over, args=(target,), name=f"lipscope-{name}", daemon=True)
            for name, target in targets
        )

    def start(self) -> None:
        """Start all threads, the analysis last: it waits for the hash before it keeps its results."""
        for thread in (*self._watchers, *reversed(self._threads)):
            thread.start()

    def cancel(self) -> None:
        """Ask the analysis to stop at its next event; none of its messages follows that event."""
        self._cancelled.set()

    def close(self) -> None:
        """Cancel, and stop watching the files."""
        self.cancel()
        self.gallery.close()
        self._closed.set()

    @property
    def alive(self) -> bool:
        """Whether a thread of this work, or of the work it waits for, still computes."""
        return any(thread.is_alive() for thread in self._threads) or self.gallery.busy

    def _handing_over(self, target: Callable[[], None]) -> None:
        """What escapes a thread reaches the app's thread, which shows and raises it; a thread can only print."""
        try:
            target()
        except BaseException as error:  # noqa: BLE001
            self.tell(self, crash=error)

    def _analyse_then_check(self) -> None:
        """One after the other: two never compute at once."""
        self._run_analysis()
        self._threads[1].join()
        self._check_claims()

    def _check_claims(self) -> None:
        """Of the results as they are when the check ends: those that came meanwhile are not told over."""
        results = None
        while results is not self._latest and not self._cancelled.is_set():
            results = self._latest
            claimed = results.certificates
            if claimed is None or claimed.standing != "claimed" or claimed.model_sha256 != self._sha256:
                continue
            yield_to_keys()
            found = self.means.check(claimed, self.path)
            if found is not None and results is self._latest:
                self.tell(self, results=replace(results, checked=found))

    def _run_analysis(self) -> None:
        while self.after:
            self.after.pop()._threads[0].join()
        if self._cancelled.is_set() or self._answered_by_cache():
            return
        yield_to_keys()
        clock = self.means.clock
        started = clock()
        events: list[AnalysisEvent] = []
        try:
            for event in self.means.analyse(self.path):
                if self._cancelled.is_set():
                    return
                events.append(event)
                self._found(event)
                self.means.precedence.wait()
        except LipscopeError as failure:
            self.tell(self, phase=Phase.FAILED, seconds=clock() - started, failure=failure)
            return
        seconds = clock() - started
        self.tell(self, phase=Phase.DONE, seconds=seconds)
        self._keep(events, seconds)

    def _found(self, event: AnalysisEvent) -> None:
        """What is told stands for all events that come before it is heard: a file may have 100,000 tensors."""
        self._events.append(event)
        if len(self._events) == 1:
            self.tell(self, events=self._events)

    def _answered_by_cache(self) -> bool:
        if self.means.cache is None or self.fresh or not self.means.cache.candidates(self.path):
            return False
        try:
            sha256 = sha256_of(self.path)
        except (OSError, CheckpointError):
            return False
        kept = self.means.cache.read(self.path, sha256)
        if kept is None:
            return False
        self.tell(self, sha256=sha256)
        for event in kept.events:
            self._found(event)
        self.tell(self, phase=Phase.DONE, seconds=kept.seconds, cached=True)
        return True

    def _keep(self, events: list[AnalysisEvent], seconds: float) -> None:
        """Keep the results, unless the file may have changed between the first byte read and now."""
        if self.means.cache is None:
            return
        from lipscope.files.kept_analysis import Kept, condensed

        self._threads[1].join()
        with suppress(OSError, CheckpointError):
            if sha256_of(self.path) == self._sha256 and stamp_of(self.path) == self._stamp:
                self.means.cache.write(self.path, self._sha256, Kept(tuple(condensed(events)), seconds))

    def _find_results(self) -> None:
        self._latest = replace(_read_results(self._results), kept=self.means.kept)
        self.tell(self, results=self._latest, answer=None)

    def _read_files(self) -> None:
        self._find_results()
        try:
            self._sha256 = sha256_of(self.path)
        except (OSError, CheckpointError):
            return  # the analysis reads the same file and says what is wrong with it
        self.tell(self, sha256=self._sha256)

    def _watch_model(self) -> None:
        def changed(stamp: Stamp | None) -> None:
            if stamp is None:
                self.tell(self, on_disk="gone")
                return
            with suppress(OSError, CheckpointError):
                same = sha256_of(self.path) == self._sha256  # touched or copied over by itself
                self.tell(self, on_disk="same" if same else "replaced")

        watch(self.path, self._stamp, changed, self._closed, self.means.look_every)

    def _watch_results(self) -> None:
        def changed(_stamp: Stamp | None) -> None:
            self._find_results()
            if not self._threads[0].is_alive():
                self._check_claims()

        watch(self._results, self._results_stamp, changed, self._closed, self.means.look_every)


def _read_results(path: Path) -> Results:
    from lipscope.files.results import read_results

    if not path.exists():
        return Results(reading=False)
    try:
        certificates = read_results(path)
    except CheckpointError as error:
        return Results(reading=False, error=error)
    if not len(certificates):
        return Results(reading=False, error=CheckpointError("holds no images", where=str(path)))
    return Results(reading=False, certificates=certificates)
