import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textual.widgets import OptionList

from lipscope.files.results import results_path, write_results
from lipscope.records import Estimate
from lipscope.tui.app import InspectApp
from lipscope.tui.dialogs.copy import CopyScreen
from lipscope.tui.dialogs.export import ExportScreen
from lipscope.tui.dialogs.formats import as_csv, as_json, free_path
from lipscope.tui.panes import Sheet
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.work.state import State
from lipscope.units import largest_not_above, parse_eps
from tests.tui.conftest import Script, bounds, finished, measured, screen_text, until, words, write_radii


async def export(pilot, keys: str, path: str) -> Path:
    """Press e, choose the format with some keys, type the path, enter."""
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.screen, ExportScreen))
    await pilot.press(*keys.split(), "tab")
    pilot.app.screen.query_one("#export-path").value = path
    await pilot.press("enter")
    await until(pilot, lambda: not isinstance(pilot.app.screen, ExportScreen))
    return Path(path)


def test_csv_escapes_names_that_are_formulas_or_drive_terminals():
    text = as_csv(
        Sheet(
            [
                {"name": name, "value": value}
                for name, value in (("=cmd()", 1.5), ('a,"b"\n\x1b[2J', None), ("-1", True))
            ]
        )
    )
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["name", "value"], ["'=cmd()", "1.5"], ['a,"b"\\n\\x1b[2J', ""], ["'-1", "True"]]


def test_json_is_json_even_of_nan(model):
    from lipscope.files.checkpoint import read_header

    text = as_json(Sheet([{"x": float("nan")}, {"x": 1.0}]), SCREENS[0], State(read_header(model)))
    document = json.loads(text, parse_constant=pytest.fail)
    assert document["rows"] == [{"x": None}, {"x": 1.0}]
    assert document["schema"] == "lipscope.screen/1"


def test_a_free_name_is_found(tmp_path):
    model = Path("/somewhere/a.b.safetensors")
    assert free_path(tmp_path, model, "radii", "svg").name == "a.b-radii.svg"
    (tmp_path / "a.b-radii.svg").touch()
    (tmp_path / "a.b-radii-2.svg").touch()
    assert free_path(tmp_path, model, "radii", "svg").name == "a.b-radii-3.svg"


async def test_layers_as_csv_are_the_rows_shown_in_their_order(model, script, tmp_path):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("2", "s", "slash", *"conv", "enter")
        path = await export(pilot, "down down", str(tmp_path / "out.csv"))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    reports = sorted((r for r in bounds() if "conv" in r.name), key=lambda r: -r.bound.value)
    assert [row["name"] for row in rows] == [report.name for report in reports]
    assert [float(row["bound"]) for row in rows] == [report.bound.value for report in reports]
    assert rows[0]["bound_proved"] == "True"
    assert float(rows[0]["sigma_max_estimate"]) == measured(reports[0], 10).sigma_max.value


async def test_radii_as_json_count_what_the_arrays_hold(model, script, tmp_path):
    plain = write_radii(model)
    broken = plain.radius + 0.1
    both = replace(plain, attack_distance=broken, attack={"name": "by hand"})
    write_results(results_path(model), both, {})
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry("radii").key, "right")
        await until(pilot, lambda: "attack ≤" in screen_text(app))
        path = await export(pilot, "down", str(tmp_path / "out.json"))
    document = json.loads(path.read_text())
    assert document["model"]["sha256"] == plain.model_sha256
    assert document["standing"] == "own"
    everything = {row["radius_above"]: row for row in document["rows"] if row["class"] == "all"}
    assert list(everything) == ["36/255", "37/255", "72/255", "108/255", "255/255"]
    for name, row in everything.items():
        eps = largest_not_above(parse_eps(name))
        for column, values in (
            ("certified", plain.radius),
            ("not_broken_by_attack", broken),
        ):
            assert row[column] == int(np.sum(plain.correct & (values > eps))), (name, column)
    classes = [row for row in document["rows"] if row["class"] != "all"]
    for row in classes:
        mask = plain.label == row["class"]
        assert (row["images"], row["correct"]) == (mask.sum(), (mask & plain.correct).sum())
        assert (
            row["certified"] == (mask & plain.correct & (plain.radius > largest_not_above(parse_eps("37/255")))).sum()
        )
    assert sum(row["certified"] for row in classes) == everything["37/255"]["certified"]


async def test_the_picture_is_what_was_seen_before_the_dialog(model, script, tmp_path):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        path = await export(pilot, "", str(tmp_path / "out.svg"))
    text = path.read_text()
    assert text.startswith("<svg")
    assert "recomputed" in text
    assert "export" not in text.replace("Export", "")


