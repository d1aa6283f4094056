"""The one table of screens: tabs, number keys, command palette, footer, help and manual are all made from it.

A further screen is one folder with a pane (see :mod:`lipscope.tui.panes`), and one line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipscope.tui.panes import Pane


@dataclass(frozen=True)
class ScreenEntry:
    """One screen of the app."""

    key: str  # the number key that shows it
    id: str  # of its tab; ``--screen`` takes it
    title: str  # on its tab; its keys stand in the table of bindings under the same word
    tooltip: str  # what it shows, in one sentence
    needs: str  # what must be there before it has anything to show

    @property
    def label(self) -> str:
        """What stands on the tab."""
        return f"{self.key} {self.title}"

    def load(self) -> type[Pane]:
        """The class of the pane, ``OverviewPane`` in ``overview/pane.py``: imported after the first paint."""
        pane: type[Pane] = getattr(import_module(f"lipscope.tui.{self.id}.pane"), f"{self.title}Pane")
        return pane


SCREENS: tuple[ScreenEntry, ...] = (
    ScreenEntry("1", "overview", "Overview", "The verdict, what the file claims, what was recomputed",
                "the header of the file"),
    ScreenEntry("2", "layers", "Layers", "Bound, singular values and gradient norms of every layer",
                "the analysis"),
    ScreenEntry("3", "gradients", "Gradients", "How much of the gradient's norm each layer passes back",
                "the analysis"),
    ScreenEntry("4", "radii", "Radii", "Certified radii of the test images",
                "the results of `lipscope certify` beside the model"),
    ScreenEntry("5", "images", "Images", "The test images as pictures, with radius, logits and what an attack found",
                "the results of `lipscope certify`, and the data set for the pictures"),
    ScreenEntry("6", "training", "Training", "A training, live or finished: curves, progress, layers as they evolve",
                "the run folder of `lipscope train`"),
    ScreenEntry("7", "compare", "Compare", "Two models: layers, certified accuracy, images that one alone certifies",
                "a second model: `lipscope inspect a.safetensors b.safetensors`"),
)  # fmt: skip
"""In the order of the tabs; the first is painted at once, the others after it."""


def entry(screen: str) -> ScreenEntry:
    """The screen of that id."""
    return {one.id: one for one in SCREENS}[screen]
