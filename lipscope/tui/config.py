"""What the user has set: ``config.toml`` with a theme and other keys.

The file lies in the user's configuration folder, or where ``LIPSCOPE_CONFIG`` says. Whatever is wrong with it becomes
a sentence that the app shows; the rest of it holds.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipscope.files.opening import read_regular
from lipscope.tui.keys.keymap import checked
from lipscope.visible import harmless

VARIABLE = "LIPSCOPE_CONFIG"
KNOWN = ("theme", "keys")


@dataclass(frozen=True)
class Config:
    """The settings of the app."""

    theme: str | None = None  # the name of a built-in theme; None leaves Textual's
    keys: Mapping[str, str] = field(default_factory=dict)  # binding ids and the keys they get instead of their own
    complaints: tuple[str, ...] = ()  # what of the file could not be followed, a sentence each


def config_path() -> Path:
    """Where the settings are looked for."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_config_path("lipscope") / "config.toml"


def read_config(path: Path | None = None) -> Config:
    """The settings in a file; without one, none."""
    place = path or config_path()
    name = harmless(place, 60, keep="end")
    try:
        content = tomllib.loads(read_regular(place).decode())
    except FileNotFoundError:
        if path is None and os.environ.get(VARIABLE):
            return Config(complaints=(f"{VARIABLE} names {name}, which is not there",))
        return Config()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        return Config(complaints=(f"{name} cannot be read: {harmless(error, 120)}",))
    return _checked(content, name)


def _checked(content: Mapping[str, Any], name: str) -> Config:
    complaints = [
        f"{name}: unknown setting {harmless(key, 40)!r}; there are {' and '.join(KNOWN)}"
        for key in content
        if key not in KNOWN
    ]
    theme = content.get("theme")
    if theme is not None and not known_theme(theme):
        complaints.append(f"{name}: there is no theme {harmless(theme, 40)!r}; ctrl+p lists them")
        theme = None
    wanted = content.get("keys", {})
    if not isinstance(wanted, dict):
        complaints.append(f"{name}: keys must be a table, as in [keys]")
        wanted = {}
    keys, about_keys = checked(wanted)
    return Config(theme, keys, (*complaints, *(f"{name}: {complaint}" for complaint in about_keys)))


def known_theme(theme: object) -> bool:
    """Whether Textual has a theme of that name."""
    from textual.theme import BUILTIN_THEMES

    return theme in BUILTIN_THEMES
