"""lipscope trains, inspects and certifies 1-Lipschitz image classifiers, and proves what holds of any other network.

Nothing is imported, torch least of all, before a name is used.

>>> import lipscope
>>> sorted(lipscope.__all__)[:4]
['Bound', 'Certificates', 'InspectReport', '__version__']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lipscope.version import __version__

if TYPE_CHECKING:
    from lipscope.door.certification import certify
    from lipscope.door.falsification import attack
    from lipscope.door.inspection import inspect
    from lipscope.door.layers import bound, spectrum
    from lipscope.door.training import train
    from lipscope.models.capture.save import save
    from lipscope.models.stored import load
    from lipscope.records import Bound, InspectReport
    from lipscope.records.certificates import Certificates

PLACES = {
    "save": "lipscope.models.capture.save",
    "load": "lipscope.models.stored",
    "inspect": "lipscope.door.inspection",
    "certify": "lipscope.door.certification",
    "attack": "lipscope.door.falsification",
    "bound": "lipscope.door.layers",
    "spectrum": "lipscope.door.layers",
    "train": "lipscope.door.training",
    "Certificates": "lipscope.records.certificates",
    "InspectReport": "lipscope.records",
    "Bound": "lipscope.records",
}
"""Where each name of the door is defined."""

__all__ = [
    "Bound",
    "Certificates",
    "InspectReport",
    "__version__",
    "attack",
    "bound",
    "certify",
    "inspect",
    "load",
    "save",
    "spectrum",
    "train",
]


def __getattr__(name: str) -> Any:
    """The names of the door, imported when they are used."""
    if name not in PLACES:
        raise AttributeError(f"module 'lipscope' has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
