import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
from textual import events

from lipscope.files.results import results_path, write_results
from lipscope.tui.app import InspectApp
from lipscope.tui.radii.pane import RadiiPane
from lipscope.tui.registry import entry
from lipscope.tui.widgets.eps_line import moved
from tests.tui.conftest import finished, screen_text, until, write_radii


async def radii(pilot) -> RadiiPane:
    await pilot.press(entry("radii").key)
    await until(pilot, lambda: "certified" in screen_text(pilot.app))
    return pilot.app.query_one(RadiiPane)


def line_of_eps(app) -> str:
    return next(line for line in screen_text(app).split("\n") if " eps " in line)


async def test_arrows_move_eps_and_the_counts_follow(model, script):
    certificates = write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = await radii(pilot)
        for key, eps in [
            ("right", Fraction(37, 255)),
            ("shift+right", Fraction(47, 255)),
            ("left", Fraction(46, 255)),
            ("shift+left", Fraction(36, 255)),
        ]:
            await pilot.press(key)
            assert pane.eps == eps
            count = int(((certificates.radius > eps) & certificates.correct).sum())
            await until(pilot, lambda eps=eps: f"eps {eps * 255}/255" in line_of_eps(app))
            assert f"{count / 20:.2f}% certified ({count:,})" in line_of_eps(app)


def test_eps_stays_in_its_range():
    assert moved(Fraction(3), 10) == 3
    assert moved(Fraction(0), -1) == 0
    assert moved(Fraction(1, 2), 1) == Fraction(1, 2) + Fraction(1, 255)


