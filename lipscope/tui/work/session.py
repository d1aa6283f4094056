"""One file under inspection: starts and cancels the work on it, and turns what the threads say into states."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import Header
from lipscope.files.kept_images import Question
from lipscope.files.kind import read_model_header
from lipscope.files.run_log import read_run
from lipscope.records import AnalysisEvent, LayerReport
from lipscope.tui.work.gallery import Images
from lipscope.tui.work.run_watch import Child, RunView, RunWatch
from lipscope.tui.work.state import Phase, State
from lipscope.tui.work.worker import Means, Work

LASTING = ("verdict", "chain", "tightness")
"""What an event tells of the whole file."""

NO_MODEL = "no model yet: the first epoch of the training writes it"
NEVER = "no model: the training ended before its first epoch did"
TRAINING = "the training runs; r analyses the model that it has written so far"


@dataclass(eq=False)
class Session:
    """What is known of one file, and the work that finds out more.

    Raises:
        CheckpointError: the header, or the description of the run, cannot be read.
    """

    path: Path  # the model; its header is read here
    means: Means  # what the work is done with
    hear: Callable[..., None]  # calls a function with what follows, later and on the app's thread
    changed: Callable[[], None]  # called after every change of the state, on the app's thread
    behind: Session | None = None  # whose analysis goes first, so that two never compute at once
    run: Path | None = None  # the folder of the training that writes the model, which need not be there yet
    child: Child | None = None  # that training, where this process has started it; analysed when it has ended

    def __post_init__(self) -> None:
        run = self.run
        self._work: Work | None = None
        self._asked_kernel: tuple[Work, str] | None = None
        self._layers: dict[str, LayerReport] = {}
        self._layers_changed = False
        # There is nothing to analyse yet, or not before the training has ended.
        if run is not None and (self.child is not None or not self.path.exists()):
            ahead = Header(self.path, 0, (), config=read_run(run).config)
            self._state = State(ahead, phase=Phase.WAITING, doing=NO_MODEL)
        else:
            self._state = State(read_model_header(self.path))
        self._watch: RunWatch | None = None
        if run is not None:
            learn = partial(self.hear, self.learn_run)
            self._watch = RunWatch(run, learn, look_every=self.means.look_every, child=self.child)
        self.crash: BaseException | None = None

    @property
    def state(self) -> State:
        """What is known now."""
        if self._layers_changed:
            # Copied when it is looked at, not at every event: a file may have 5,000 tensors.
            self._layers_changed = False
            self._state = replace(self._state, layers=dict(self._layers))
        return self._state

    @property
    def phase(self) -> Phase:
        """Where the analysis stands."""
        return self._state.phase

    @property
    def busy(self) -> bool:
        """Whether a thread still computes."""
        return self._work is not None and self._work.alive

    def start(self, *, fresh: bool = False) -> None:
        """Start the work, unless it has; where it has to be ``fresh``, behind that of an earlier start, cancelled."""
        if self._watch is not None:
            self._watch.start()
        if self._work is not None and not fresh:
            return
        if self.phase is Phase.WAITING:
            return
        if self._work is not None:
            self._work.close()
        self._layers = {}
        ahead = self.behind._work if self.behind is not None else None
        after = [work for work in (self._work, ahead) if work is not None]
        self._work = Work(self.path, self.means, partial(self.hear, self.take), after=after, fresh=fresh)
        self._work.start()
        self._set(State(self._state.header, run=self._state.run))

    def reload(self) -> None:
        """Read the file again and analyse it from the start; what was kept of it is made anew."""
        try:
            header = read_model_header(self.path)
        except CheckpointError as failure:
            if self.phase is not Phase.WAITING:
                self.cancel()
                self._state = State(self._state.header, run=self._state.run)  # nothing holds of a file that is gone
                self._fail(failure)
            return
        self._state = State(header, run=self._state.run)
        self.start(fresh=True)

    def learn_run(self, view: RunView) -> None:
        """Learn what the run folder tells; a model that was waited for is analysed once it is there."""
        waiting = self.phase is Phase.WAITING
        doing = (TRAINING if view.model else NEVER if view.ended else NO_MODEL) if waiting else self._state.doing
        self._set(replace(self._state, run=view, doing=doing))
        if waiting and view.model and (self.child is None or view.ended):
            try:
                self._state = State(read_model_header(self.path), run=view)
            except CheckpointError as failure:
                self._fail(failure)
            else:
                self.start()

    def want_images(self) -> None:
        """Read the data set that the results are about, unless it is here, on its way, or known to be missing."""
        certificates, images = self._state.results.certificates, self._state.images
        if self._work is None or certificates is None:
            return
        name, split = certificates.data_name, certificates.data_split
        if images is None or (images.name, images.split) != (name, split):
            self._work.gallery.images.ask((name, split))
            self._set(replace(self._state, images=Images(name, split), answer=None))

    def want_answer(self, row: int) -> None:
        """Ask the model, and what an attack kept, about one image of the results."""
        certificates = self._state.results.certificates
        if self._work is None or certificates is None or not 0 <= row < len(certificates):
            return
        distances = certificates.attack_distance
        question = Question(
            row, int(certificates.index[row]), self._state.pixels(row), certificates.model_sha256,
            certificates.data_fingerprint, int(certificates.predicted[row]),
            math.inf if distances is None else float(distances[row]),
        )  # fmt: skip
        self._work.gallery.answers.ask(question)

    def want_kernel(self, layer: str) -> None:
        """Read the matrices that the file stores for a layer, unless they are on their way."""
        if self._work is not None and (self._work, layer) != self._asked_kernel:
            self._asked_kernel = (self._work, layer)
            self._work.gallery.kernels.ask(layer)

    def cancel(self) -> None:
        """Stop the analysis; what is known so far stays."""
        if self._work is not None:
            self._work.cancel()
            self._set(replace(self._state, phase=Phase.CANCELLED))

    def close(self) -> None:
        """Let the threads end at their next event; nothing waits for them."""
        if self._watch is not None:
            self._watch.close()
        if self._work is not None:
            self._work.close()

    def take(
        self, work: Work, *, crash: BaseException | None = None, events: deque[AnalysisEvent] | None = None,
        **facts: Any,
    ) -> None:  # fmt: skip
        """Learn what a thread found out; what belongs to earlier work is old news, and so is the end of what ended.

        ``crash`` is an error that nobody foresaw; ``facts`` are fields of the state, with a phase where it is over.
        """
        if crash is not None:
            self.crash = self.crash or crash
            self._fail(
                LipscopeError(
                    f"{type(crash).__name__}: {crash}",
                    why="an error in lipscope itself, not in the file",
                    next_step="quit to see the traceback, and report it",
                )
            )
        elif work is not self._work:
            return
        elif events is not None and self._state.phase.active:
            self._learn(events)
        elif facts and (self._state.phase.active or "phase" not in facts):
            self._set(replace(self._state, **facts))

    def _learn(self, events: deque[AnalysisEvent]) -> None:
        last, known = None, dict[str, Any]()
        while events:
            last = events.popleft()
            if last.layer is not None:
                self._layers[last.layer.name] = last.layer
            known.update((name, value) for name in LASTING if (value := getattr(last, name)) is not None)
        if last is not None:
            self._layers_changed = True
            known.update(phase=Phase.RUNNING, done=last.done, total=last.total, doing=last.doing)
            self._set(replace(self._state, **known))

    def _fail(self, failure: LipscopeError) -> None:
        self._set(replace(self._state, phase=Phase.FAILED, failure=failure))

    def _set(self, state: State) -> None:
        self._state = state
        self.changed()
