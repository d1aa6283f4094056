from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from textual import events
from textual.geometry import Offset

from lipscope.files.violation import Pair, violation_path, write_pair
from lipscope.tui.app import InspectApp
from lipscope.tui.images.choice import distance_text
from lipscope.tui.images.half_blocks import UPPER
from lipscope.tui.images.pane import ImagesPane, _cells
from lipscope.tui.images.pictures import Pictures
from lipscope.tui.images.thumbs import TALL, WIDE, Thumbnails
from lipscope.tui.radii.pane import RadiiPane
from lipscope.tui.registry import entry
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.long_list import LongList
from lipscope.units import radius_text
from tests.tui.conftest import finished, screen_text, until, words, write_radii
from tests.tui.images.showing import answered, app_on, images
from tests.tui.pictured import Brightness, N, synthetic_images, write_synthetic


def by_radius(certificates) -> np.ndarray:
    """Rows, the wrong ones first: they have no radius."""
    return np.lexsort((np.arange(N), np.where(certificates.correct, certificates.radius, 0), certificates.correct))


def pixels_drawn(app) -> np.ndarray:
    """(3, height, width) of the first picture, from the colours of its cells."""
    region = app.query_one(Pictures).region
    rows = []
    for strip in app.screen._compositor.render_strips()[region.y + 1 : region.y + 17]:
        cells = [seg for seg in strip.crop(region.x, region.x + 32) if UPPER in seg.text]
        rows += [
            [tuple(getattr(seg.style, part).triplet) for seg in cells for _ in seg.text]
            for part in ("color", "bgcolor")
        ]
    return np.array(rows, np.uint8).transpose(2, 0, 1)


async def test_the_picture_is_the_image_pixel_by_pixel(model, script):
    certificates = write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        for key in ("", "down", "G"):
            await pilot.press(*([key] if key else []))
            await answered(pilot)
            assert np.array_equal(pixels_drawn(app), synthetic_images().images[certificates.index[pane._row]])
        assert certificates.radius[pane._row] == certificates.radius[certificates.correct].max()


async def test_the_list_runs_by_radius_either_way_and_keys_move_in_it(model, script):
    certificates = write_synthetic(model)
    order = by_radius(certificates)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        half = app.query_one("#images-list", LongList).size.height // 2
        for keys, place in [
            ((), 0), (("j",), 1), (("down", "down"), 3), (("k",), 2), (("ctrl+d",), 2 + half), (("g", "g"), 0),
            (("G",), N - 1), (("ctrl+u",), N - 1 - half),
        ]:  # fmt: skip
            await pilot.press(*keys)
            await pilot.pause()
            assert pane._row == order[place], keys
            said = "≥" if certificates.correct[order[place]] else "none; stays wrong within"
            assert f"{said} {radius_text(certificates.radius[order[place]])}" in words(app, "#image-facts")
        kept = pane._row
        await pilot.press("S")
        await pilot.pause()
        assert pane._row == kept  # the cursor stays on its image
        await pilot.press("g", "g")
        assert pane._row == order[-1]
        assert "largest radius first" in screen_text(app)


async def test_the_mouse_chooses_an_image_and_scrolls(model, script):
    certificates = write_synthetic(model)
    order = by_radius(certificates)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.click("#images-list", offset=Offset(4, 5))
        assert pane._row == order[4]
        listed = app.query_one("#images-list", LongList)
        listed.scroll_to(y=500, animate=False)
        await pilot.pause()
        await pilot.click("#images-list", offset=Offset(4, 1))
        assert pane._row == order[500]


async def test_filters_keep_what_they_say(model, script):
    certificates = write_synthetic(model, attacked=200)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        limit = 36 / 255
        right, beyond = certificates.correct, certificates.radius > limit
        for mask, said in [
            (~right, "classified wrongly"), (right, "classified correctly"),
            (right & beyond, "correct and certified beyond eps"), (right & ~beyond, "correct, not certified"),
            (np.arange(N) < 200, "attacked"), (certificates.attack_distance <= limit, "class changed within eps"),
        ]:  # fmt: skip
            await pilot.press("f")
            await pilot.pause()
            assert sorted(pane._rows.tolist()) == np.flatnonzero(mask).tolist(), said
            assert f"{mask.sum():,} of 1,000: " in screen_text(app)
            assert said in screen_text(app)
        await pilot.press("escape", "n", "n")
        await pilot.pause()
        assert set(certificates.label[pane._rows].tolist()) == {1}
        assert app.query_one("TabbedContent").active == "images"
        await pilot.press("N", "N", "F", "F")
        await pilot.pause()
        assert sorted(pane._rows.tolist()) == list(range(200))
        await pilot.press("s")  # by attack distance
        await pilot.pause()
        distances = certificates.attack_distance[pane._rows]
        assert (np.diff(distances) >= 0).all()
        assert f"class changes at {distance_text(distances[0])}" in words(app, "#image-detail")


