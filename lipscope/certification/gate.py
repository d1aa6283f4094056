"""A gate for continuous integration: a certified accuracy that a model must reach."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lipscope.errors import UsageError
from lipscope.records.certificates import WORDS, Certificates
from lipscope.units import exact_number, format_eps, parse_eps


@dataclass(frozen=True)
class Requirement:
    """A certified accuracy of at least ``rate`` at ``eps``, both exact."""

    rate: Fraction
    eps: Fraction


@dataclass(frozen=True)
class Held:
    """What became of a requirement.

    Args:
        requirement: what was asked for.
        count, n: how many images are certified, of how many.
        missing: how many more would have met it; 0 when it is met.
    """

    requirement: Requirement
    count: int
    n: int
    missing: int

    @property
    def met(self) -> bool:
        """Whether count / n >= rate, exactly."""
        return not self.missing

    def to_json(self) -> dict[str, object]:
        """An element of ``min_certified`` in ``lipscope.certify/2``."""
        wanted = self.requirement
        return {
            "eps": format_eps(wanted.eps), "required": str(wanted.rate), "count": self.count, "met": self.met,
            "missing": self.missing,
        }  # fmt: skip

    def __str__(self) -> str:
        """One line for a person, of a requirement that is not met."""
        rate, short = self.requirement.rate, self.requirement.rate - Fraction(self.count, self.n)
        return (
            f"certified accuracy at {format_eps(self.requirement.eps)} is {self.count} of {self.n}, "
            f"{float(short) * 100:.4g} points below the {float(rate) * 100:g}% asked for: "
            f"{self.missing} more image{'s' if self.missing > 1 else ''} needed"
        )


def parse_requirement(text: str) -> Requirement:
    """A requirement from ``"0.6@36/255"``; the rate may be a percentage or a fraction.

    Raises:
        UsageError: not of this form, or a rate outside [0, 1].

    >>> parse_requirement("60%@0.5")
    Requirement(rate=Fraction(3, 5), eps=Fraction(1, 2))
    """
    where = f"--min-certified {text[:40]}"
    written, at, radius = text.partition("@")
    number = written.strip().removesuffix("%")
    if not at:
        raise UsageError("not a rate at a radius", where=where, next_step="write it like 0.6@36/255")
    try:
        rate = exact_number(number) / (100 if number != written.strip() else 1)
    except (ValueError, ArithmeticError) as error:
        raise UsageError("the rate is not a number", where=where, next_step="write it like 0.6@36/255") from error
    if not 0 <= rate <= 1:
        raise UsageError(
            "the rate is not between 0 and 1", where=where, next_step="write it like 0.6@36/255 or 60%@36/255"
        )
    return Requirement(rate, parse_eps(radius))


def held(requirement: Requirement, certificates: Certificates) -> Held:
    """Hold the requirement against labelled certificates, in exact arithmetic.

    Raises:
        UsageError: they have no labels, or are estimates or somebody else's claims, which pass no gate.
    """
    if certificates.standing not in ("proved", "own"):
        raise UsageError("--min-certified needs proved radii", why=f"these are {WORDS[certificates.standing]}")
    if not certificates.labelled:
        raise UsageError("--min-certified needs labels", why="these images have none")
    n, count = len(certificates), certificates.certified_count(requirement.eps)
    needed = -(-requirement.rate.numerator * n // requirement.rate.denominator)
    return Held(requirement, count, n, max(0, needed - count))