async def test_eps_can_be_typed(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = await radii(pilot)
        await pilot.press("equals_sign", *"108/255", "enter")
        await until(pilot, lambda: "eps 108/255" in line_of_eps(app))
        assert pane.eps == Fraction(108, 255)
        assert app.focused is pane
        await pilot.press("equals_sign", *"1/7", "enter")
        await until(pilot, lambda: "eps 1/7" in line_of_eps(app))
        assert "36.43" in screen_text(app)  # a column of the table, in 255ths


async def test_a_bad_eps_is_explained_and_escape_gives_up(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = await radii(pilot)
        for typed, complaint in [("9/0", "denominator is zero"), ("q", "not a fraction")]:
            await pilot.press("equals_sign", *typed, "enter")
            await until(pilot, lambda complaint=complaint: complaint in screen_text(app))
            assert pane.eps == Fraction(36, 255)
            await pilot.press("escape")
            assert not app.query_one("#eps-entry").display
        assert app.query_one("TabbedContent").active == "radii"


async def test_wrong_images_are_set_apart(model, script):
    certificates = write_radii(model)
    wrong = int((~certificates.correct).sum())
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await radii(pilot)
        text = screen_text(app)
        assert f"radii of {2000 - wrong:,} right images" in text
        assert f"{wrong} wrong have no radius" in text
        assert f"{wrong / 20:.2f}% wrong" in text


async def test_histogram_and_area_share_one_axis(model, script):
    write_radii(model, n=5000)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = await radii(pilot)
        histogram, area = app.query_one("#radii-histogram"), app.query_one("#radii-area")
        await until(pilot, lambda: area.columns > 0)
        assert (histogram.first, histogram.columns, histogram.drawing.over) == (
            area.first,
            area.columns,
            area.drawing.over,
        )
        lines = [line for line in screen_text(app).split("\n") if "▲" in line]
        assert len({line.index("▲") for line in lines}) == 1
        assert len(lines) == 2
        assert float(pane.eps) <= area.drawing.over.high


async def test_eps_follows_click_drag_and_wheel(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = await radii(pilot)
        area = app.query_one("#radii-area")
        await until(pilot, lambda: area.columns > 0)
        column = area.first + area.columns // 3
        await pilot.click("#radii-area", offset=(column, 3))
        await until(pilot, lambda: pane.eps == Fraction(round(255 * area.value_at(column)), 255))
        await pilot.mouse_down("#radii-area", offset=(column, 3))
        await pilot.hover("#radii-area", offset=(column + 5, 3))
        await pilot.mouse_up("#radii-area", offset=(column + 5, 3))
        before = pane.eps
        area.post_message(events.MouseScrollUp(area, column, 3, 0, -1, 0, False, False, False))
        await until(pilot, lambda: pane.eps == before + Fraction(1, 255))


async def test_the_mouse_reads_the_certified_share(model, script):
    certificates = write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await radii(pilot)
        area = app.query_one("#radii-area")
        await until(pilot, lambda: area.columns > 0)
        column = area.first + area.columns // 2
        await pilot.hover("#radii-area", offset=(column, 5))
        at = area.value_at(column)
        share = ((certificates.radius > at) & certificates.correct).mean()
        await until(pilot, lambda: f"{100 * share:.1f}% right beyond {at:.3f}" in screen_text(app))


async def test_enter_leads_to_the_images_and_escape_back(model, script):
    certificates = write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = await radii(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one("TabbedContent").active == "images")
        beyond = int(((certificates.radius > 36 / 255) & certificates.correct).sum())
        await until(pilot, lambda: f"{beyond:,} of 2,000" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.query_one("TabbedContent").active == "radii")
        app.query_one("#radii-classes").focus()
        await pilot.pause()
        await pilot.press("enter")
        label = pane.chosen_class.label
        await until(pilot, lambda: app.query_one("TabbedContent").active == "images")
        assert app.query_one("ImagesPane")._choice.label == label


async def test_without_results_it_names_the_command(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: "No results beside the model yet" in screen_text(app))
        assert "lipscope certify" in screen_text(app)
        await pilot.press("equals_sign", "right")
        assert not app.query_one("#eps-entry").display
        assert "Type eps" not in screen_text(app)


async def test_stale_results_stay_visible_but_flagged(model, script):
    write_radii(model, sha256="ab" * 32)
    app = InspectApp(model, analyse=script)
    for size in [(60, 20), (80, 24)]:
        app = InspectApp(model, analyse=script)
        async with finished(app, size) as pilot:
            await radii(pilot)
            text = screen_text(app)
            assert "STALE: these radii are about another model file" in text
            assert "▲" in text


async def test_radii_at_the_edges(model, script):
    plain = write_radii(model, n=4)
    label = np.zeros(4, np.int64)
    app = InspectApp(model, analyse=script)
    async with finished(app, (80, 24)) as pilot:
        await radii(pilot)
        for name, predicted, radius, shares in [
            ("all wrong", label + 1, np.zeros(4), ["0.00%", "0.00%", "100.00%"]),
            ("ties", label, np.zeros(4), ["0.00%", "100.00%", "0.00%"]),
            ("all just below eps", label, np.full(4, np.nextafter(39 / 255, 0)), ["0.00%", "100.00%", "0.00%"]),
            ("far apart", label, np.array([0.0, 1e-300, 1.0, 1e6]), ["50.00%", "50.00%", "0.00%"]),
        ]:
            write_results(
                results_path(model),
                replace(plain, predicted=predicted, label=label, radius=radius, architecture=name),
                {},
            )
            await pilot.press("r")
            await until(pilot, lambda name=name: app.state.results.certificates.architecture == name and not app.busy)
            await until(pilot, lambda: not app._repaint_pending)
            await pilot.press("right")
            assert re.findall(r"[\d.]+%", line_of_eps(app)) == shares
            assert app.session.crash is None


async def test_the_boundary_is_strict(model, script):
    plain = write_radii(model, n=2)
    label = np.zeros(2, np.int64)
    below, above = np.nextafter(36 / 255, 0), np.nextafter(36 / 255, 1)
    write_results(
        results_path(model), replace(plain, label=label, predicted=label, radius=np.array([below, above])), {}
    )
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 36)) as pilot:
        await radii(pilot)
        assert "50.00% certified (1)" in line_of_eps(app)


async def test_a_wider_window_says_what_the_shares_are(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script, screen="radii")
    async with finished(app, (60, 20)) as pilot:
        await until(pilot, lambda: "36/255" in screen_text(app))
        assert "% wrong" not in screen_text(app)
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: "% not  ░" in screen_text(app) and "% wrong" in screen_text(app))
