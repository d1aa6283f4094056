import re

from lipscope.tui.app import InspectApp
from lipscope.tui.dialogs.report import Part, as_html, as_markdown, latex_row, markdown_row, report_parts
from lipscope.tui.overview.pane import OverviewPane
from lipscope.tui.panes import Sheet
from lipscope.tui.radii.pane import RadiiPane
from tests.tui.conftest import finished, screen_text, until, write_radii


async def test_the_report_holds_every_digit_and_needs_no_other_file(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("2")
        parts = await report_parts(app)
        assert app.query_one("TabbedContent").active == "layers"
    assert [part.title for part in parts] == ["Overview", "Layers", "Gradients", "Radii"]
    text, page = as_markdown(app.state, parts), as_html(app.state, parts)
    assert "1.00000000013" in text  # a bound with fewer digits could be less than what is proved
    assert "certified beyond 36/255" in text
    assert page.count("<svg") == 4
    assert not re.search(r"(src|href)=|url\((?!#)|@import", page)


async def test_what_somebody_else_certified_is_called_claimed(model, script):
    write_radii(model, claimed=True)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("4")
        parts = await report_parts(app)
        panes = [app.query_one(kind) for kind in (OverviewPane, RadiiPane)]
        assert all(" claimed" in pane.copied() and "certified" not in pane.copied() for pane in panes)
        columns = panes[1].sheet().columns
        assert "claimed" in columns
        assert "certified" not in columns
        await until(pilot, lambda: "claimed accuracy, per cent" in screen_text(app))
        assert not re.search(r"certified|cert\.", screen_text(app))
    text = as_markdown(app.state, parts)
    assert "claimed beyond 36/255" in text
    assert "certified beyond" not in text


def test_hostile_names_are_text(model, script):
    app = InspectApp(model, analyse=script)
    part = Part("x", Sheet([{"a": "<script>|`=1"}]), "")
    assert "<script>" not in as_html(app.state, [part])
    assert "\\|" in as_markdown(app.state, [part])


def test_rows_for_papers():
    assert markdown_row(("a", "b")) == "| a | b |"
    assert latex_row(("stage_1", "5%")) == r"stage\_1 & 5\% \\"
