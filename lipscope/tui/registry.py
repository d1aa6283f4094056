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
    pane: str  # module and class, imported after the first paint

    @property
    def label(self) -> str:
        """What stands on the tab.

        >>> SCREENS[0].label
        '1 Overview'
        """
        return f"{self.key} {self.title}"

    def load(self) -> type[Pane]:
        """The class of the pane."""
        module, _, name = self.pane.partition(":")
        pane: type[Pane] = getattr(import_module(module), name)
        return pane


PANES = "lipscope.tui"

SCREENS: tuple[ScreenEntry, ...] = (
    ScreenEntry("1", "overview", "Overview", "The verdict, what the file claims, what was recomputed",
                "the header of the file", f"{PANES}.overview.pane:OverviewPane"),
    ScreenEntry("2", "layers", "Layers", "Bound, singular values and gradient norms of every layer",
                "the analysis", f"{PANES}.layers.pane:LayersPane"),
    ScreenEntry("3", "gradients", "Gradients", "How much of the gradient's norm each layer passes back",
                "the analysis", f"{PANES}.gradients.pane:GradientsPane"),
    ScreenEntry("4", "radii", "Radii", "Certified radii of the test images",
                "the results of `lipscope certify` beside the model", f"{PANES}.radii.pane:RadiiPane"),
    ScreenEntry("5", "images", "Images", "The test images as pictures, with radius, logits and what an attack found",
                "the results of `lipscope certify`, and the data set for the pictures",
                f"{PANES}.images.pane:ImagesPane"),
    ScreenEntry("6", "training", "Training", "A training, live or finished: curves, progress, layers as they evolve",
                "the run folder of `lipscope train`", f"{PANES}.training.pane:TrainingPane"),
    ScreenEntry("7", "compare", "Compare", "Two models: layers, certified accuracy, images that one alone certifies",
                "a second model: `lipscope inspect a.safetensors b.safetensors`", f"{PANES}.compare.pane:ComparePane"),
)  # fmt: skip
"""In the order of the tabs; the first is painted at once, the others after it."""


def entry(screen: str) -> ScreenEntry:
    """The screen of that id.

    >>> entry("radii").title
    'Radii'
    """
    return {one.id: one for one in SCREENS}[screen]
