"""Certified radii of n images, whoever they come from: what certification, files, attacks and the app exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lipscope.units import DEFAULT_EPS, format_eps, largest_not_above, parse_eps
from lipscope.visible import counted

Standing = Literal["proved", "own", "claimed", "estimate"]
"""Whose word radii are: of this process; of an earlier run of this user's own; of somebody else; float32's."""

WORDS: dict[Standing, str] = {
    "proved": "sound radii, proved here: float64, rounding errors subtracted",
    "own": "sound radii, proved by an earlier run of your own",
    "claimed": "radii claimed by somebody else, not proved here",
    "estimate": "estimates: float32, rounding errors not subtracted",
}
"""For a person."""

ADJECTIVES: dict[Standing, str] = {
    "proved": "certified", "own": "certified", "claimed": "claimed", "estimate": "estimated",
}  # fmt: skip
"""What accuracies and radii of that standing are called."""

DATA = ("data_name", "data_split", "data_fingerprint")


@dataclass(frozen=True, repr=False)
class Certificates:
    """Certified radii of n images: the l2 distance within which the prediction provably cannot change.

    Args:
        index: (n,) int64, record numbers in the file of the data set.
        label, predicted, runner_up: (n,) int64 classes; the pair with the runner-up decides the radius. Images that
            nobody labelled have the label -1.
        radius: (n,) float64, l2 in [0, 1] pixel space, >= 0; about the predicted class, right or wrong.
        margin: (n,) float64, the computed logit difference to the runner-up, from which the radius follows.
        standing: see :data:`Standing`.
        model_sha256, architecture: the model they are about.
        data_name, data_split, data_fingerprint: the images they are about.
        lipschitz: the constant from [0, 1] pixels to the features before the head.
        environment: versions, device, dtype, precision flags.
        attack_distance: (n,) float64 or None, the smallest l2 distance at which an attack changed the prediction,
            ``inf`` where none did; an upper bound on the true robustness.
        attack: what was attacked and how, when ``attack_distance`` is there.
        classes: the names of the classes; empty where they are not known.
        data_order: SHA-256 of the images, labels and record numbers in this order; empty where it is not known.
        reason: why they are only claimed; else empty.
        eps: the radii at which they are summed up when they are printed.

    >>> found = Certificates(
    ...     index=np.arange(3), label=np.array([0, 1, 1]), predicted=np.array([0, 1, 0]), runner_up=np.array([1, 0, 1]),
    ...     radius=np.array([0.5, 0.1, 0.4]), margin=np.array([2.0, 0.4, 1.6]), standing="proved",
    ...     model_sha256="", architecture="", data_name="", data_split="", data_fingerprint="", lipschitz=4.0,
    ... )
    >>> found.certified("36/255").tolist(), round(found.accuracy("36/255"), 3), round(found.accuracy(), 3)
    ([True, False, False], 0.333, 0.667)
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    runner_up: NDArray[np.int64]
    radius: NDArray[np.float64]
    margin: NDArray[np.float64]
    standing: Standing
    model_sha256: str
    architecture: str
    data_name: str
    data_split: str
    data_fingerprint: str
    lipschitz: float
    environment: Mapping[str, Any] = field(default_factory=dict)
    attack_distance: NDArray[np.float64] | None = None
    attack: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    data_order: str = ""
    reason: str = ""
    eps: tuple[Fraction, ...] = DEFAULT_EPS

    def __repr__(self) -> str:
        """One line: how many, of what, with what standing, and the accuracies."""
        shares = ", ".join(f"{format_eps(eps)} {self.accuracy(eps):.2%}" for eps in self.eps)
        accuracies = f"clean {self.accuracy():.2%}, {shares}" if self.labelled else "no labels"
        about = f"{counted(len(self), 'image')} of {self.data_name} {self.data_split}"
        return f"Certificates({about}, {self.standing}: {accuracies})"

    def __len__(self) -> int:
        return len(self.radius)

    @property
    def labelled(self) -> bool:
        """Whether every image has a label, so that predictions can be right or wrong."""
        return bool((self.label >= 0).all())

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether the prediction is the label."""
        return np.equal(self.predicted, self.label)

    def beyond(self, eps: Fraction | str) -> NDArray[np.bool_]:
        """(n,) whether the radius is larger than eps, strictly and exactly, be the prediction right or wrong."""
        return np.greater(self.radius, largest_not_above(parse_eps(eps) if isinstance(eps, str) else eps))

    def certified(self, eps: Fraction | str) -> NDArray[np.bool_]:
        """(n,) whether the image is classified correctly with radius > eps, strictly and exactly."""
        return self.correct & self.beyond(eps)

    def certified_count(self, eps: Fraction) -> int:
        """How many images are :meth:`certified`."""
        return int(np.count_nonzero(self.certified(eps)))

    def accuracy(self, eps: Fraction | str | None = None) -> float:
        """The share of all images that is certified at eps; without eps, that is classified correctly."""
        chosen = self.correct if eps is None else self.certified(eps)
        return int(np.count_nonzero(chosen)) / len(self)

    @property
    def attacked(self) -> NDArray[np.bool_]:
        """(n,) which images were attacked; those with a finite distance where the file does not say."""
        if self.attack_distance is None:
            return np.zeros(len(self), np.bool_)
        chosen = np.isfinite(self.attack_distance)
        pairs = self.attack.get("attacked")
        for pair in pairs if isinstance(pairs, list) else []:
            if isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair):
                chosen |= (self.index >= pair[0]) & (self.index < pair[1])
        return chosen

    def average_certified_radius(self) -> float:
        """The mean radius over all images, misclassified ones counting as 0."""
        return float(np.where(self.correct, self.radius, 0.0).mean())

    def mean_correct_radius(self) -> float:
        """The mean radius over the correctly classified images; 0 when there are none."""
        return float(self.radius[self.correct].mean()) if self.correct.any() else 0.0

    def curve(self, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Certified accuracy at ``points`` radii from 0 to the largest radius of a correct image.

        Returns:
            radii (points,) and rates (points,) in [0, 1]; the rate at r counts images with radius > r.
        """
        radii = np.sort(self.radius[self.correct])
        grid = np.linspace(0.0, float(radii[-1]) if len(radii) else 1.0, points)
        return grid, (len(radii) - np.searchsorted(radii, grid, side="right")) / len(self)


@dataclass(frozen=True)
class Checked:
    """What became of a claim of somebody else that was held against the model and its images.

    Args:
        sampled: images that were evaluated anew.
        agreed: how many of them have the claimed class and radius.
        objection: what contradicts the claim before any image is looked at; empty where nothing does.
        attacks: whether the claim has attack distances too, which nothing here checks.
    """

    sampled: int
    agreed: int
    objection: str = ""
    attacks: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts the claim; it stays a claim about all other images."""
        return not self.objection and self.agreed == self.sampled

    def __str__(self) -> str:
        """In words that say just that.

        >>> str(Checked(64, 63)), str(Checked(0, 0, "they are of another model"))
        ('claimed; 63 of 64 random images agree', 'claimed, and contradicted: they are of another model')
        >>> str(Checked(64, 64, attacks=True))
        'claimed; 64 of 64 random images agree; attack distances were not checked'
        """
        if self.objection:
            return f"claimed, and contradicted: {self.objection}"
        unchecked = "; attack distances were not checked" if self.attacks else ""
        return f"claimed; {self.agreed} of {counted(self.sampled, 'random image')} agree{unchecked}"
