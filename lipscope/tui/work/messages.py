"""What the threads of a ``Work`` tell the app, and what the screens ask of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from lipscope.records import AnalysisEvent

if TYPE_CHECKING:
    from lipscope.tui.work.session import Session


@dataclass
class WorkMessage(Message):
    """Something a ``Work`` found out; ``work`` is which one, to tell it from an earlier one's."""

    work: object


@dataclass
class Analysed(WorkMessage):
    """Steps of the analysis: all that are there when the message is read, for a file may have 100,000 tensors."""

    events: deque[AnalysisEvent]


@dataclass
class Learned(WorkMessage):
    """Fields of the ``State`` that are known now; with a phase, that the analysis is over."""

    facts: Mapping[str, Any]


@dataclass
class Crashed(WorkMessage):
    """A thread met an error that nobody foresaw."""

    error: BaseException


@dataclass
class Wanted(Message):
    """A screen needs more of the file: images, what the model says of one, a kernel."""

    ask: Callable[[Session], None]
