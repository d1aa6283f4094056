"""A thread that answers the latest of many questions, and forgets those that the user has moved on from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Generic, TypeVar

Question = TypeVar("Question")


class Latest(Generic[Question]):
    """Starts its thread with the first question; while one is answered, only the last that came waits.

    ``answer`` runs in the thread, inside ``guard``, which hands over what escapes it.
    """

    def __init__(
        self, answer: Callable[[Question], None], name: str, guard: Callable[[Callable[[], None]], None]
    ) -> None:
        self._answer = answer
        self._asked: Queue[Question | None] = Queue()
        self._closed = False
        self._thread = threading.Thread(target=guard, args=(self._answer_all,), name=name, daemon=True)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked.unfinished_tasks > 0 and not self._closed

    def ask(self, question: Question) -> None:
        """Answer this next."""
        self._asked.put(question)
        if self._thread.ident is None and not self._closed:
            self._thread.start()

    def close(self) -> None:
        """Let the thread end; nothing waits for it."""
        self._closed = True
        self._asked.put(None)

    def _answer_all(self) -> None:
        while not self._closed:
            question = self._asked.get()
            while not self._asked.empty():
                self._asked.task_done()
                question = self._asked.get()
            try:
                if question is not None and not self._closed:
                    self._answer(question)
            finally:
                self._asked.task_done()
