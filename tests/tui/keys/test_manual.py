import runpy
import tomllib
from pathlib import Path

from textual.theme import BUILTIN_THEMES

from lipscope.tui.keys.bindings import described
from lipscope.tui.keys.keymap import checked
from lipscope.tui.registry import SCREENS

DOCS = Path(__file__).parents[3] / "docs"
WRITER = runpy.run_path(str(DOCS / "keys.py"))


def test_the_page_is_what_the_tables_of_the_app_say():
    page = WRITER["page"]()
    assert page == (DOCS / "keys.md").read_text(encoding="utf-8")
    for screen in SCREENS:
        assert f"| `{screen.key}` {screen.title} | {screen.tooltip} | {screen.needs} |" in page
    for _, binding in described():
        assert f"| {binding.tooltip} | `{binding.id}` |" in page


def test_the_example_of_the_settings_holds():
    example = tomllib.loads(WRITER["SETTINGS"].partition("```toml\n")[2].partition("```")[0])
    assert example["theme"] in BUILTIN_THEMES
    assert checked(example["keys"]) == (example["keys"], [])
