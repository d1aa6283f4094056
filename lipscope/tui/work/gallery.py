"""The images behind the results, and what the model says of one of them: read and computed by threads, on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.kept_images import Adversarial, Question, kept_adversarial, nearest_adversarial
from lipscope.files.matrices import Kernel, read_kernel
from lipscope.tui.work.latest import Latest
from lipscope.tui.work.watch import Stamp, stamp_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lipscope.data import ImageSet


class Evaluator(Protocol):
    """A model that was read from a file."""

    @property
    def sha256(self) -> str:
        """Of the bytes that it was read from."""

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(classes,) of one image (3, height, width)."""


@dataclass(frozen=True)
class Images:
    """The data set that the results are about."""

    name: str  # name, split: what the results call it
    split: str
    reading: bool = True  # whether it is still being read
    data: ImageSet | None = None  # the images; None where they cannot be had
    fingerprint: str = ""  # of ``data``
    error: LipscopeError | None = None  # why there are none


@dataclass(frozen=True)
class Answer:
    """What the model says of one image."""

    row: int  # of the certificates
    logits: NDArray[np.float64] | None = None  # (classes,) float32 evaluation; None where it failed
    failure: LipscopeError | None = None  # why
    adversarial: Adversarial | None = None  # that an attack kept for this image; None without one
    unkept: str = ""  # why the file of adversarial images is not used, in words; empty where it is, or is not there


@dataclass
class Gallery:
    """Threads that start when they are first asked; each answers what was asked last: the user has moved on."""

    path: Path
    read: Callable[[str, Literal["train", "test"]], ImageSet]
    evaluator: Callable[[Path], Evaluator] | None
    learn: Callable[..., None]  # takes fields of the state
    guard: Callable[[Callable[[], None]], None]  # runs a function and hands over what escapes it
    kept: Path | None = None  # the folder of adversarial images; None for the model's
    stamp: Stamp | None = None  # of the file that was opened: another one's tensors are not those of the analysis

    def __post_init__(self) -> None:
        self._model: Evaluator | None = None
        self.images: Latest[tuple[str, str]] = Latest(self._read_images, "lipscope-images", self.guard)
        self.answers: Latest[Question] = Latest(self._answer, "lipscope-logits", self.guard)
        self.kernels: Latest[str] = Latest(self._read_kernel, "lipscope-kernel", self.guard)

    @property
    def busy(self) -> bool:
        """Whether something that was asked for is still to come."""
        return self.images.busy or self.answers.busy or self.kernels.busy

    def close(self) -> None:
        """Let the threads end; nothing waits for them."""
        for thread in (self.images, self.answers, self.kernels):
            thread.close()

    def _read_images(self, of: tuple[str, str]) -> None:
        name, split = of
        try:
            data = self.read(name, "train" if split == "train" else "test")
            images = Images(name, split, reading=False, data=data, fingerprint=data.fingerprint())
        except LipscopeError as error:
            images = Images(name, split, reading=False, error=error)
        self.learn(images=images, answer=None)

    def _answer(self, question: Question) -> None:
        answer = _with_adversarial(self.path, question, self.kept)
        if question.pixels is not None and self.evaluator is not None:
            try:
                self._model = self._model or self.evaluator(self.path)
                if self._model.sha256 != question.model_sha256:
                    raise CheckpointError(
                        "the model on the disk is another one than the results are about",
                        next_step="run `lipscope certify --force` on it, then r reads both again",
                    )
                answer = replace(answer, logits=self._model.logits(question.pixels))
            except LipscopeError as failure:
                answer = replace(answer, failure=failure)
        self.learn(answer=answer)

    def _read_kernel(self, layer: str) -> None:
        try:
            kernel = read_kernel(self.path, layer)
            if stamp_of(self.path) != self.stamp:
                raise CheckpointError(
                    "the file on the disk is another one than was opened", where=str(self.path),
                    next_step="r reads it again",
                )  # fmt: skip
        except LipscopeError as error:
            kernel = Kernel(layer, error=error)
        self.learn(kernel=kernel)


def _with_adversarial(model: Path, question: Question, folder: Path | None) -> Answer:
    """What attacks kept of an image: the pair of a refuted certificate, else the nearest adversarial image."""
    violation = kept_adversarial(model, question, folder)
    if violation is not None:
        return Answer(question.row, adversarial=violation)
    try:
        return Answer(question.row, adversarial=nearest_adversarial(model, question, folder))
    except CheckpointError as error:
        why = f" ({error.why})" if error.why else ""
        step = f"; {error.next_step}" if error.next_step else ""
        return Answer(question.row, unkept=f"{Path(error.where).name} is ignored: {error.what}{why}{step}")
