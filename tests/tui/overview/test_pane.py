import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from lipscope.analysis.analysis import analyse
from lipscope.files.results import results_path
from lipscope.records import Bound, LayerReport, Verdict
from lipscope.records.certificates import Checked
from lipscope.tui.app import InspectApp
from lipscope.tui.overview.answers import warnings
from lipscope.tui.registry import entry
from lipscope.tui.work.worker import Means
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
    async with finished(app, (120, 50)) as pilot:
        text = screen_text(app)
        for k in (36, 72, 108, 255):
            count = int(((certificates.radius > k / 255) & (certificates.label == certificates.predicted)).sum())
            assert f"{100 * count / 2000:.2f}" in words(app, "#overview-accuracy")
        assert "● proved" in text
        count = int(((certificates.radius > 36 / 255) & (certificates.label == certificates.predicted)).sum())
        assert f"{count / 20:.2f}% certified" in text
        await pilot.press("right")
        count = int(((certificates.radius > 37 / 255) & (certificates.label == certificates.predicted)).sum())
        await until(pilot, lambda: f"eps 37/255 ▶   {count / 20:.2f}% certified" in screen_text(app))


async def test_stale_results_say_so(model, script):
    write_radii(model, n=10, sha256="ab" * 32)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        text = screen_text(app)
        assert "STALE" in text
        assert "certified accuracy of ANOTHER model" in text
        assert "w on Radii makes new ones" in words(app, "#overview-results")


async def test_results_of_somebody_else_are_called_claimed_and_are_not_green(model, script):
    write_radii(model, claimed=True)
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        assert "CLAIMED by somebody else, not proved here" in words(app, "#overview-results")
        assert "it was signed with another key" in words(app, "#overview-results")
        assert "? claimed" in screen_text(app)
        assert "● proved " not in screen_text(app)
        assert "% certified" not in screen_text(app)
        assert "! the radii are claimed by somebody else" in screen_text(app)


@pytest.mark.parametrize(
    ("checked", "said", "told"),
    [
        (Checked(64, 64), "not proved here (claimed; 64 of 64 random images agree)", "CLAIMED by somebody else"),
        (Checked(64, 3), "not proved here (claimed; 3 of 64 random images agree)", "NOT TRUE: claimed; 3 of 64"),
        (Checked(0, 0, "L is 2, not 1"), "claimed, and contradicted: L is 2", "NOT TRUE: claimed, and contradicted"),
    ],
)
async def test_a_claim_that_was_checked_says_what_came_of_it(model, script, checked, said, told):
    write_radii(model, claimed=True)
    app = InspectApp(model, analyse=Means(script, check=lambda claimed, path: checked))
    async with finished(app, (120, 50)) as pilot:
        await until(pilot, lambda: told in words(app, "#overview-results"))
        assert said in " ".join(text for text, _ in warnings(app.state))


async def test_without_results_the_command_is_named(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (120, 50)):
        assert "lipscope certify" in screen_text(app)
        assert not app.query_one("#overview-table").display


async def test_a_weight_that_is_not_finite_is_a_warning_that_leads_to_it(tiny_model):
    with safe_open(tiny_model, "np") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["stage3.block1.conv.kernel"].flat[1] = np.nan
    save_file(tensors, tiny_model, metadata)
    app = InspectApp(tiny_model, analyse=analyse)
    async with app.run_test(size=(120, 50)) as pilot:
        await until(pilot, lambda: "1 warning" in screen_text(app))
        assert "! tensor stage3.block1.conv.kernel holds NaN or infinite values" in screen_text(app)
        assert "No radii: the analysis failed" in words(app, "#overview-results")
        assert "failed, see above" in screen_text(app)
        app.query_one("#overview-warnings").focus()
        await pilot.press("enter")
        await until(pilot, lambda: "stage3.block1.conv" in str(app.query("#detail").first().border_title))


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
        await pilot.press("G")
        await until(pilot, lambda: "written by" in screen_text(app))
        assert app.query_one("#overview-scroll").scroll_y > 0


@pytest.mark.parametrize(
    ("inside", "screen"), [("#verdict", "layers"), ("#overview-bar", "radii"), ("#chain-strip", "gradients")]
)
async def test_a_press_on_what_is_in_a_panel_leads_to_where_it_comes_from(model, script, inside, screen):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.click(inside, offset=(2, 0))
        await until(pilot, lambda: app.front_id == screen)
