"""lipscope trains, inspects and certifies 1-Lipschitz image classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lipscope.version import __version__

if TYPE_CHECKING:
    from lipscope.models.capture.save import save
    from lipscope.models.stored import load

PLACES = {"load": "lipscope.models.stored", "save": "lipscope.models.capture.save"}
"""Where each name of the door is defined; nothing is imported, torch least of all, before it is asked for."""

__all__ = ["__version__", "load", "save"]


def __getattr__(name: str) -> Any:
    """The names of the door, imported when they are used."""
    if name not in PLACES:
        raise AttributeError(f"module 'lipscope' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
