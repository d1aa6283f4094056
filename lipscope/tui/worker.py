"""Work off the app's thread: the analysis of the model, and the files beside it.

The threads are daemons of ``threading`` and not Textual's thread workers: those run in asyncio's default
executor, which ``asyncio.run`` waits for on the way out, so that quitting would last as long as an SVD.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from textual.message import Message

from lipscope.checkpoint import sha256_of
from lipscope.errors import CheckpointError, LipscopeError
from lipscope.records import AnalysisEvent
from lipscope.tui.state import Results

Analyse = Callable[[Path], Iterator[AnalysisEvent]]


class WorkMessage(Message):
    """Something a :class:`Work` found out; ``work`` tells it from an earlier one's."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work


class Analysed(WorkMessage):
    """One step of the analysis."""

    def __init__(self, work: Work, event: AnalysisEvent) -> None:
        super().__init__(work)
        self.event = event


class AnalysisEnded(WorkMessage):
    """The analysis is over; ``failure`` says why it could not finish."""

    def __init__(self, work: Work, seconds: float, failure: LipscopeError | None = None) -> None:
        super().__init__(work)
        self.seconds = seconds
        self.failure = failure


class ResultsRead(WorkMessage):
    """The results file was read, or is not there, or cannot be read."""

    def __init__(self, work: Work, results: Results) -> None:
        super().__init__(work)
        self.results = results


class Hashed(WorkMessage):
    """The SHA-256 of the model's bytes."""

    def __init__(self, work: Work, sha256: str) -> None:
        super().__init__(work)
        self.sha256 = sha256


class Crashed(WorkMessage):
    """A thread met an error that nobody foresaw."""

    def __init__(self, work: Work, error: BaseException) -> None:
        super().__init__(work)
        self.error = error


class Work:
    """Two threads: one analyses the model, one reads the results and hashes the model.

    Args:
        path: the model.
        analyse: yields the events; may block for long between two of them.
        post: hands a message to the app; safe to call from any thread.
        after: work on the same file that must end first (it was cancelled), so that two never compute at once.
    """

    def __init__(
        self, path: Path, analyse: Analyse, post: Callable[[Message], bool], after: Work | None = None
    ) -> None:
        self._path = path
        self._analyse = analyse
        self._app_post = post
        self._after = after
        self._cancelled = threading.Event()
        self._threads = tuple(
            threading.Thread(target=self._handing_over, args=(target,), name=f"lipscope-{name}", daemon=True)
            for name, target in (("analysis", self._run_analysis), ("files", self._read_files))
        )

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def cancel(self) -> None:
        """Ask the analysis to stop at its next event; none of its messages follows that event."""
        self._cancelled.set()

    @property
    def alive(self) -> bool:
        """Whether a thread of this work, or of the work it waits for, still runs."""
        return any(thread.is_alive() for thread in self._threads)

    def join_analysis(self) -> None:
        """Wait for the analysis to end."""
        self._threads[0].join()

    def _handing_over(self, target: Callable[[], None]) -> None:
        with _HandOver(self):
            target()

    def _run_analysis(self) -> None:
        if self._after is not None:
            self._after.join_analysis()
            self._after = None
        started = time.monotonic()
        try:
            if self._cancelled.is_set():
                return
            for event in self._analyse(self._path):
                if self._cancelled.is_set():
                    return
                self.post(Analysed(self, event))
        except LipscopeError as failure:
            self.post(AnalysisEnded(self, time.monotonic() - started, failure))
        else:
            self.post(AnalysisEnded(self, time.monotonic() - started))

    def _read_files(self) -> None:
        self.post(ResultsRead(self, _read_results(self._path)))
        try:
            sha256 = sha256_of(self._path)
        except OSError:
            return  # the analysis reads the same file and says what is wrong with it
        self.post(Hashed(self, sha256))

    def post(self, message: Message) -> None:
        """Hand a message to the app, if there still is one."""
        try:
            self._app_post(message)
        except RuntimeError:
            # The app's loop closed between its check and the call: nobody is left to tell.
            if not self._cancelled.is_set():
                raise


class _HandOver:
    """What escapes a thread reaches the app's thread, which shows and raises it; a thread can only print."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is not None:
            self._work.post(Crashed(self._work, error))
        return True


def _read_results(model: Path) -> Results:
    from lipscope.results import read_results, results_path

    path = results_path(model)
    if not path.exists():
        return Results(reading=False)
    try:
        certificates, _summary = read_results(path)
    except CheckpointError as error:
        return Results(reading=False, error=error)
    if not len(certificates):
        return Results(reading=False, error=CheckpointError("holds no images", where=str(path)))
    return Results(reading=False, certificates=certificates)
