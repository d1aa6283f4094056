import json
from collections import deque
from dataclasses import replace

import numpy as np
from safetensors.numpy import save_file

from lipscope.records import AnalysisEvent, Bound, Estimate, LayerReport, Spectrum
from lipscope.tui.app import InspectApp
from lipscope.tui.keys.motion import focus, go
from lipscope.tui.layers.pane import LayersPane
from lipscope.tui.widgets.chart import Chart
from lipscope.tui.widgets.long_list import LongList
from tests.tui.conftest import Script, bounds, finished, listed, measured, screen_text, until, words, write_checkpoint


async def layers(pilot, *, unfold=True) -> LongList:
    """The list, without layers folded together, the cursor on its first line."""
    await pilot.press("2")
    await until(pilot, lambda: "bound ≤" in screen_text(pilot.app))
    pane = pilot.app.query_one(LayersPane)
    if unfold:
        pane._unfolded |= {row.key for row in pane._rows}
        pane._arrange()
        await pilot.press("home")
    return pilot.app.query_one("#layers-list", LongList)


def names(app) -> list[str]:
    return [item[0].key for item in app.query_one(LayersPane)._lines]


async def test_one_line_tells_bound_singular_values_and_gradient(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (160, 40)) as pilot:
        await layers(pilot)
        line = listed(app, "#layers-list")[1]
        assert line.startswith("stage1.block1.conv")
        assert "SOC 3x3, stride 2" in line
        assert "16×32×32 → 32×16×16" in line
        assert "┃" in line  # every singular value is at 1
        assert "~0.99" in line
        assert names(app) == [report.name for report in bounds()]


async def test_like_rows_are_folded_and_the_row_that_matters_is_chosen(model):
    quiet = [report if report.role != "body" else replace(report, gradient_norm=None) for report in bounds()]
    app = InspectApp(model, analyse=Script(quiet, bounds_only=True))
    async with finished(app, (120, 40)) as pilot:
        await layers(pilot, unfold=False)
        assert names(app) == ["normalise", "stage1.block1.conv", "head"]
        assert "stage1 … stage5" in listed(app, "#layers-list")[1]
        assert "10 layers" in listed(app, "#layers-list")[1]
        await pilot.press("down", "plus")
        assert names(app) == [report.name for report in quiet]
        await pilot.press("escape")
        assert len(names(app)) == 3
    app = InspectApp(model, analyse=Script())
    async with finished(app, (120, 40)) as pilot:
        await layers(pilot, unfold=False)
        assert app.query_one(LayersPane).chosen.key == "stage5.block1.activation"  # keeps least of its gradient
        assert "◀ most" in screen_text(app)


async def test_a_copied_layer_has_no_none_in_it(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await layers(pilot)
        copied = app.query_one(LayersPane).copied()
        assert copied.startswith("normalise\tinput normalisation\tnormalisation")
        assert "None" not in copied


async def test_the_detail_tells_proofs_from_estimates(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 74)) as pilot:
        await layers(pilot)
        await pilot.press("down")
        await until(pilot, lambda: "SOC 3x3" in screen_text(app))
        text = words(app, "#detail-text")
        assert "≤ 1.0000000002, proved by skew kernel" in text
        assert "1.0000000, estimate by Lanczos, 40 rounds, residual 3.0e-09" in text
        assert "64 images of cifar10 test" in text
        assert "8,192 outputs for 16,384 inputs" in text
        assert "The stored kernel is skew to the last bit." in text
        await pilot.press("end")
        await until(pilot, lambda: "not proved: its rows" in words(app, "#detail-text"))


