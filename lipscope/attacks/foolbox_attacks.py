"""The l2 attacks of foolbox, an optional extra, through the same door: what they find is confirmed like everything."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch

from lipscope.attacks.best import Best
from lipscope.errors import UsageError
from lipscope.units import largest_not_above


def foolbox_attack(name: str) -> Any:
    """The attack of that class in ``foolbox.attacks``, with its default arguments.

    Raises:
        UsageError: foolbox is not installed, has no such attack, or the attack is not in l2 or needs arguments.
    """
    where = f"--foolbox {name}"
    attacks = _foolbox().attacks
    kind = getattr(attacks, name, None)
    known = sorted(other for other in dir(attacks) if other.startswith("L2"))
    if not isinstance(kind, type) or not issubclass(kind, attacks.base.Attack):
        raise UsageError("foolbox has no such attack", where=where, next_step=f"l2 attacks are {', '.join(known)}")
    try:
        attack = kind()
        distance = attack.distance
    except (TypeError, AttributeError, ValueError) as error:
        raise UsageError("cannot be run with default arguments", where=where, why=str(error)[:200]) from error
    if getattr(distance, "p", None) != 2:
        raise UsageError("not an l2 attack", where=where, next_step=f"l2 attacks are {', '.join(known)}")
    return attack


def run_foolbox(best: Best, name: str, eps: Sequence[Fraction], on_step: Callable[[], None] = lambda: None) -> None:
    """Run one attack of foolbox on every image; those of a fixed radius run at every eps.

    Args:
        best: what is known, and what is attacked.
        name: a class of ``foolbox.attacks``.
        eps: the radii.
        on_step: called once at the end.

    Raises:
        UsageError: as :func:`foolbox_attack`.
    """
    attack, foolbox, target = foolbox_attack(name), _foolbox(), best.target
    model = foolbox.PyTorchModel(target.net, bounds=(0, 1), device=target.pixels.device)
    minimal = isinstance(attack, foolbox.attacks.base.MinimizationAttack)
    radii = [None] if minimal else [largest_not_above(radius) for radius in sorted(set(eps))]
    with torch.random.fork_rng(enabled=True):
        # foolbox draws from torch's own generator.
        torch.manual_seed(hash((target.seed, target.index)))
        for radius in radii:
            _, points, _ = attack(model, target.images, target.predicted, epsilons=radius)
            points = points.detach().to(torch.float32).clamp(0, 1)
            rows = torch.nonzero(target.margin(points, target.everything()) < 0).squeeze(1)
            if len(rows):
                best.offer_nearest(points[rows], rows)
    on_step()


def _foolbox() -> Any:
    try:
        with warnings.catch_warnings():
            # foolbox 3.3.4 imports names by addresses that scipy has deprecated since.
            warnings.simplefilter("ignore", DeprecationWarning)
            import foolbox
    except ImportError as error:
        raise UsageError(
            "foolbox is not installed", where="--foolbox", why=str(error), next_step="pip install 'lipscope[attack]'"
        ) from error
    return foolbox
