"""Householder activations of order 1 and 2 on pairs of channels (Singla, Singla & Feizi, ICLR 2022, section 5).

Continuous, and an isometry on each piece: 1-Lipschitz with an orthogonal Jacobian almost everywhere.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.layers.groupsort import GroupActivation

TRIGONOMETRIC_ROUNDOFFS = 8
"""What sin, cos and atan2 of torch may be off by relatively, in units of u: 4 units in the last place.

An assumption about libraries, with room: the worst found in the tests is 3.1, CUDA documents at most 2 units in the
last place (4 u) for the functions that torch calls.
"""


class PairActivation(GroupActivation):
    """An activation on pairs (x, y) of channels c and c + C/2.

    Args:
        channels: C, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

    @classmethod
    def made(cls, channels: int, group_size: int) -> PairActivation:
        """With angles for so many channels."""
        return cls(channels)

    def groups(self, members: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The two members of every pair."""
        return self.pairs(*members)

    @abstractmethod
    def pairs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The activation of the pairs (x, y), both (N, C/2, ...)."""


class HouseHolder1(PairActivation):
    """Reflect (x, y) in the line at angle theta/2 when x sin(theta/2) - y cos(theta/2) > 0 (ICLR 2022, eq. 6).

    theta = pi/2 sorts each pair and is the initial value.

    Args:
        channels: C, even; there is one angle for each of the C/2 pairs.
    """

    kind = "Householder, order 1"

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.theta = nn.Parameter(torch.full((channels // 2,), math.pi / 2))

    def pairs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Identity on one half plane, reflection on the other; they agree on the line between."""
        theta = _angles(self.theta, x)
        reflect = x * torch.sin(theta / 2).to(x.dtype) - y * torch.cos(theta / 2).to(x.dtype) > 0
        mirrored_x, mirrored_y = _reflection(x, y, theta)
        return torch.where(reflect, mirrored_x, x), torch.where(reflect, mirrored_y, y)

    def relative_error(self, arithmetic: Arithmetic) -> float:
        """That of the reflection, and twice that of the decision.

        A wrong decision is taken only where |x sin(theta/2) - y cos(theta/2)|, the distance from the line, is at most
        the decision's error; the reflection moves (x, y) by twice that distance.
        """
        return outward(3 * _turning_error(0.0, arithmetic))


class HouseHolder2(PairActivation):
    """Four sectors: identity, reflection, rotation, reflection (ICLR 2022, section 5 and appendix).

    With phi = angle(x, y) - theta0/2 mod 2 pi the sectors end at theta1/2, (theta1 + theta2)/2, pi + theta2/2 and
    2 pi. The last one is everything that the others leave, so that a phi rounded to 2 pi lands in it.
    Initially theta = (pi/2, pi, 0), which sorts each pair like order 1.

    Args:
        channels: C, even; there are three angles in [0, 2 pi] for each of the C/2 pairs.
    """

    kind = "Householder, order 2"

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        pairs = channels // 2
        self.theta0 = nn.Parameter(torch.full((pairs,), math.pi / 2))
        self.theta1 = nn.Parameter(torch.full((pairs,), math.pi))
        self.theta2 = nn.Parameter(torch.zeros(pairs))

    def pairs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Each piece is an isometry, and neighbours agree on the rays between them."""
        theta0, theta1, theta2 = (_held(_angles(theta, x)) for theta in (self.theta0, self.theta1, self.theta2))
        with torch.no_grad():
            angle = torch.atan2(y.to(theta0.dtype), x.to(theta0.dtype))
            phi = torch.remainder(angle - theta0 / 2, 2 * math.pi)
            in_first = phi < theta1 / 2
            in_second = phi < (theta1 + theta2) / 2
            in_third = phi < math.pi + theta2 / 2
        reflected = _reflection(x, y, theta0 + theta1)
        rotated = _rotation(x, y, theta2)
        mirrored = _reflection(x, y, theta0)

        def choose(axis: int) -> Tensor:
            outer = torch.where(in_third, rotated[axis], mirrored[axis])
            return torch.where(in_first, (x, y)[axis], torch.where(in_second, reflected[axis], outer))

        return choose(0), choose(1)

    def relative_error(self, arithmetic: Arithmetic) -> float:
        """That of the turn by a sum of two angles, and twice the angle by which a sector can be missed.

        In units of u: 2 pi itself is off by 3, so a held angle by 3, and a sum of two by 6 + 4 pi. phi is off by pi
        times the relative error of atan2, by 1.5 for theta0/2, by 2 pi for each of two roundings below 2 pi, and by 6
        for two moduli; the ends of sectors by at most 3 + 2 pi. A sector chosen wrongly thus holds a pair of the same
        length within the sum a of these angles, where f is that piece: both are 1-Lipschitz, so they differ by 2 a |v|.
        """
        u = arithmetic.unit_roundoff
        missed = (math.pi * TRIGONOMETRIC_ROUNDOFFS + 1.5 + 4 * math.pi + 6 + 3 + 2 * math.pi) * u
        # 1.01 for the products of these small numbers.
        return outward(_turning_error((6 + 4 * math.pi) * u, arithmetic) + 2 * 1.01 * missed)


def _turning_error(angle: float, arithmetic: Arithmetic) -> float:
    """A bound on the error of a rotation or reflection of v by a computed angle that is off by ``angle``, over ||v||.

    That moves the result by at most as much; errors t of sine and cosine by sqrt(2) t, and each of the two sums of two
    products errs by gamma_2 (|x cos| + |y sin|). One sum alone, as in a decision, errs by no more.
    """
    factors = angle + math.sqrt(2) * TRIGONOMETRIC_ROUNDOFFS * arithmetic.unit_roundoff
    return outward(factors + math.sqrt(2) * arithmetic.gamma(2) * (1 + factors))


def _angles(theta: Tensor, x: Tensor) -> Tensor:
    """The (C/2,) angles shaped for (N, C/2, ...), in float32 even where x is bfloat16."""
    dtype = torch.promote_types(theta.dtype, x.dtype)
    return theta.to(dtype).reshape(1, -1, *([1] * (x.ndim - 2)))


def _held(theta: Tensor) -> Tensor:
    """The angles held to [0, 2 pi]; on the ends too they can be learnt, which torch.clamp forbids in some versions.

    In the dtype of the evaluation: the float32 next to 2 pi lies above it, and beyond 2 pi the pieces do not meet.
    """
    inside = (theta >= 0.0) & (theta <= 2 * math.pi)
    return torch.where(inside, theta, theta.detach().clamp(0.0, 2 * math.pi))


def _reflection(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The mirror image in the line at angle / 2."""
    cosine, sine = torch.cos(angle).to(x.dtype), torch.sin(angle).to(x.dtype)
    return x * cosine + y * sine, x * sine - y * cosine


def _rotation(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The rotation by -angle."""
    cosine, sine = torch.cos(angle).to(x.dtype), torch.sin(angle).to(x.dtype)
    return x * cosine + y * sine, y * cosine - x * sine
