import tomllib

from textual.theme import BUILTIN_THEMES

from lipscope.tui.keys.bindings import described
from lipscope.tui.keys.keymap import checked
from lipscope.tui.keys.manual import SETTINGS, manual
from lipscope.tui.registry import SCREENS


def test_every_screen_and_every_binding_is_on_the_page():
    page = manual()
    for screen in SCREENS:
        assert f"| `{screen.key}` {screen.title} | {screen.tooltip} | {screen.needs} |" in page
    for _, binding in described():
        assert f"| {binding.tooltip} | `{binding.id}` |" in page


def test_the_example_of_the_settings_holds():
    example = tomllib.loads(SETTINGS.partition("```toml\n")[2].partition("```")[0])
    assert example["theme"] in BUILTIN_THEMES
    assert checked(example["keys"]) == (example["keys"], [])