@pytest.mark.parametrize("typed", [str(N), "99999", "9" * 40, "banana"])
async def test_what_is_not_among_the_images_is_said_and_changes_nothing(model, script, typed):
    write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.press("f", "n", "down")
        before = pane._choice, pane._row, pane._rows.tolist()
        assert before[0].keep != "all"
        await pilot.press("slash", *typed, "enter")
        await until(pilot, lambda: any("no image and no class" in told.message for told in app._notifications))
        assert (pane._choice, pane._row, pane._rows.tolist()) == before


async def test_the_number_of_an_image_leads_to_it_whatever_was_filtered(model, script):
    certificates = write_synthetic(model)
    row = int(np.flatnonzero(certificates.correct)[-1])
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.press("f", "slash", *str(row), "enter")  # the wrong ones
        assert (pane._row, len(pane._rows)) == (row, N)


@pytest.mark.parametrize("keys", [(), ("t",), ("f", "n", "t")])
async def test_one_escape_returns_to_the_screen_that_led_here_and_takes_its_filter_along(model, script, keys):
    write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.press("s", "n", entry("radii").key)
        own = pane._choice
        await pilot.press("enter")
        await until(pilot, lambda: app.front_id == "images" and pane._choice.keep == "certified")
        await pilot.press(*keys, "escape")
        assert (app.front_id, pane._choice) == ("radii", own)


async def test_escape_leaves_a_filter_where_no_screen_led_here_any_more(model, script):
    write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.press(entry("radii").key, "enter")
        await until(pilot, lambda: app.front_id == "images" and pane.is_on_screen)
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: not pane.is_on_screen and pane._before is None)
        await pilot.press(entry("images").key, "escape")
        assert (app.front_id, pane._choice.keep) == ("images", "all")
        await pilot.press("escape")
        assert app.front_id == "overview"


async def test_a_filter_that_nothing_passes_is_a_state_of_its_own(model, script):
    label = synthetic_images().labels
    write_synthetic(model, predicted=label, runner_up=(label + 1) % 10)
    app = app_on(model, script)
    async with finished(app) as pilot:
        await images(pilot)
        await pilot.press("f")
        await until(pilot, lambda: "No image passes the filters" in screen_text(app))
        await pilot.press("down", "G", "s", "S", "v", "c")
        assert app.session.crash is None
        await pilot.press("escape")
        await until(pilot, lambda: "1,000 of 1,000" in screen_text(app))


async def test_eps_is_one_on_all_screens(model, script):
    write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.press("right", "shift+right")
        await until(pilot, lambda: pane.eps == Fraction(47, 255))
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: app.query_one(RadiiPane).eps == Fraction(47, 255))
        assert " eps 47/255 " in screen_text(app)
        await pilot.press("left", entry("images").key)
        await until(pilot, lambda: pane.eps == Fraction(46, 255))
        assert " eps 46/255 " in screen_text(app)
        await pilot.press("equals_sign", *"1/2", "enter")
        await until(pilot, lambda: pane.eps == Fraction(1, 2))
        assert " eps 1/2 " in screen_text(app)


async def test_logits_are_computed_on_demand_and_lettered(model, script):
    certificates = write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        mean = float(synthetic_images().images[pane._row].mean()) / 255
        shown = words(app, "#logit-bars")
        assert "(float32, estimates)" in shown
        assert f"{9 * mean:.4f}" in shown
        text = screen_text(app)
        label = synthetic_images().classes[certificates.label[pane._row]]
        assert any("L" in line[: line.find(label)] for line in text.split("\n") if label in line)


@pytest.mark.parametrize("columns", [100, 106, 115, 116])
async def test_facts_and_logits_are_seen_beside_the_picture_at_middling_widths(model, script, columns):
    write_synthetic(model, attacked=N)
    app = app_on(model, script)
    async with finished(app, size=(columns, 30)) as pilot:
        await images(pilot)
        facts, shown = app.query_one("#image-words"), words(app, "#logit-bars")
        assert not facts.allow_vertical_scroll
        assert all(letter in shown for letter in "PRL")


async def test_logits_that_contradict_the_results_are_said_to(model, script):
    class Other(Brightness):
        def logits(self, pixels):
            return -super().logits(pixels)

    write_synthetic(model)
    app = app_on(model, script, evaluator=Other)
    async with finished(app) as pilot:
        pane = await images(pilot)
        top = int(np.argmax(app.state.answer.logits))
        assert top != app.state.results.certificates.predicted[pane._row]
        said = words(app, "#logit-bars")
        assert f"! the largest is {synthetic_images().classes[top]}, the results say otherwise" in said