async def test_sort_and_filter(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        shown = await layers(pilot)
        await pilot.press("down", "down", "s")
        assert names(app)[:2] == ["head", "normalise"]  # unproved first, then the largest
        assert shown.place == 0  # the row that the order was asked for
        assert "upper bound, largest first" in screen_text(app)
        await pilot.press("slash", *"CONV")
        await until(pilot, lambda: shown.count == 5)
        assert "5 of 12 layers matching CONV" in screen_text(app)
        await pilot.press("enter")
        assert app.focused is shown
        await pilot.press("s")
        assert len(names(app)) == 5
        await pilot.press("escape")
        assert shown.count == 12


async def test_a_filter_that_matches_nothing_says_so(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await layers(pilot)
        await pilot.press("slash", *"[red")
        await until(pilot, lambda: "no layer to show" in screen_text(app))
        assert "0 of 12 layers matching [red" in screen_text(app)


async def test_a_click_on_a_heading_sorts(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        shown = await layers(pilot)
        line = next(line for line in screen_text(app).split("\n") if "bound ≤" in line)
        offset = (line.index("bound ≤") - shown.region.x, 0)
        await pilot.click("#layers-list", offset=offset)
        await until(pilot, lambda: names(app)[0] == "head")
        await pilot.click("#layers-list", offset=offset)
        await until(pilot, lambda: names(app)[-1] == "head")
        assert "reversed" in screen_text(app)
        await pilot.click("#layers-list", offset=offset)
        await until(pilot, lambda: names(app) == [report.name for report in bounds()])


async def test_the_cursor_stays_on_its_layer_while_rows_arrive(model, script):
    script.hold_at = 3
    app = InspectApp(model, analyse=script)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.state.done == 3)
        await layers(pilot)
        await pilot.press("down", "down", "down", "down")
        pane = app.query_one(LayersPane)
        chosen = pane.chosen.key
        script.gate.set()
        await until(pilot, lambda: not app.state.phase.active and not app._repaint_pending)
        assert pane.chosen.key == chosen
        assert pane.chosen.report.gradient_norm is not None


async def test_the_histogram_marks_one_and_has_a_log_axis(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await layers(pilot)
        assert not app.query_one("#spectrum", Chart).region.area  # the normalisation has no spectrum
        await pilot.press("down")
        await until(pilot, lambda: "singular values, σ − 1" in screen_text(app))
        assert "σ = 1" in screen_text(app)
        linear = screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: screen_text(app) != linear)
        assert "100┤" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: screen_text(app) == linear)


async def test_enter_enlarges_the_detail(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        table = await layers(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "singular values" in screen_text(app))
        assert not table.region.area
        for size in ((60, 20), (200, 50)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.query_one("#detail").region.width == size[0])
        await pilot.press("enter")
        await until(pilot, lambda: table.region.area)


async def test_spectra_with_nothing_to_draw(model):
    strange = [
        replace(bounds()[1], spectrum=Spectrum((float("nan"),), (1.0,), 1, "dense SVD", True)),
        replace(bounds()[2], spectrum=Spectrum((), (), 0, "dense SVD", True)),
        replace(bounds()[3], spectrum=Spectrum((1.0, 1.0), (2.0, 2.0), 4, "dense SVD", True),
                sigma_max=Estimate(float("nan"), "power iteration")),
    ]  # fmt: skip
    app = InspectApp(model, analyse=Script(strange, bounds_only=True))
    async with finished(app) as pilot:
        await layers(pilot)
        await pilot.press("down")
        await pilot.press("down")
        await until(pilot, lambda: "100.0% within 0.001 of 1" in words(app, "#detail"))
        assert "NaN" in words(app, "#detail-text")


async def test_hostile_names_and_metadata_are_shown_harmless(tmp_path):
    evil = [
        "[bold red]x[/]",
        "\x1b[2J\x1b]0;owned\x07",
        "a\nb",
        "\u202egnp",
        "",
        "[/",
        "$text",
        "n" * 100_000,
    ]
    path = tmp_path / "evil.safetensors"
    save_file({f"t{i}.weight": np.zeros((2, 2), np.float32) for i in range(len(evil))}, path)
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    renamed = {evil[i]: header[f"t{i}.weight"] for i in range(len(evil))}
    renamed["__metadata__"] = {"[blink]k": "\x1b[31m[red]" * 1_000_000}
    text = json.dumps(renamed).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[-16 * len(evil) :])
    reports = [
        LayerReport(
            name, name, None, None, Bound(1.0, name), role="tensor", notes=(name,), sigma_max=Estimate(1.0, name)
        )
        for name in evil
    ]
    app = InspectApp(path, analyse=Script(reports, bounds_only=True))
    async with finished(app, (120, 36)) as pilot:
        assert "\\x1b[31m[red]" in words(app, "#claims")
        table = await layers(pilot)
        assert table.count == len(evil)
        seen = ""
        for _ in evil:
            seen += screen_text(app)
            await pilot.press("down")
            await pilot.pause()
        assert all(character.isprintable() or character == "\n" for character in seen)
        assert "[bold red]x[/]" in seen
        assert "\\x1b[2J\\x1b]0;owned\\x07" in seen
        app.export_screenshot().encode()


async def test_thousands_of_tensors_do_not_stop_the_keys(tmp_path):
    def reports():
        for i in range(5000):
            yield LayerReport(f"t{i}", "kernel", None, None, Bound(1.0, "norm"), role="tensor")

    app = InspectApp(write_checkpoint(tmp_path / "a.safetensors"), analyse=Script(list(reports()), bounds_only=True))
    async with finished(app, (80, 24)) as pilot:
        table = await layers(pilot)
        assert table.count == 5000
        await pilot.press("pagedown", "down")
        assert table.place > 1


async def test_a_later_report_replaces_the_earlier_in_place(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        table = await layers(pilot)
        better = replace(measured(bounds()[1], 1), sigma_max=Estimate(0.25, "dense SVD"))
        app.session._set(replace(app.state, phase=type(app.state.phase).RUNNING))
        app.call_later(app.session.take, app.session._work, events=deque([AnalysisEvent(25, 25, "", layer=better)]))
        await pilot.press("down")
        await until(pilot, lambda: "0.2500000, estimate by dense SVD" in words(app, "#detail-text"))
        assert table.count == 12


async def test_learned_angles_are_drawn_and_a_shows_the_next(model):
    angles = {"theta0": (np.pi / 2,) * 8, "theta1": (np.pi,) * 8}
    reports = [replace(bounds()[2], kind="Householder, order 2", angles=angles)]
    app = InspectApp(model, analyse=Script(reports, bounds_only=True))
    async with finished(app) as pilot:
        await layers(pilot)
        await until(pilot, lambda: "learned angles theta0 in degrees (1 of 2" in screen_text(app))
        assert "8 learned angles, 90.0° to 90.0°, mean 90.0°" in words(app, "#detail")
        assert "mean 90.0°" in screen_text(app)
        await pilot.press("a")
        await until(pilot, lambda: "learned angles theta1 in degrees (2 of 2" in screen_text(app))
        assert "mean 180.0°" in screen_text(app)
        await pilot.press("a")
        await until(pilot, lambda: "theta0 in degrees" in screen_text(app))


async def test_where_singular_values_are_lost(model):
    lossy = replace(bounds()[1], spectrum=Spectrum((1.0, 0.5, 0.25), (6.0, 1.0, 1.0), 8, "by hand", True))
    app = InspectApp(model, analyse=Script([lossy], bounds_only=True))
    async with finished(app, (120, 60)) as pilot:
        assert "fewest in stage1.block1.conv: 75.0% within 0.001 (estimate)" in words(app, "#recomputed")
        await layers(pilot)
        await until(pilot, lambda: "about 2 of 8 (25.0%) below 0.999, down to 0.2500000" in words(app, "#detail"))


async def test_v_shows_histogram_curve_and_kernel_in_turn(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (100, 36)) as pilot:
        await layers(pilot)
        await pilot.press("down")
        await until(pilot, lambda: "histogram, v: next" in screen_text(app))
        await pilot.press("v")
        await until(pilot, lambda: "sorted curve, v: next" in screen_text(app))
        assert app.query_one("#spectrum-curve", Chart).drawing.over.high == 8192
        await pilot.press("v")
        await until(pilot, lambda: "stage1.block1.conv.kernel 4×4×3×3; as stored" in screen_text(app))
        assert "tap 1 of 9, row 1, column 1 (a: next)" in words(app, "#kernel")
        await pilot.press(*"aaaaa")
        await until(pilot, lambda: "tap 6 of 9, row 2, column 3" in words(app, "#kernel"))
        await pilot.press("down")
        await until(pilot, lambda: "No kernel: the file stores no matrix" in words(app, "#kernel"))
        await pilot.press("G")
        await until(pilot, lambda: "head.weight 10×32; as stored" in screen_text(app))
        assert " tap" not in words(app, "#kernel")
        await pilot.press("v")
        await until(pilot, lambda: "kernel, v: next" not in screen_text(app))


async def test_all_taps_stand_together_where_they_fit(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 36)) as pilot:
        await layers(pilot)
        await pilot.press("down", "v", "v", "enter")
        await until(pilot, lambda: "as stored; 3 x 3 taps" in screen_text(app))
        assert " ▀▀" in screen_text(app).replace("│", "")  # a gap between two taps
        await pilot.press("a")
        await until(pilot, lambda: "tap 1 of 9" in words(app, "#kernel"))
        await pilot.press(*"a" * 9)
        await until(pilot, lambda: "3 x 3 taps" in words(app, "#kernel"))


async def test_where_there_is_room_histogram_and_curve_stand_together(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (200, 40)) as pilot:
        await layers(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "histogram and sorted curve, v: next" in screen_text(app))
        assert app.query_one("#spectrum").region.area
        assert app.query_one("#spectrum-curve").region.x > app.query_one("#spectrum").region.x
        await pilot.press("v")
        await until(pilot, lambda: "kernel, v: next" in screen_text(app))


async def test_a_kernel_is_read_by_a_thread_and_a_replaced_file_is_not_drawn(model, script, tmp_path):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await layers(pilot)
        await pilot.press("down", "v", "v")
        await until(pilot, lambda: "conv.kernel" in words(app, "#kernel"))
        assert app.state.kernel.layer == "stage1.block1.conv"
        write_checkpoint(tmp_path / "other.safetensors", channels=99).replace(model)
        await pilot.press("G")
        await until(pilot, lambda: "another one than was opened. Next: r reads it again." in words(app, "#kernel"))
        await pilot.press("r")
        await until(pilot, lambda: "head.weight 10×32" in words(app, "#kernel"))


async def test_what_is_not_finite_in_a_kernel_is_red(tmp_path):
    path = tmp_path / "nan.safetensors"
    weight = np.full((4, 4), 0.5, np.float32)
    weight[1, 2], weight[3, 3] = np.nan, -0.25
    save_file({"fc.weight": weight}, path)
    report = LayerReport("fc.weight", "matrix", None, None, Bound.unproved("not finite"), role="tensor")
    app = InspectApp(path, analyse=Script([report], bounds_only=True))
    async with finished(app) as pilot:
        await layers(pilot)
        await pilot.press("v", "v")
        await until(pilot, lambda: "red: 1 not finite" in words(app, "#kernel"))
        assert "▀" * 8 in screen_text(app)  # every entry as several pixels, so that it is seen


async def test_a_move_of_the_cursor_survives_a_painting_that_comes_before_it_is_told(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("2", "s", "s")
        pane = app.query_one(LayersPane)
        table = pane.query_one(LongList)
        # The key comes right behind the one that gave the list the focus, which is not told of yet either.
        app.screen.set_focus(None)
        await pilot.pause()
        focus(table)
        assert not table.has_focus
        go(app.focused, "last")
        chosen = pane.chosen.key
        pane.show(app.state)
        assert (table.place, pane.chosen.key) == (table.count - 1, chosen)
