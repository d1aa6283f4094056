from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipscope.files.results import results_path, write_results
from lipscope.tui.app import InspectApp
from lipscope.tui.radii.attack_plot import AttackPlot
from lipscope.tui.widgets.chart import Chart
from tests.tui.conftest import finished, screen_text, until, write_radii


def attacked(model, *, inside=0, n=2000, limit=500):
    """The first 500 images attacked, 20 of them in vain, and ``inside`` of them broken inside their radius."""
    certificates = write_radii(model, n=n)
    distance = np.full(n, np.inf)
    distance[:limit] = certificates.radius[:limit] * np.linspace(1.01, 2, limit) + 1e-3
    distance[20:40] = np.inf
    distance[40 : 40 + inside] = certificates.radius[40 : 40 + inside] / 2
    found = replace(certificates, attack_distance=distance, attack={"attacked": [[0, limit]]})
    write_results(results_path(model), found, {})
    return found


async def shown(pilot):
    await pilot.press("4")
    await until(pilot, lambda: " eps " in screen_text(pilot.app))
    await pilot.press("b")
    await until(pilot, lambda: "attack distance − radius" in screen_text(pilot.app))


async def test_the_picture_shows_every_attacked_image(model, script):
    found = attacked(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 40)) as pilot:
        await shown(pilot)
        await until(pilot, lambda: "inside the radius: 0" in screen_text(app))
        text = screen_text(app)
        assert "attack distance − radius of 480 images" in text
        assert "unbroken: 20 of 500 attacked" in text
        assert "attack distance over radius" in text
        changed = np.isfinite(found.attack_distance)
        read = app.query_one("#radii-gap", Chart).drawing.read
        gaps = (found.attack_distance - found.radius)[changed]
        assert read(0.1, 1).startswith(f"{len(gaps)} from 0 to {gaps.max():.4g}")
        _, points = app.query_one("#radii-scatter", Chart).drawing.series
        assert np.array_equal(points.x, found.radius[changed])
        assert np.array_equal(points.y, found.attack_distance[changed])
        await pilot.press("b")
        await until(pilot, lambda: "attack distance − radius" not in screen_text(app))
        assert "right images" in screen_text(app)


async def test_images_broken_inside_their_radius_stand_out(model, script):
    attacked(model, inside=3)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 40)) as pilot:
        await shown(pilot)
        await until(pilot, lambda: "inside the radius: 3" in screen_text(app))
        assert app.query_one("#radii-scatter-panel").has_class("-violated")
        assert app.query_one("#radii-gap", Chart).drawing.over.low < 0


async def test_without_an_attack_there_is_nothing_to_show(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: "certified" in screen_text(app))
        assert "Attack" not in screen_text(app)
        await pilot.press("b")
        assert not app.query_one(AttackPlot).display


@pytest.mark.parametrize("empty", [False, True])
async def test_small_screens_and_empty_attacks_do_not_break(model, script, empty):
    found = attacked(model, limit=40)
    if empty:
        write_results(results_path(model), replace(found, attack_distance=np.full(len(found), np.inf)), {})
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        await shown(pilot)
        for size in ((60, 20), (80, 24), (200, 60)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "attacked" in screen_text(app))


async def test_counts_are_of_the_attacked_images_and_look_like_no_share_of_all(model, script):
    found = attacked(model)
    first = (found.correct & (found.attack_distance > 36 / 255))[:500].sum()
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 40)) as pilot:
        for key in ("1", "4"):  # without the words the one may be less than what is proved, as on other images
            await pilot.press(key)
            await until(pilot, lambda: f"{first / 5:.2f}" in screen_text(app))
            assert "attack ≤ *" in screen_text(app)
            assert "* of 500 attacked images, not all" in screen_text(app)
