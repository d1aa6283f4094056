"""Files of another origin, damaged ones and none: what `lipscope inspect` makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lipscope.analysis.parametrised import UNKNOWN
from tests.commands.inspecting import as_json, as_text, error_of, inspect
from tests.models_on_disk import alter, spoiled

pytestmark = pytest.mark.usefixtures("no_data", "sooner_lanczos")


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
