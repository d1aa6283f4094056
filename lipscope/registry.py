"""Names to choose from, and where each is defined: a new family, loss, architecture is a file and a line in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from lipscope.errors import UsageError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Things by name, imported when they are asked for: ``--help`` lists the names without torch.

    Args:
        what: they are, for messages.
        places: ``"module:name"`` of each, below ``lipscope``.

    >>> words = Registry("word", {"shape": "records:Shape"})
    >>> list(words), words["shape"]
    (['shape'], tuple[int, ...])
    >>> words["form"]
    Traceback (most recent call last):
    ...
    lipscope.errors.UsageError: unknown word 'form'; choose from shape
    """

    def __init__(self, what: str, places: Mapping[str, str]) -> None:
        self.what, self.places = what, dict(places)

    def __getitem__(self, name: str) -> T:
        """What has this name.

        Raises:
            UsageError: nothing has.
        """
        module, _, attribute = self.places[self.known(name)].partition(":")
        found: T = getattr(import_module(f"lipscope.{module}"), attribute)
        return found

    def known(self, name: object) -> str:
        """The name, if it is one.

        Raises:
            UsageError: it is none.
        """
        if not isinstance(name, str) or name not in self.places:
            shown = repr(name[:80] if isinstance(name, str) else name)
            raise UsageError(f"unknown {self.what} {shown}", next_step=f"choose from {', '.join(self.places)}")
        return name

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
