from fractions import Fraction

from lipscope.tui.app import InspectApp
from lipscope.tui.radii.pane import RadiiPane
from tests.tui.conftest import finished, screen_text, until, write_radii


async def test_a_radius_in_pixel_scale_is_offered_over_255(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("4", "equals_sign", *"72", "enter")
        await until(pilot, lambda: "is it in pixel scale?" in screen_text(app))
        assert "takes it" in screen_text(app).split("\n")[-1]  # the footer while typing
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one(RadiiPane).eps == Fraction(72, 255))
