from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from lipscope.analysis.analysis import inspect_report
from lipscope.analysis.parametrised import UNKNOWN
from lipscope.analysis.spectra import singular_values
from lipscope.cli import run
from lipscope.commands.app import means_for, open_app
from lipscope.files.checkpoint import sha256_of
from lipscope.files.kept_analysis import Kept
from lipscope.files.results import read_results, results_path, write_results
from lipscope.records import round_up
from tests.models_on_disk import alter, one_weight, scaled, spoiled

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture(autouse=True)
def _sooner_lanczos(monkeypatch):
    """The first layer has 1,024 singular values: by Lanczos in a tenth of the time."""
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 512)


def inspect(*arguments: object) -> int:
    return run(["inspect", *(str(argument) for argument in arguments)])


def refuse(constant):
    raise AssertionError(constant)


def as_json(capsys, path) -> dict:
    """The one object on stdout, which must be strict JSON."""
    capsys.readouterr()
    assert inspect(path, "--json") == 0
    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def as_text(capsys, path) -> str:
    capsys.readouterr()
    assert inspect(path) == 0
    return capsys.readouterr().out


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


BODY = "from normalised pixels to features"
VIOLATED = (
    r"VIOLATED: layer {0}\.block1\.conv is not 1-Lipschitz \(a vector gives {1}; "
    r"L <= [\d.E+]+ is proved from normalised pixels to features\)"
)


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (
            {"tensors": scaled(1.5)},
            rf"PROVED 1-Lipschitz \(L <= 1\) {BODY} \(product of 11 layers\)",
        ),
        ({"tensors": scaled(3.0)}, VIOLATED.format("stage2", r"1\.0\d+")),
        ({"tensors": one_weight(1.5)}, VIOLATED.format("stage2", r"1\.0\d+")),
        ({"config": {"terms": 5}}, VIOLATED.format("stage1", r"1\.00\d+")),
        (
            {"tensors": scaled(1e30)},
            rf"NOT PROVED {BODY} \(layer stage2\.block1\.conv: its bound overflows float64\)",
        ),
        ({"tensors": scaled(100.0)}, VIOLATED.format("stage2", r"[\d.E+]+")),
    ],
)
def test_verdicts(tiny_model, capsys, change, headline):
    alter(tiny_model, **change)
    facts = as_json(capsys, tiny_model)
    assert re.fullmatch(headline, facts["verdict"]["headline"])
    text = as_text(capsys, tiny_model)
    assert f"verdict  {facts['verdict']['headline']}\n" in text
    # No column runs into the next one.
    assert max(map(len, text.splitlines())) < 200


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        ({}, (), 0),
        ({"config": {"terms": 5}}, (), 5),
        ({"tensors": one_weight(1.01)}, (), 5),
        ({"tensors": one_weight(1.01)}, ("--max-lipschitz", "1e6"), 0),
        ({"tensors": one_weight(1.5)}, ("--max-lipschitz", "1e6"), 0),  # the verdict speaks of 1: VIOLATED
    ],
)
def test_the_check_that_stands_in_for_ci(tiny_model, capsys, change, options, code):
    alter(tiny_model, **change)
    assert inspect(tiny_model, "--check", *options) == code
    text = capsys.readouterr().out
    assert "verdict  " in text
    said = re.fullmatch(
        r"check    (passed|FAILED): L <= ([\d.e+]+) is proved from normalised pixels to features, the limit is "
        r"(1(?= \(up to 1\.000000001, for rounding\))|1000000)( \(.*\))?",
        text.splitlines()[-1],
    )
    assert said is not None
    assert said[1] == ("FAILED" if code else "passed")
    assert inspect(tiny_model, "--check", *options, "--json") == code
    facts = json.loads(capsys.readouterr().out)
    limit = float(said[3])
    assert facts["check"] == {
        "limit": limit, "allowed": limit if options else 1 + 1e-9, "proved": pytest.approx(float(said[2])),
        "within": code == 0, "scope": {"from": "normalised", "to": "features"},
    }  # fmt: skip
    layers = facts["layers"]
    product = math.prod(layer["bound"]["value"] for layer in layers if layer["role"] == "body")
    assert (product <= (float(options[1]) if options else 1.0) + 1e-6) is (code == 0)


