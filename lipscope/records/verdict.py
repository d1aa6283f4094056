"""What is proved of a network: the constants along its chain, and the verdict, which names the part it speaks of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lipscope.records.numbers import Bound, round_up

VERDICT_TOLERANCE = 1e-9
"""How far above 1 a proved product may lie (rounding of the bounds) and still be called 1-Lipschitz."""

Place = Literal["pixels", "normalised", "input", "features", "logits", "output"]
"""Between two parts of a network. ``input`` stands for the first two where nothing is normalised, ``output`` for the
last two where there is no head."""

IN_WORDS: dict[str, str] = {"normalised": "normalised pixels"}


def allowed(limit: float) -> float:
    """The largest proved bound that passes for a limit: itself; for 1 what is called 1-Lipschitz, rounding counted.

    >>> allowed(2.0), allowed(1.0) > 1
    (2.0, True)
    """
    return 1 + VERDICT_TOLERANCE if limit == 1 else limit


@dataclass(frozen=True)
class Scope:
    """The part of a network that a constant is about, as a function of what enters it.

    >>> str(Scope("normalised", "features"))
    'from normalised pixels to features'
    """

    start: Place
    end: Place

    def __str__(self) -> str:
        """In words."""
        return f"from {IN_WORDS.get(self.start, self.start)} to {self.end}"

    def to_json(self) -> dict[str, str]:
        """Under ``scope`` in ``lipscope.inspect/1``."""
        return {"from": self.start, "to": self.end}


@dataclass(frozen=True)
class Arrow:
    """One arrow of the chain: a part of the network with its Lipschitz constant.

    Args:
        scope: from where to where.
        bound: on the part as a function.
        layers: how many layers it has.
        pairs: of a head, a bound on every difference of two logits, which is what radii divide by; else None.
    """

    scope: Scope
    bound: Bound
    layers: int
    pairs: Bound | None = None

    def to_json(self) -> dict[str, Any]:
        """Under ``chain`` in ``lipscope.inspect/1``."""
        return {
            **self.scope.to_json(),
            "layers": self.layers,
            "bound": self.bound.to_json(),
            "pairs": self.pairs.to_json() if self.pairs else None,
        }


@dataclass(frozen=True)
class Chain:
    """A network from end to end: pixels -> normalised -> features -> logits, with the constant of each arrow.

    Args:
        arrows: in forward order; without a normalisation, or without a head, there is no arrow for it.
        body: the arrow that the verdict is about.
        whole: the product of all.
    """

    arrows: tuple[Arrow, ...]
    body: Arrow
    whole: Arrow

    def to_json(self) -> dict[str, Any]:
        """Under ``chain`` in ``lipscope.inspect/1``."""
        return {"arrows": [arrow.to_json() for arrow in self.arrows], "whole": self.whole.to_json()}


@dataclass(frozen=True)
class Check:
    """A proved constant held against a limit.

    By the bounds alone: a vector that breaks the limit 1 does not break a larger one.

    Args:
        limit: on the Lipschitz constant.
        asked: the part of the network; None where the file does not say how its tensors are connected.

    >>> str(Check(2.0, None))
    'FAILED: no bound is proved, the limit is 2'
    """

    limit: float
    asked: Arrow | None

    @property
    def within(self) -> bool:
        """Whether it is proved to hold."""
        return self.asked is not None and self.asked.bound.proved and self.asked.bound.value <= allowed(self.limit)

    def __str__(self) -> str:
        """The answer; the verdict speaks of 1 whatever the limit is."""
        about = f" {self.asked.scope}" if self.asked else ""
        proved = self.asked.bound if self.asked and self.asked.bound.proved else None
        bound = f"L <= {round_up(proved.value)} is proved" if proved else "no bound is proved"
        most = allowed(self.limit)
        rounding = f" (up to {most}, for rounding)" if most != self.limit else ""
        shortest = repr(self.limit).removesuffix(".0")
        return f"{'passed' if self.within else 'FAILED'}: {bound}{about}, the limit is {shortest}{rounding}"

    def to_json(self) -> dict[str, Any]:
        """Under ``check`` in ``lipscope.inspect/1``."""
        bound = self.asked.bound.to_json()["value"] if self.asked else None
        scope = self.asked.scope.to_json() if self.asked else None
        return {
            "limit": self.limit, "allowed": allowed(self.limit), "proved": bound, "within": self.within, "scope": scope,
        }  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The answer to the question: is this part of the network really 1-Lipschitz?

    Args:
        status: ``"proved"``: a constant of at most 1 is proved; ``"bounded"``: only a larger one is;
            ``"violated"``: two inputs are proved to be moved apart; ``"not-proved"``: none of these.
        lipschitz: the proved upper bound (``proved``, ``bounded``), the proved ratio of two inputs (``violated``),
            else None.
        reason: the layer and the method that decide, in words.
        layer: the name of the layer that decides, for ``violated`` the one that expands; None where it is not one
            alone.
        scope: the part that it speaks of, but where one layer violates; None where the file does not say how its
            tensors are connected.
        searching: whether a violation is still being searched for, so that this is not yet the last word.
    """

    status: Literal["proved", "bounded", "violated", "not-proved"]
    lipschitz: float | None
    reason: str
    layer: str | None = None
    scope: Scope | None = None
    searching: bool = False

    @property
    def claim(self) -> str:
        """What is said, without the reason.

        >>> Verdict("proved", 1.0, "why", scope=Scope("normalised", "features")).claim
        'PROVED 1-Lipschitz (L <= 1) from normalised pixels to features'
        >>> Verdict("bounded", 332.5, "why").claim
        'BOUNDED: L <= 332.5 is proved, 1-Lipschitz is not'
        """
        about = f" {self.scope}" if self.scope else ""
        if self.status == "proved" and self.lipschitz is not None:
            return f"PROVED 1-Lipschitz (L <= {round_up(self.lipschitz)}){about}"
        if self.status == "bounded" and self.lipschitz is not None:
            return f"BOUNDED: L <= {round_up(self.lipschitz)} is proved{about}, 1-Lipschitz is not"
        if self.status == "violated":
            return (
                f"VIOLATED: layer {self.layer} is not 1-Lipschitz"
                if self.layer
                else f"VIOLATED: not 1-Lipschitz{about}"
            )
        return f"NOT PROVED{about}"

    @property
    def headline(self) -> str:
        """One line for a person.

        >>> Verdict("proved", 1.0, "product of 12 layers").headline
        'PROVED 1-Lipschitz (L <= 1) (product of 12 layers)'
        """
        searching = "; a violation is still searched for" if self.searching else ""
        return f"{self.claim} ({self.reason}{searching})"

    def to_json(self) -> dict[str, Any]:
        """The verdict as in ``lipscope.inspect/1``."""
        scope = self.scope.to_json() if self.scope else None
        return {**asdict(self), "scope": scope, "headline": self.headline}
