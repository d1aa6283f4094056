from lipscope.files.results import results_path
from lipscope.records import Bound, LayerReport, Verdict
from lipscope.tui.app import InspectApp
from lipscope.tui.overview.pane import OverviewPane
from lipscope.tui.registry import entry
from tests.tui.conftest import Script, finished, screen_text, until, words, write_radii


async def test_claims_and_facts_stand_apart(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        text = screen_text(app)
        for title in ("recomputed by lipscope", "claimed by the file, not verified", "file"):
            assert title in text
        right = [line[60:] for line in text.split("\n")]
        assert any("architecture" in line and "lipconvnet" in line for line in right)
        assert "σ max" not in "".join(right)


async def test_accuracy_is_recomputed_from_the_radii(model, script):
    certificates = write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        text = screen_text(app)
        for k in (36, 72, 108, 255):
            count = int(((certificates.radius > k / 255) & (certificates.label == certificates.predicted)).sum())
            line = next(line for line in text.split("\n") if f" {k}/255" in line)
            assert f"{count:,}" in line
            assert f"{100 * count / 2000:.2f}%" in line
        about = words(app, "#overview-accuracy")
        assert "2,000 images of cifar10 test; sound radii, proved by an earlier run of your own" in about


async def test_stale_results_say_so(model, script):
    write_radii(model, n=10, sha256="ab" * 32)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        text = screen_text(app)
        assert "STALE" in text
        assert "certified accuracy of ANOTHER model" in text
        assert "lipscope certify --force" in text


async def test_results_of_somebody_else_are_called_claimed(model, script):
    write_radii(model, claimed=True)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        assert "CLAIMED by somebody else (it was signed with another key" in screen_text(app)
        shown = words(app, "#overview-accuracy")
        assert "radii claimed by somebody else, not proved here" in shown
        assert "radius above" in shown
        assert "claimed" in shown.partition("radius above")[2].partition("share")[0]


async def test_without_results_the_command_is_named(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        assert "lipscope certify" in screen_text(app)
        assert not app.query_one("#overview-accuracy").display


async def test_damaged_results_are_explained(model, script):
    results_path(model).write_bytes(b"not safetensors at all")
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        assert "The results file cannot be used: not a safetensors file" in screen_text(app)


async def test_an_unknown_file_says_what_cannot_be_known(unknown):
    report = LayerReport("layer1.0.conv1.weight", "kernel", None, None, Bound(1.5, "frequency grid"), role="tensor")
    script = Script([report], verdict=Verdict("not-proved", None, "no model for this file"), bounds_only=True)
    app = InspectApp(unknown, analyse=script)
    async with finished(app, (120, 50)) as pilot:
        text = screen_text(app)
        assert "NOT PROVED" in text
        assert "what cannot be known" in text
        assert "so it cannot certify it" in words(app, "#overview-results")
        assert "format" in text
        await pilot.press("2")
        await until(pilot, lambda: "1 tensors" in screen_text(app))
        assert "unknown: the file does not tell" in words(app, "#detail")
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: "lipscope has no model for this file" in screen_text(app))


async def test_it_scrolls_where_it_does_not_fit(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        assert "written by" not in screen_text(app)
        await pilot.press("right_square_bracket", "end")
        await until(pilot, lambda: "written by" in screen_text(app))
        assert app.query_one(OverviewPane).scroll_y > 0