async def test_what_an_attack_kept_is_shown_with_the_difference(model, script):
    certificates = write_synthetic(model, attacked=N)
    row = by_radius(certificates)[0]
    image = synthetic_images().images[row]
    point = (image / 255 * 0.9).astype(np.float32)
    told = {"index": int(row), "adversarial_class": 4, "distance": 0.5}
    write_pair(violation_path(model.parent, model, row), Pair(image, point, told, certificates.model_sha256))
    app = app_on(model, script)
    async with finished(app, (200, 60)) as pilot:
        await images(pilot)
        shown = words(app, "#image-detail")
        assert "adversarial" in shown
        assert "grey is none" in shown
        assert f"becomes {synthetic_images().classes[4]}" in words(app, "#image-facts")
        await pilot.press("down")
        await answered(pilot)
        assert "its pixels are not kept" in words(app, "#image-facts")
        assert "grey is none" not in screen_text(app)
        await pilot.press("up")
        await answered(pilot)
        await pilot.resize_terminal(80, 24)
        seen = []
        for _ in range(3):
            await pilot.pause()
            seen.append(words(app, "#image-pictures").split(" (v")[0])
            await pilot.press("v")
        assert [text.split()[0] for text in seen] == ["image", "adversarial:", "difference"]


async def test_without_colours_pictures_are_characters(model, script, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        await images(pilot)
        text = screen_text(app)
        assert UPPER not in text
        assert sum("\u2800" < letter <= "\u28ff" for letter in text) > 100  # braille, at least one dot in each


async def test_scrolling_ten_thousand_images_paints_only_what_is_seen(model, script):
    from lipscope.files.results import results_path, write_results

    plain = write_synthetic(model)
    many = {name: np.tile(getattr(plain, name), 10) for name in ("label", "predicted", "runner_up", "radius", "margin")}
    write_results(results_path(model), replace(plain, index=np.arange(10 * N), **many), {})
    app = app_on(model, script)
    async with finished(app) as pilot:
        await pilot.press(entry("images").key)
        await until(pilot, lambda: "10,000 of 10,000" in screen_text(app))
        listed, pane = app.query_one("#images-list", LongList), app.query_one(ImagesPane)
        made = []
        line = listed._line
        listed._line = lambda place, width: made.append(place) or line(place, width)
        for key in ("ctrl+d", "ctrl+d", "G"):
            made.clear()
            await pilot.press(key)
            await pilot.pause()
            assert len(made) <= 3 * listed.size.height, key
        assert pane._rows[listed.place] == pane._row


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_thumbnails_are_seen_where_the_list_is_folded_and_it_folds_again(model, script, size):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, size) as pilot:
        await pilot.press(entry("images").key)
        await until(pilot, lambda: app.front_id == "images" and not app.query_one("#images-list").region.area)
        await pilot.press("t")
        await until(pilot, lambda: app.query_one("#images-grid").region.area)
        assert not any(bar.display for bar in app.front.query(FoldBar))  # what is shown is not offered to be unfolded
        await pilot.press("right")
        await until(pilot, lambda: app.query_one("#images-grid").place == 1)
        await pilot.press("t")
        await until(pilot, lambda: not app.query_one("#images-list-side").region.area)


@pytest.mark.parametrize("size", [(200, 60), (80, 24), (60, 20)])
async def test_all_filters_are_in_sight(model, script, size):
    write_synthetic(model, attacked=N)
    app = app_on(model, script)
    async with finished(app, size) as pilot:
        await images(pilot)
        shown = words(app, "#images-chips")
        for kind in ("all", "wrong", "right", "certified", "not certified", "attacked", "broken", "any class", "by"):
            assert f" {kind} " in f" {shown} "


async def test_the_wheel_scrolls_thumbnails_until_the_cursor_moves(model, script):
    write_synthetic(model)
    app = app_on(model, script)
    async with finished(app) as pilot:
        pane = await images(pilot)
        await pilot.press("t")
        grid = app.query_one(Thumbnails)
        await until(pilot, lambda: grid.max_scroll_y)
        row = pane._row
        for _ in range(20):
            grid.post_message(events.MouseScrollDown(grid, 3, 3, 0, 1, 0, False, False, False))
        await until(pilot, lambda: grid.scroll_offset.y >= 2 * (TALL + 1))
        pane.show(app.state)  # news of the file
        await pilot.pause()
        first = grid.scroll_offset.y // (TALL + 1) + 1  # the first row that is seen from its top
        assert first > 1
        assert pane._row == row
        y = first * (TALL + 1) - grid.scroll_offset.y
        await pilot.click("#images-grid", offset=Offset(WIDE + 3, y + 2))
        await until(pilot, lambda: grid.place == first * grid.across + 1)
        assert pane._row == pane._rows[grid.place]
        await pilot.press("g", "g")
        await until(pilot, lambda: grid.place == 0 and grid.scroll_offset.y == 0)


def test_a_narrow_list_has_room_for_both_classes_of_a_wrong_image(model):
    found = replace(write_radii(model, n=20), attack_distance=np.ones(20), attack={"attacked": [[0, 20]]})
    taken = "".join(_cells(found, 51, "12345", "0.1234", "0.1234", "░ WRONG"))
    assert taken.split() == ["12345", "0.1234", "0.1234", "░", "WRONG"]
    assert 51 - len(taken) >= len("automobile as airplane")
