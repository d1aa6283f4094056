from textual.binding import Binding

from lipscope.tui.app import InspectApp
from lipscope.tui.dialogs.copy import CopyScreen
from lipscope.tui.dialogs.export import ExportScreen
from lipscope.tui.dialogs.help import HelpScreen, help_table
from lipscope.tui.keys.bindings import BINDINGS, described, key_text
from lipscope.tui.registry import SCREENS
from lipscope.tui.start.screen import OpenScreen


def test_every_binding_is_complete_and_unique():
    ids = [binding.id for _, binding in described()]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    for _, binding in described():
        assert binding.description
        assert binding.tooltip
        assert key_text(binding)


def test_no_key_means_two_things_at_once():
    everywhere = {key for binding in BINDINGS["Everywhere"] for key in binding.key.split(",")}
    for screen in SCREENS:
        keys = [key for binding in BINDINGS.get(screen.title, ()) for key in binding.key.split(",")]
        assert len(keys) == len(set(keys))
        assert not everywhere & set(keys)


def test_every_binding_has_its_action():
    dialogs = {"Help": HelpScreen, "Export": ExportScreen, "Copy": CopyScreen, "Open": OpenScreen}
    owners = {"Everywhere": InspectApp, "Move": InspectApp, **dialogs, **{s.title: s.load() for s in SCREENS}}
    for scope, binding in described():
        assert isinstance(binding, Binding)
        action = binding.action.partition("(")[0]
        owner = InspectApp if action.startswith("app.") else owners[scope]
        action = action.removeprefix("app.")
        assert callable(getattr(owner, f"action_{action}")), binding


def test_help_lists_the_whole_table():
    assert help_table({}, list(BINDINGS), 120).row_count >= sum(len(bindings) for bindings in BINDINGS.values())


def test_a_narrow_help_keeps_every_word_in_one_column():
    cells = [list(column.cells) for column in help_table({}, ["Layers"], 60).columns]
    assert "Sort: Sort by the next column; numbers worst first" in map(str, cells[2])
    assert not any(map(str, cells[1]))
