"""A thread that answers the latest of many questions, and forgets those that the user has moved on from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Question = TypeVar("Question")


class Latest(Generic[Question]):
    """Starts its thread with the first question; while one is answered, only the last that came waits.

    ``answer`` runs in the thread, inside ``guard``, which hands over what escapes it.
    """

    def __init__(
        self, answer: Callable[[Question], None], name: str, guard: Callable[[Callable[[], None]], None]
    ) -> None:
        self._answer, self._name, self._guard = answer, name, guard
        self._wanted: Question | None = None
        self._condition = threading.Condition()
        self._closed = False
        self._working = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        with self._condition:
            return self._working or self._wanted is not None

    def ask(self, question: Question) -> None:
        """Answer this next."""
        with self._condition:
            if self._closed:
                return
            self._wanted = question
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._guard, args=(self._answer_all,), name=self._name, daemon=True
                )
                self._thread.start()
            self._condition.notify_all()

    def close(self) -> None:
        """Let the thread end; nothing waits for it."""
        with self._condition:
            self._closed = True
            self._wanted = None
            self._condition.notify_all()

    def _answer_all(self) -> None:
        while True:
            with self._condition:
                while self._wanted is None and not self._closed:
                    self._condition.wait()
                if self._closed or self._wanted is None:
                    return
                question, self._wanted = self._wanted, None
                self._working = True
            try:
                self._answer(question)
            finally:
                with self._condition:
                    self._working = False
