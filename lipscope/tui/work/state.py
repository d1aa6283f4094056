"""What the app knows at one moment. Widgets are shown a state; none keeps knowledge of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from lipscope.errors import LipscopeError
from lipscope.files.checkpoint import Header
from lipscope.records import Chain, LayerReport, Tightness, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lipscope.files.matrices import Kernel
    from lipscope.records.certificates import Certificates, Checked  # numpy, which the first paint does without
    from lipscope.tui.work.gallery import Answer, Images
    from lipscope.tui.work.run_watch import RunView


class Phase(Enum):
    """Where the analysis stands."""

    WAITING = "waiting"  # for a training: there is no model yet, or it is not to be analysed yet
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def active(self) -> bool:
        """Whether more may come."""
        return self in (Phase.STARTING, Phase.RUNNING)


@dataclass(frozen=True)
class Results:
    """What lies beside the model."""

    reading: bool = True  # whether it is still being read
    certificates: Certificates | None = None  # the radii; None where there is no readable file
    error: LipscopeError | None = None  # why the file that is there cannot be read
    # what became of radii that somebody else claims; None while, or where, nobody can look
    checked: Checked | None = None
    kept: Path | None = None  # the folder that they are kept in; None for the model's


@dataclass(frozen=True)
class State:
    """Everything that is on the screens."""

    header: Header  # what the file says of itself
    phase: Phase = Phase.STARTING  # where the analysis stands
    layers: Mapping[str, LayerReport] = field(default_factory=dict)  # by name, in forward order
    verdict: Verdict | None = None  # None until the bounds are done
    chain: Chain | None = None  # the constants from end to end; None until the bounds are done, and where there is none
    tightness: Tightness | None = None  # of the certificate; None until the gradient norms are done
    done: int = 0  # done, total, doing: progress in steps, and what comes next
    total: int = 0
    doing: str = ""
    seconds: float | None = None  # how long the analysis took; None until it is done
    failure: LipscopeError | None = None  # why it failed
    results: Results = field(default_factory=Results)  # of an earlier certification
    sha256: str | None = None  # of the model's bytes; None until computed
    cached: bool = False  # whether the analysis was not run now, but kept from an earlier run on the same bytes
    on_disk: Literal["same", "replaced", "gone"] = "same"  # what has become of the file since it was opened
    images: Images | None = None  # the data set that the results are about; None until a screen wants it
    answer: Answer | None = None  # the latest about a single image
    kernel: Kernel | None = None  # the matrices of the layer that was asked for last; None until a screen wants some
    run: RunView | None = None  # the run folder around the model; None where there is none

    @cached_property
    def modelled(self) -> bool:
        """Whether the layers are known: the file is one of lipscope's, or somebody described how it is connected."""
        return self.header.config is not None or any(layer.role != "tensor" for layer in self.layers.values())

    @property
    def stale(self) -> bool | None:
        """Whether the results are about other bytes than the file's; None while that is unknown."""
        certificates = self.results.certificates
        if certificates is None or self.sha256 is None:
            return None
        return certificates.model_sha256 != self.sha256

    @property
    def other_images(self) -> bool:
        """Whether the images that were found are not those that the results are about."""
        certificates, images = self.results.certificates, self.images
        if certificates is None or images is None or images.data is None:
            return False
        beyond = bool((certificates.index < 0).any() or (certificates.index >= len(images.data)).any())
        return beyond or images.fingerprint != certificates.data_fingerprint

    def pixels(self, row: int) -> NDArray[np.uint8] | None:
        """(3, height, width) of the image in a row of the results; None while, or where, it cannot be had."""
        certificates, images = self.results.certificates, self.images
        if certificates is None or images is None or images.data is None or self.other_images:
            return None
        pixels: NDArray[np.uint8] = images.data.images[certificates.index[row]]
        return pixels