async def test_it_proposes_a_name_says_where_and_never_replaces_unasked(model, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = InspectApp(model, analyse=script)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: app.settled)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        assert app.screen.query_one("#export-path").value == "model-overview.svg"
        await pilot.press("enter")
        await until(pilot, lambda: "model-overview.svg" in screen_text(app) and "written" in screen_text(app))
        (tmp_path / "mine.txt").write_text("precious")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        assert app.screen.query_one("#export-path").value == "model-overview-2.svg"
        app.screen.query_one("#export-path").value = "mine.txt"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: "enter again replaces it" in words(app, "#export"))
        assert (tmp_path / "mine.txt").read_text() == "precious"
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ExportScreen))
        assert (tmp_path / "mine.txt").read_text() == "precious"


async def test_a_place_that_cannot_be_written_is_told_inside_the_dialog(model, script, tmp_path):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        for value, complaint in [
            (str(tmp_path), "that is a folder"),
            (str(tmp_path / "no/a.svg"), "cannot be written"),
        ]:
            app.screen.query_one("#export-path").value = value
            await pilot.pause()
            await pilot.press("enter")
            await until(pilot, lambda complaint=complaint: complaint in screen_text(app))


async def test_the_format_changes_the_ending(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        entry_line = app.screen.query_one("#export-path")
        await pilot.press("down")
        await until(pilot, lambda: entry_line.value == "model-overview.json")
        entry_line.value = "sub/mine.json"
        await pilot.press("down")
        await until(pilot, lambda: entry_line.value == "sub/mine.csv")


# Copy


@pytest.mark.parametrize(
    ("screen", "keys", "parts"),
    [
        ("overview", (), ["PROVED 1-Lipschitz", "% certified at 36/255"]),
        ("layers", ("g", "g", "down"), ["stage1.block1.conv\tSOC 3x3, stride 2", "skew kernel"]),
        ("radii", ("right", "j"), ["eps 37/255\t", "\tclass 1\t"]),
    ],
)
async def test_c_copies_what_is_selected(model, script, screen, keys, parts):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry(screen).key)
        await pilot.pause()
        await pilot.press(*keys, "c")
        await pilot.pause()
        for part in parts:
            assert part in app.clipboard


@pytest.mark.parametrize(
    ("screen", "keys", "name", "copied"),
    [
        ("overview", ("j",), "reason", "the product of 10 layers"),
        ("layers", ("g", "g", "down"), "bound", "1.00000000013"),
        ("radii", ("j",), "1: correct", ""),
    ],
)
async def test_capital_c_copies_one_value_alone(model, script, screen, keys, name, copied):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry(screen).key)
        await pilot.pause()
        await pilot.press(*keys, "C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        names = [one for one, _ in app.screen._cells]
        assert name in names
        await pilot.press(*["j"] * names.index(name), "enter")
        await until(pilot, lambda: app.clipboard)
        assert "\t" not in app.clipboard
        assert copied in app.clipboard
        assert app.clipboard == str(app.front.cells()[name])


async def test_escape_and_the_mouse_work_in_the_list_of_values(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry("layers").key, "g", "g", "C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, CopyScreen))
        assert app.clipboard == ""
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        await pilot.click("#copy-values", offset=(3, 1))
        await until(pilot, lambda: app.clipboard == "input normalisation")


async def test_the_value_under_the_cursor_is_seen_whole_in_a_small_window(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, size=(60, 20)) as pilot:
        await pilot.press(entry("layers").key, "g", "g", "down", "C")
        await until(pilot, lambda: isinstance(app.screen, CopyScreen))
        names = [name for name, _ in app.screen._cells]
        value = app.screen._cells[names.index("bound_method")][1]
        assert "Taylor" in value
        assert "Taylor" not in screen_text(app)
        await pilot.press(*["j"] * names.index("bound_method"))
        await until(pilot, lambda: set(value.split()) <= set(screen_text(app).split()))
        for down in "jjjjjjjjjj":  # the line under the cursor stays in sight, whatever stands below the list
            await pilot.press(down)
            place = app.screen.query_one(OptionList).highlighted
            await until(pilot, lambda place=place: app.screen._cells[place][0] in screen_text(app))


async def test_with_nothing_selected_there_is_no_list_of_values(model):
    app = InspectApp(model, analyse=Script())
    async with finished(app) as pilot:
        await pilot.press(entry("radii").key, "C")
        await pilot.pause()
        assert not isinstance(app.screen, CopyScreen)
        assert app.clipboard == ""


async def test_with_nothing_selected_the_clipboard_is_left_alone(model):
    app = InspectApp(model, analyse=Script())
    async with finished(app) as pilot:
        await pilot.press(entry("radii").key, "c")
        await pilot.pause()
        assert app.clipboard == ""


def test_every_row_of_layers_has_the_same_columns():
    from lipscope.tui.layers.rows import Row, sheet_row

    report = replace(bounds()[1], sigma_max=Estimate(float("inf"), "\x1b"))
    assert list(sheet_row(Row("a", "b", report))) == list(sheet_row(Row("a", "b")))
