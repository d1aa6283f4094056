"""What `lipscope inspect` says of a model and of what lies beside it, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lipscope.analysis.analysis import inspect_report
from lipscope.cli import run
from lipscope.commands.app import means_for, open_app
from lipscope.files.checkpoint import sha256_of
from lipscope.files.kept_analysis import Kept
from lipscope.files.results import read_results, results_path, write_results
from lipscope.records import round_up
from tests.commands.inspecting import as_json, as_text, inspect
from tests.models_on_disk import alter

pytestmark = pytest.mark.usefixtures("no_data", "sooner_lanczos")


def test_the_fields_that_scripts_rely_on(tiny_model, capsys):
    facts = as_json(capsys, tiny_model)
    assert facts["schema"] == "lipscope.inspect/1"
    assert facts["model"]["path"] == str(tiny_model)
    assert facts["model"]["sha256"] == sha256_of(tiny_model)
    assert facts["model"]["architecture"] == "lipconvnet"
    assert facts["verdict"]["status"] == "proved"
    assert facts["verdict"]["lipschitz"] == 1.0
    assert facts["verdict"]["reason"] == "product of 11 layers"
    assert facts["verdict"]["searching"] is False
    assert facts["certified"] is None
    assert {"mean", "min", "max", "p05", "p95", "values", "lipschitz", "label"} <= set(facts["tightness"])
    assert facts["tightness"]["mean"] == pytest.approx(1, abs=1e-4)  # no layer here has more outputs than inputs
    assert facts["loses_most"] is None
    assert facts["claims"]["lipscope.schema"] == "lipscope.checkpoint/1"
    assert len(facts["layers"]) == 13
    for layer in facts["layers"]:
        assert {
            "name",
            "kind",
            "input_shape",
            "output_shape",
            "bound",
            "sigma_max",
            "sigma_min",
            "gradient_norm",
        } <= set(layer)
        assert {"value", "method", "proved"} <= set(layer["bound"])
        assert {"mean", "min", "max", "p05", "p95"} <= set(layer["gradient_norm"]) & set(layer["gradient_norm_random"])
        assert (layer["gradient_norm_cumulative"] is None) is (layer["name"] == "head")
        assert {layer[f"gradient_norm{which}"]["label"] for which in ("", "_random")} == {"estimate"}
        for name in ("sigma_max", "sigma_min"):
            if "conv" in layer["name"] or layer["name"] == "head":
                assert {"value", "method"} <= set(layer[name])
            else:
                assert layer[name] is None
        assert all(isinstance(size, int) for size in layer["input_shape"] + layer["output_shape"])


def test_without_a_terminal_the_same_facts_as_text(tiny_model, capsys):
    facts, text = as_json(capsys, tiny_model), as_text(capsys, tiny_model)
    assert f"sha256   {facts['model']['sha256']}" in text
    assert f"verdict  {facts['verdict']['headline']}" in text
    lines = text.splitlines()
    for layer in facts["layers"]:
        (line,) = (line for line in lines if line.startswith(layer["name"] + " "))
        shapes = ["x".join(map(str, layer[side])) for side in ("input_shape", "output_shape")]
        assert " -> ".join(shapes) in line
        assert layer["kind"] in line
        cells = line.split()
        assert round_up(layer["bound"]["value"]) in cells
        assert f"{layer['gradient_norm']['mean']:.6f}" == cells[-1]
        if layer["sigma_max"]:
            assert cells[-3:-1] == [f"{layer[name]['value']:.8f}" for name in ("sigma_min", "sigma_max")]
    assert "64 images of synthetic test" in text
    assert "no certified radii yet" in text
    assert "no layer of the body loses gradient" in text
    assert "tightness of the certificate" in text
    assert "proved bound: on the Lipschitz constant, from above, rounded up" in text
    assert "est.: estimates of the extreme singular values" in text
    proofs = text[text.index("how the bounds are proved") : text.index("singular values over the smaller side")]
    assert "5 x proved upper bound by piecewise isometry (exact)" in proofs
    assert "float64, rounded outward" in proofs
    table = text[text.index("singular values over the smaller side") : text.index("gradient norm preservation")]
    assert "estimates, but for the proved range" in table
    for layer in facts["layers"]:
        found = [line for line in table.splitlines() if line.startswith(f"  {layer['name']} ")]
        spectrum = layer["spectrum"]
        assert len(found) == (spectrum is not None)
        if spectrum is not None:
            assert f"{spectrum['share_near_one']:.1%} {spectrum['stable_rank']:12.2f}" in found[0]
            assert (spectrum["proved_range"] is not None) == ("[0.99" in found[0])
    assert f"{facts['layers'][-1]['spectrum']['condition_number']:.4g}" in table.splitlines()[-2]


def test_every_number_in_the_json_is_called_a_bound_or_an_estimate(tiny_model, capsys):
    facts = as_json(capsys, tiny_model)
    labels = []

    def look(value):
        if isinstance(value, dict):
            if {"value", "method"} <= value.keys() or "mean" in value or "values" in value:
                labels.append(value["label"])
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(facts)
    assert set(labels) == {"estimate", "proved upper bound"}
    in_the_chain = 5  # three arrows, the head's pairs, the whole
    assert labels.count("proved upper bound") == len(facts["layers"]) + in_the_chain
    for layer in facts["layers"]:
        assert layer["bound"]["direction"] == "upper"
        assert (layer["bound"]["precision"], layer["bound"]["rounded_outward"]) in {("float64", True), ("exact", False)}
        for name in ("sigma_max", "sigma_min"):
            assert layer[name] is None or {"method", "iterations", "residual", "label"} <= layer[name].keys()


def test_no_terminal_no_app(tiny_model, start):
    """As a real process; its output goes to a file, so there is no terminal."""
    code, stdout, stderr = start("inspect", tiny_model).finish()
    assert (code, stderr) == (0, "")
    assert "verdict  PROVED 1-Lipschitz (L <= 1)" in stdout
    assert "\x1b" not in stdout


def test_the_radii_beside_the_model(tiny_model, capsys):
    assert run(["certify", str(tiny_model), "--json"]) == 0
    certified = json.loads(capsys.readouterr().out)
    kept = as_json(capsys, tiny_model)["certified"]
    assert (kept.pop("stale"), kept.pop("claim")) == (False, None)
    # It was proved by the process that certified, and read from a file by this one.
    assert (certified["standing"], certified["proved"]) == ("proved", True)
    assert (kept["standing"], kept["proved"], kept["lipschitz"]["proved"]) == ("own", False, False)
    told = {"standing", "proved", "lipschitz", "budget"}
    assert all(kept[name] == certified[name] for name in certified.keys() - told)
    text = as_text(capsys, tiny_model)
    assert "certified on 1,000 images of synthetic test\n" in text
    assert "sound radii, proved by an earlier run of your own; read from the file beside the model" in text
    assert f"clean {certified['clean']['rate']:.2%}" in text
    for row in certified["certified"]:
        assert f"{row['eps']} {row['rate']:.2%}" in text

    # Other weights: the radii are not about them.
    alter(tiny_model, tensors=lambda tensors: tensors["head.bias"].add_(1))
    assert as_json(capsys, tiny_model)["certified"]["stale"] is True
    assert "STALE" in as_text(capsys, tiny_model)


def test_a_damaged_results_file_is_told_and_the_model_shown(tiny_model, capsys):
    results_path(tiny_model).write_bytes(b"nonsense")
    assert inspect(tiny_model, "--json") == 0
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["certified"] is None
    assert str(results_path(tiny_model)) in stderr


def test_a_results_file_of_hostile_words(tiny_model, capsys):
    from lipscope.records.certificates import Certificates

    n = 3
    ones = np.ones(n, np.int64)
    certificates = Certificates(
        np.arange(n), ones, ones, 2 * ones, np.ones(n), np.ones(n), "proved", sha256_of(tiny_model), "lipconvnet",
        "\x1b]0;name\x07", "\x1b[2Jtest", "f" * 64, 4.0,
    )  # fmt: skip
    write_results(results_path(tiny_model), certificates, {"schema": "nonsense"})
    text = as_text(capsys, tiny_model)
    assert r"certified on 3 images of \x1b]0;name\x07 \x1b[2Jtest" + "\n" in text
    assert "\x1b" not in text


def test_results_of_somebody_else_are_claims_and_held_against_the_model(certified, capsys, monkeypatch, tmp_path):
    """The text and the JSON say whose they are, and what a look at 64 random images gave."""
    report = inspect_report(certified)
    monkeypatch.setattr("lipscope.door.inspection.inspect_report", lambda *_, **__: report)
    honest = read_results(results_path(certified))
    for lie, claim in ((1, "claimed; 64 of 64 random images agree"), (9, "claimed, and contradicted: their radii do")):
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
            forged = replace(honest, standing="proved", radius=lie * honest.radius)
            write_results(results_path(certified), forged, {})
        assert inspect(certified, "--json") == 0
        facts = json.loads(capsys.readouterr().out)["certified"]
        assert (facts["standing"], facts["proved"], facts["lipschitz"]["proved"]) == ("claimed", False, False)
        assert facts["claim"]["words"].startswith(claim)
        assert facts["claim"]["holds"] == (lie == 1)
        assert inspect(certified) == 0
        text = capsys.readouterr().out
        assert "claimed on 1,000 images" in text
        assert "certified on" not in text
        assert claim in text


def test_the_folder_to_keep_in_is_looked_at_first(tiny_model, capsys, monkeypatch):
    monkeypatch.setattr("lipscope.door.inspection.inspect_report", lambda *_, **__: pytest.fail("computed"))
    (tiny_model.parent / "file").touch()
    assert inspect(tiny_model, "--keep", tiny_model.parent / "file" / "kept") == 1
    assert "the results cannot be kept there" in capsys.readouterr().err
    assert inspect(tiny_model, "--keep", "x", "--no-keep") == 2


def test_the_app_keeps_where_it_is_told_to(tmp_path):
    model, folder = tmp_path / "model.safetensors", tmp_path / "kept"
    means = means_for(None, None, folder)
    assert means.cache.places(model) == (folder / "model.inspected.jsonl",)
    assert means.kept == folder
    assert means_for(None, None, no_keep=True).cache is None


def test_no_kept_analysis_answers_for_a_description_that_cannot_be_read(tmp_path):
    model, sha256 = tmp_path / "model.safetensors", "a" * 64
    model.touch()
    means_for(None, None, tmp_path).cache.write(model, sha256, Kept((), 1.0))
    assert means_for(None, None, tmp_path).cache.read(model, sha256) is not None
    for description in (tmp_path / "missing.json", tmp_path):
        assert means_for(None, description, tmp_path).cache.read(model, sha256) is None


@pytest.mark.parametrize("no_keep", [True, False])
def test_another_file_is_opened_with_the_same_means(tmp_path, monkeypatch, tiny_model, no_keep):
    seen = []

    def app(path, *, analyse, **_):
        seen.append(analyse)
        return SimpleNamespace(wanted=None if len(seen) > 1 else (tiny_model, None), return_code=7)

    monkeypatch.setattr("lipscope.tui.app.InspectApp", app)
    monkeypatch.setattr("lipscope.commands.app.run_app", lambda app: None)
    monkeypatch.setattr("os._exit", seen.append)
    open_app(tiny_model, means_for(None, None, tmp_path, no_keep=no_keep), None)
    assert seen.pop() == 7
    assert [(means.cache is None, means.kept) for means in seen] == [(no_keep, tmp_path)] * 2
