"""What the app remembers between two sessions: theme, eps, its list of radii, screen in front, folds, recent files.

It lies beside ``config.toml``, which is the user's own and is never written. Whatever is wrong with it is as if it were
not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from lipscope.errors import LipscopeError
from lipscope.files.opening import read_regular
from lipscope.tui.config import config_path, known_theme
from lipscope.tui.registry import SCREENS
from lipscope.units import DEFAULT_EPS, format_eps, parse_eps

NAME = "remembered.json"
RECENT = 20
MOST_RADII = 4


@dataclass(frozen=True)
class Remembered:
    """One session for the next."""

    theme: str | None = None  # that was chosen; None for the configured one
    eps: Fraction = DEFAULT_EPS[0]  # the radius chosen
    screen: str | None = None  # in front at the end
    recent: tuple[Path, ...] = ()  # files that were open, the last one first
    place: Path | None = None  # of the file; None keeps nothing
    # that were typed, the last one first; the tables list them with those of the literature
    radii: tuple[Fraction, ...] = ()
    # panes that were folded or unfolded by hand, by ``screen.side``
    folds: Mapping[str, bool] = field(default_factory=dict)

    def listed(self, eps: Fraction, *, there: bool = True) -> Remembered:
        """The same with a further radius in the list, where the literature has not got it, or without it."""
        others = tuple(one for one in self.radii if one != eps)
        added = there and eps != 0 and eps not in DEFAULT_EPS
        return replace(self, radii=(eps, *others)[:MOST_RADII] if added else others)

    def opened(self, path: Path) -> Remembered:
        """The same with a further recent file."""
        whole = path.absolute()
        return replace(self, recent=(whole, *(one for one in self.recent if one != whole))[:RECENT])

    def keep(self) -> None:
        """Write it; a folder that cannot be written to is no failure of the app."""
        from lipscope.files.checkpoint import atomic_path

        if self.place is None:
            return
        facts = {**vars(self), "place": None, "eps": format_eps(self.eps), "radii": [*map(format_eps, self.radii)]}
        with suppress(LipscopeError, OSError):
            self.place.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.place) as temporary:
                temporary.write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")


def remembered(place: Path | None = None) -> Remembered:
    """What the last session left behind."""
    place = place or config_path().with_name(NAME)
    try:
        facts = json.loads(read_regular(place))
    except (OSError, ValueError, RecursionError):
        facts = {}
    return _checked(facts if isinstance(facts, dict) else {}, place)


def _checked(facts: Mapping[str, Any], place: Path) -> Remembered:
    theme, screen, recent = facts.get("theme"), facts.get("screen"), facts.get("recent")
    eps, radii, folds = _radius(facts.get("eps")), facts.get("radii"), facts.get("folds")
    known = [_radius(text) for text in radii[:MOST_RADII]] if isinstance(radii, list) else []
    folded = folds.items() if isinstance(folds, dict) else ()
    return Remembered(
        theme if isinstance(theme, str) and known_theme(theme) else None,
        DEFAULT_EPS[0] if eps is None else eps,
        screen if screen in [one.id for one in SCREENS] else None,
        tuple(Path(path) for path in recent if isinstance(path, str))[:RECENT] if isinstance(recent, list) else (),
        place,
        tuple(eps for eps in known if eps is not None),
        {name: closed for name, closed in folded if isinstance(closed, bool)},
    )


def _radius(text: object) -> Fraction | None:
    with suppress(LipscopeError):
        return parse_eps(text) if isinstance(text, str) else None
    return None
