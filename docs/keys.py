"""Write docs/keys.md: the screens and keys of the app, from the tables that the app itself is made of.

python docs/keys.py
"""

from __future__ import annotations

from pathlib import Path

from lipscope.tui.keys.bindings import BINDINGS, key_text
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


def page() -> str:
    """The whole page: a table of the screens, then one of the keys for each place where they hold."""
    parts = [INTRODUCTION, "## Screens\n", "| screen | what it shows | needs |", "|---|---|---|"]
    parts += [f"| `{screen.key}` {screen.title} | {screen.tooltip} | {screen.needs} |" for screen in SCREENS]
    parts += ["\n## Keys"]
    for scope, bindings in BINDINGS.items():
        parts += [f"\n### {scope}\n", "| key | what it does | name |", "|---|---|---|"]
        for binding in bindings:
            key = key_text(binding).replace("|", "\\|").replace("question_mark", "?")
            parts.append(f"| `{key}` | {binding.tooltip} | `{binding.id}` |")
    return "\n".join([*parts, "", SETTINGS])


if __name__ == "__main__":
    target = Path(__file__).with_name("keys.md")
    target.write_text(page(), encoding="utf-8")
    print(target)
