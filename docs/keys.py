"""Write docs/keys.md: the screens and keys of the app, from the tables that the app itself is made of.

python docs/keys.py
"""

from __future__ import annotations

from pathlib import Path

from lipscope.tui.keys.manual import manual

if __name__ == "__main__":
    target = Path(__file__).with_name("keys.md")
    target.write_text(manual(), encoding="utf-8")
    print(target)
