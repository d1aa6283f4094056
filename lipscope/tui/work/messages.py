"""What the threads of a ``Work`` (``tui/worker.py``) tell the app."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from lipscope.errors import LipscopeError
from lipscope.records import AnalysisEvent
from lipscope.tui.work.state import Results

if TYPE_CHECKING:
    from lipscope.tui.work.gallery import Answer, Images
    from lipscope.tui.work.kernels import Kernel


class WorkMessage(Message):
    """Something a ``Work`` found out; ``work`` is which one, to tell it from an earlier one's."""

    def __init__(self, work: object) -> None:
        super().__init__()
        self.work = work


class Analysed(WorkMessage):
    """One step of the analysis."""

    def __init__(self, work: object, event: AnalysisEvent) -> None:
        super().__init__(work)
        self.event = event


class AnalysisEnded(WorkMessage):
    """The analysis is over; ``failure`` says why it could not finish, ``cached`` that it was kept from earlier."""

    def __init__(
        self, work: object, seconds: float, failure: LipscopeError | None = None, *, cached: bool = False
    ) -> None:
        super().__init__(work)
        self.seconds = seconds
        self.failure = failure
        self.cached = cached


class ResultsRead(WorkMessage):
    """The results file was read, or is not there, or cannot be read."""

    def __init__(self, work: object, results: Results) -> None:
        super().__init__(work)
        self.results = results


class Hashed(WorkMessage):
    """The SHA-256 of the model's bytes."""

    def __init__(self, work: object, sha256: str) -> None:
        super().__init__(work)
        self.sha256 = sha256


class FileChanged(WorkMessage):
    """The model on the disk is another one than the one that was opened, or is gone, or is back."""

    def __init__(self, work: object, on_disk: Literal["same", "replaced", "gone"]) -> None:
        super().__init__(work)
        self.on_disk = on_disk


class ImagesRead(WorkMessage):
    """The data set behind the results was read, or cannot be."""

    def __init__(self, work: object, images: Images) -> None:
        super().__init__(work)
        self.images = images


class Answered(WorkMessage):
    """The model, or what an attack kept, says something of one image."""

    def __init__(self, work: object, answer: Answer) -> None:
        super().__init__(work)
        self.answer = answer


class KernelRead(WorkMessage):
    """The matrices of one layer were read, or cannot be."""

    def __init__(self, work: object, kernel: Kernel) -> None:
        super().__init__(work)
        self.kernel = kernel


class Crashed(WorkMessage):
    """A thread met an error that nobody foresaw."""

    def __init__(self, work: object, error: BaseException) -> None:
        super().__init__(work)
        self.error = error


class ImagesWanted(Message):
    """A screen needs the data set behind the results."""


class AnswerWanted(Message):
    """A screen needs what the model says of the image in this row of the results."""

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row


class KernelWanted(Message):
    """A screen needs the matrices that the file stores for a layer."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer


class EpsMoved(Message):
    """The user has chosen another radius; every other screen follows."""

    def __init__(self, eps: Fraction, by: object) -> None:
        super().__init__()
        self.eps = eps
        self.by = by
