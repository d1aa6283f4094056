"""The screens and the keys as Markdown: what the README and docs/keys.md print is made from the app's own tables."""

from __future__ import annotations

from lipscope.tui.keys.bindings import described, key_text
from lipscope.tui.registry import SCREENS

INTRODUCTION = """# The app's screens and keys

Made by `python docs/keys.py` from the tables that the app itself is made of; inside the app `?` shows the same, and
`f1` what holds on the screen in front.
"""

SETTINGS = """## Other keys, another theme

`config.toml` in the user's configuration folder (on Linux `~/.config/lipscope/config.toml`), or the file that
`LIPSCOPE_CONFIG` names:

```toml
theme = "gruvbox"

[keys]
"layers.filter" = "f"
"quit" = "ctrl+w,Q"
```

The names on the left are those of the last column above; several keys are separated by commas. What cannot be followed
(an unknown name, no key, a key with another meaning at the same time) is said when the app opens, and the rest holds.
"""


def screens_table() -> str:
    """The screens as a table: key, what is shown, what it needs."""
    lines = ["| screen | what it shows | needs |", "|---|---|---|"]
    lines += [f"| `{screen.key}` {screen.title} | {screen.tooltip} | {screen.needs} |" for screen in SCREENS]
    return "\n".join(lines) + "\n"


def keys_tables() -> str:
    """The keys, one table for each place where they hold."""
    parts: list[str] = []
    scope_before = ""
    for scope, binding in described():
        if scope != scope_before:
            parts.append(f"\n### {scope}\n\n| key | what it does | name |\n|---|---|---|\n")
            scope_before = scope
        key = key_text(binding).replace("|", "\\|").replace("question_mark", "?")
        parts.append(f"| `{key}` | {binding.tooltip} | `{binding.id}` |\n")
    return "".join(parts).lstrip("\n")


def manual() -> str:
    """The whole page.

    >>> "| `1` Overview |" in manual()
    True
    """
    return "\n".join([INTRODUCTION, "## Screens\n", screens_table(), "## Keys\n", keys_tables(), SETTINGS])
