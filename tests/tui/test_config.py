import os
from pathlib import Path

import pytest

from lipscope.tui.app import InspectApp
from lipscope.tui.config import Config, config_path, read_config
from lipscope.tui.dialogs.help import HelpScreen
from lipscope.tui.keys.bindings import described
from lipscope.tui.keys.keymap import checked
from lipscope.tui.registry import entry
from tests.tui.conftest import finished, screen_text, until, write_radii


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_is_no_complaint(tmp_path, monkeypatch):
    monkeypatch.delenv("LIPSCOPE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_config() == Config()
    assert config_path().name == "config.toml"


def test_the_variable_names_the_file_and_a_missing_one_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("LIPSCOPE_CONFIG", str(written(tmp_path, 'theme = "nord"')))
    assert read_config().theme == "nord"
    monkeypatch.setenv("LIPSCOPE_CONFIG", str(tmp_path / "none.toml"))
    assert "not there" in read_config().complaints[0]


def test_theme_and_keys_are_read(tmp_path):
    config = read_config(written(tmp_path, 'theme = "dracula"\n[keys]\n"layers.filter" = "f"\nquit = "ctrl+w,Q"\n'))
    assert config == Config("dracula", {"layers.filter": "f", "quit": "ctrl+w,Q"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("theme = ", "cannot be read"),
        ("\x00", "cannot be read"),
        ('theme = "nowhere"', "no theme 'nowhere'"),
        ("theme = 3", "no theme '3'"),
        ('colour = "red"', "unknown setting 'colour'"),
        ("keys = 3", "keys must be a table"),
        ('[keys]\nnowhere = "f"', "no binding 'nowhere'"),
        ("[keys]\nquit = 3", "quit = '3' is not a key"),
        ('[keys]\nquit = ""', "is not a key"),
        ('[keys]\nquit = "fish"', "quit = 'fish' is not a key"),
        ('[keys]\nquit = "r"', "quit = 'r' clashes with analysis.reload"),
        ('[keys]\n"layers.filter" = "e"', "layers.filter = 'e' clashes with export"),
        ('[keys]\nexport = "s"', "export = 's' clashes with layers.sort"),
        ('[keys]\n"\\u001b[2J" = "f"', "\\x1b[2J"),
    ],
)
def test_whatever_is_wrong_is_named_and_the_rest_holds(tmp_path, text, complaint):
    config = read_config(written(tmp_path, text))
    assert any(complaint in said for said in config.complaints), config.complaints
    assert not config.keys
    assert config.theme is None


def test_one_bad_entry_leaves_the_others(tmp_path):
    config = read_config(written(tmp_path, '[keys]\n"layers.filter" = "f"\n"layers.sort" = "q"\n'))
    assert config.keys == {"layers.filter": "f"}
    assert len(config.complaints) == 1


def test_keys_can_be_exchanged():
    assert checked({"layers.sort": "v", "layers.view": "s"}) == ({"layers.sort": "v", "layers.view": "s"}, [])


def test_the_same_key_on_two_screens_is_no_clash():
    assert checked({"layers.filter": "f", "radii.type": "f"})[1] == []


def test_the_defaults_clash_with_nothing():
    defaults = {str(binding.id): binding.key for _, binding in described()}
    assert checked(defaults) == (defaults, [])


async def test_a_remapped_key_works_the_old_one_does_not_and_help_shows_it(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script, config=Config(keys={"show.radii": "f9", "help": "H"}))
    async with finished(app) as pilot:
        await pilot.press(entry("radii").key)
        assert app.query_one("TabbedContent").active == "overview"
        await pilot.press("f9")
        await until(pilot, lambda: app.query_one("TabbedContent").active == "radii")
        await pilot.press("question_mark")
        assert not isinstance(app.screen, HelpScreen)
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "f9" in screen_text(app)


async def test_complaints_are_shown_and_the_app_works(model, script):
    app = InspectApp(model, analyse=script, config=Config(complaints=("config.toml: [b]odd[/b]",)))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: "config.toml: [b]odd[/b]" in screen_text(app))
        await until(pilot, lambda: "PROVED" in screen_text(app))


def test_a_file_that_nests_without_end_and_a_pipe_are_complained_of(tmp_path):
    place = tmp_path / "config.toml"
    place.write_text("a = " + "[" * 100_000)
    assert "cannot be read" in read_config(place).complaints[0]
    place.unlink()
    os.mkfifo(place)
    assert "a pipe, not a file" in read_config(place).complaints[0]