def test_the_whole_is_more_than_the_body(tiny_model, capsys):
    """The pixels' normalisation and the head count, from numbers of the file's own tensors."""
    head = np.linalg.norm(load_file(tiny_model)["head.weight"].astype(np.float64), 2)
    assert inspect(tiny_model, "--check", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    arrows = [(arrow["from"], arrow["to"], arrow["layers"]) for arrow in facts["chain"]["arrows"]]
    assert arrows == [("pixels", "normalised", 1), ("normalised", "features", 11), ("features", "logits", 1)]
    constants = [arrow["bound"]["value"] for arrow in facts["chain"]["arrows"]]
    assert constants == pytest.approx([1 / 0.2507, 1.0, head], rel=1e-9)
    assert head <= constants[2]
    assert facts["chain"]["whole"]["bound"]["value"] == pytest.approx(head / 0.2507, rel=1e-9)
    assert facts["verdict"]["scope"] == {"from": "normalised", "to": "features"}
    assert inspect(tiny_model, "--check", "--whole", "--json") == 5
    answer = json.loads(capsys.readouterr().out)["check"]
    assert (answer["scope"], answer["within"]) == ({"from": "pixels", "to": "logits"}, False)
    assert answer["proved"] == facts["chain"]["whole"]["bound"]["value"]
    assert inspect(tiny_model, "--check", "--whole", "--max-lipschitz", repr(answer["proved"])) == 0
    text = capsys.readouterr().out
    assert re.search(r"^chain    pixels -> normalised +L <= 3\.98\d+$", text, re.M)
    assert re.search(r"^         features -> logits +L <= [\d.]+; a difference of two logits: <= [\d.]+$", text, re.M)
    assert re.search(r"^check    passed: L <= [\d.]+ is proved from pixels to logits, the limit is", text, re.M)


def test_a_check_of_a_net_without_a_proof(tiny_model, capsys):
    alter(tiny_model, tensors=scaled(1e30))
    assert inspect(tiny_model, "--check", "--max-lipschitz", "1.37") == 5
    assert capsys.readouterr().out.splitlines()[-1] == (
        "check    FAILED: no bound is proved from normalised pixels to features, the limit is 1.37"
    )


@pytest.mark.parametrize("limit", ["inf", "nan"])
def test_a_check_against_no_number_is_refused(tiny_model, capsys, limit):
    assert inspect(tiny_model, "--check", "--max-lipschitz", limit) == 2
    assert "needs a finite number" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--max-lipschitz", "2"), ("--whole",)])
def test_what_needs_a_check(tiny_model, capsys, option):
    assert inspect(tiny_model, *option) == 2
    assert f"{option[0]} needs --check" in capsys.readouterr().err


@pytest.fixture
def resnet(tmp_path):
    """A file of another origin, with names that a terminal should not see."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    content = {
        "conv1.weight": normal(6, 3, 3, 3),
        "bn1.weight": normal(6),
        "bn1.running_var": normal(6).abs(),
        "bn1.num_batches_tracked": torch.tensor(7),
        "layer1.0.conv1.weight": normal(4, 6, 1, 1).to(torch.bfloat16),
        "fc.weight": normal(10, 24),
        "half.weight": normal(7, 5).to(torch.float16),
        "ids": torch.arange(12).reshape(3, 4),
        "nan.weight": torch.full((2, 2), torch.nan),
        "\x1b[31mred\x1b]0;title\x07\n\r.weight": normal(3, 3),
        "[bold]markup[/bold]\u202e": normal(3, 2),
        "x" * 5000: normal(2, 2),
    }
    path = tmp_path / "resnet.safetensors"
    save_file(content, path, {"format": "pt", "note": "\x1b[31mred"})
    return path, content


def test_a_file_of_another_origin(resnet, capsys):
    path, content = resnet
    facts = as_json(capsys, path)
    assert facts["model"]["architecture"] is None
    assert facts["verdict"]["status"] == "not-proved"
    layers = {layer["name"]: layer for layer in facts["layers"]}
    assert layers.keys() == content.keys()
    for name in ("fc.weight", "half.weight"):
        values = np.linalg.svd(content[name].double().numpy(), compute_uv=False)
        assert layers[name]["bound"]["value"] == pytest.approx(values[0], rel=1e-9)
        assert layers[name]["sigma_max"]["value"] == pytest.approx(values[0], rel=1e-12)
        assert layers[name]["sigma_min"]["value"] == pytest.approx(values[-1], rel=1e-9)
    for name in ("conv1.weight", "layer1.0.conv1.weight"):
        assert layers[name]["bound"]["proved"]
        assert layers[name]["sigma_max"] is None
    assert layers["layer1.0.conv1.weight"]["bound"]["value"] == pytest.approx(
        np.linalg.norm(content["layer1.0.conv1.weight"].double().numpy()[:, :, 0, 0], 2), rel=1e-9
    )
    for name in ("bn1.weight", "bn1.running_var", "bn1.num_batches_tracked", "ids", "nan.weight"):
        assert not layers[name]["bound"]["proved"]
        assert layers[name]["bound"]["value"] is None
    assert {layer["role"] for layer in layers.values()} == {"tensor"}


def test_hostile_names_are_harmless(resnet, capsys):
    path, content = resnet
    text = as_text(capsys, path)
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) < 2 * len(content) + 40
    assert max(map(len, text.splitlines())) < 400
    assert r"\x1b[31mred" in text
    assert "[bold]markup[/bold]\\" in text
    assert "convolution kernel 4 x 6 x 1 x 1 BF16 " in text
    assert "not proved" in text
    assert "lipscope certify" not in text  # it would refuse
    # JSON escapes control characters.
    assert inspect(path, "--json") == 0
    assert capsys.readouterr().out.strip().isprintable()


def error_of(capsys, *arguments: object) -> tuple[int, str]:
    """Exit code and message, the same as text and as JSON, and nothing else on stdout."""
    capsys.readouterr()
    code = inspect(*arguments)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "Traceback" not in stderr
    assert inspect(*arguments, "--json") == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["what"] in stderr
    return code, stderr.strip()


def test_files_that_cannot_be_inspected(tiny_model, tmp_path, capsys):
    whole = tiny_model.read_bytes()
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "the file is empty"),
        "truncated": (whole[:-1], "the file is truncated"),
        "text": (b"hello, this is no tensor file at all", "not a safetensors file"),
    }
    for name, (content, said) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        code, line = error_of(capsys, path)
        assert (code, line.count("\n")) == (4, 0), name
        assert line.startswith(f"lipscope: {path}: "), name
        assert said in line, name
    code, line = error_of(capsys, tmp_path)
    assert code == 4
    assert "name the model.safetensors inside it" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensors": spoiled(float("nan"))}, "NaN or infinite"),
        ({"tensors": lambda t: t.update({"head.bias": t["head.bias"][:9].clone()})}, "wrong shape"),
        ({"config": {"architecture": "vgg"}}, "unknown architecture 'vgg'"),
        ({"metadata": {"lipscope.schema": "lipscope.checkpoint/99"}}, "unknown checkpoint schema"),
        ({"metadata": {"lipscope.schema": "\x1b[31m"}}, r"unknown checkpoint schema '\x1b[31m'"),
    ],
)
def test_models_that_are_not_what_they_claim(tiny_model, capsys, change, said):
    code, line = error_of(capsys, alter(tiny_model, **change))
    assert code == 4
    assert said in line
    assert line.isprintable()


def test_bare_without_any_model(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = error_of(capsys)
    assert code == 2
    assert "no model was given, and none was found" in line


def test_bare_it_takes_the_first_checkpoint_when_there_is_no_run(resnet, capsys, tmp_path, monkeypatch):
    path, _ = resnet
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("b.safetensors", "a.safetensors"):
        (folder / name).write_bytes(path.read_bytes())
    # Before both by its name, and no model by its metadata.
    save_file({}, folder / "a.certified.safetensors", {"lipscope.results": "lipscope.results/2"})
    assert inspect() == 0
    stdout, stderr = capsys.readouterr()
    assert stderr.startswith("lipscope: model checkpoints/a.safetensors\n")
    assert "file     checkpoints/a.safetensors" in stdout


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


def test_the_text_says_how_tensors_were_read_and_why_nothing_is_proved(tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    kernel, bias = torch.ones(2, 3, 3, 4), torch.ones(3)
    save_file({"a": kernel, "b": bias, "c": bias.clone(), "w.parametrizations.weight.original": kernel.clone()}, path)
    assert inspect(path) == 0
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert any(
        line.startswith("1 x the file does not say how its axes are read; the largest bound of") for line in said
    )
    assert any(line.endswith("circular padding that adds no outputs (float64, rounded outward)") for line in said)
    assert "2 x neither a matrix nor a convolution kernel of floats" in said
    assert f"1 x {UNKNOWN}" in said
