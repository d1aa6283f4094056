from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lipscope.analysis.spectra import singular_values
from lipscope.cli import run
from lipscope.files.checkpoint import read_header
from lipscope.files.results import read_results, results_path, write_results

pytestmark = pytest.mark.usefixtures("no_data")

EPS = {"36/255": 36 / 255, "72/255": 72 / 255, "108/255": 108 / 255, "255/255": 1.0}


@pytest.fixture(autouse=True)
def _sooner_lanczos(monkeypatch):
    """The first layer has 1,024 singular values: by Lanczos in a tenth of the time."""
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 512)


@pytest.fixture
def pair(certified, tmp_path):
    """Two models with results: the second has half the head's weights and other radii."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = folder / "b.safetensors"
    tensors = load_file(certified)
    tensors["head.weight"] = tensors["head.weight"] / 2
    save_file(tensors, other, dict(read_header(certified).metadata))
    kept = read_results(results_path(certified))
    radius = np.random.default_rng(0).permutation(kept.radius)
    write_results(results_path(other), replace(kept, radius=radius), {})
    return certified, other


def test_radii_of_somebody_else_are_called_claimed(pair, capsys):
    for path, word in zip(pair, ("certified or claimed beyond  ", "claimed beyond  "), strict=True):
        place = results_path(path)
        place.write_bytes(place.read_bytes()[:-1] + bytes([place.read_bytes()[-1] ^ 1]))
        assert run(["inspect", *map(str, pair)]) == 0
        assert any(line.startswith(word) for line in capsys.readouterr().out.splitlines())


def as_json(capsys, *paths) -> dict:
    capsys.readouterr()
    assert run(["inspect", *map(str, paths), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_comparison_as_json(pair, capsys):
    facts = as_json(capsys, *pair)
    assert facts["schema"] == "lipscope.compare/1"
    assert [facts["models"][letter]["path"] for letter in "ab"] == [str(path) for path in pair]
    layers = {layer["name"]: layer for layer in facts["layers"]}
    head = layers.pop("head")
    assert head["b"]["sigma_max"]["value"] == pytest.approx(head["a"]["sigma_max"]["value"] / 2, rel=1e-6)
    assert head["b_minus_a"]["sigma_max"] == head["b"]["sigma_max"]["value"] - head["a"]["sigma_max"]["value"]
    assert {layer["b_minus_a"]["bound"] for layer in layers.values()} == {0.0}
    first, second = (read_results(results_path(path)) for path in pair)
    assert facts["certified"]["comparable"]
    assert facts["certified"]["b"]["stale"]
    assert not facts["certified"]["a"]["stale"]
    for row in facts["certified"]["at"]:
        sure = [one.correct & (one.radius > EPS[row["eps"]]) for one in (first, second)]
        assert row["images_only_a"] == np.flatnonzero(sure[0] & ~sure[1]).tolist()
        assert row["images_only_b"] == np.flatnonzero(sure[1] & ~sure[0]).tolist()
        assert row["both"] == (sure[0] & sure[1]).sum()
        assert row["only_a"] + row["only_b"] + row["both"] + row["neither"] == len(first)


def test_the_comparison_as_text(pair, capsys):
    capsys.readouterr()
    assert run(["inspect", *map(str, pair)]) == 0
    text = capsys.readouterr().out
    assert text.count("verdict proved") == 2
    assert "head" in text
    assert "STALE" in text
    assert "36/255: both " in text
    assert "estimates" in text
    assert "bound proved" in text


def test_other_images_are_not_compared(pair, capsys):
    kept = read_results(results_path(pair[1]))
    write_results(results_path(pair[1]), replace(kept, data_fingerprint="e" * 64), {})
    certified = as_json(capsys, *pair)["certified"]
    assert not certified["comparable"]
    assert "fingerprints differ" in certified["reason"]
    assert certified["at"] == []
    assert certified["a"]["clean"] == certified["b"]["clean"]


def test_without_results_the_command_is_named(pair, capsys):
    results_path(pair[1]).unlink()
    capsys.readouterr()
    assert run(["inspect", *map(str, pair)]) == 0
    text = capsys.readouterr().out
    assert "no results of `lipscope certify` beside B" in text
    assert "`lipscope certify` on each model makes its results." in text


def test_what_speaks_of_one_model_refuses_two(pair, capsys):
    assert run(["inspect", *map(str, pair), "--check"]) == 2
    assert run(["inspect", *map(str, pair), "--witness", "w.safetensors"]) == 2
    assert "one model" in capsys.readouterr().err


def test_a_second_model_that_is_not_there_is_exit_code_4(pair, capsys, tmp_path):
    shutil.rmtree(pair[1].parent)
    assert run(["inspect", *map(str, pair)]) == 4
    assert "b.safetensors" in capsys.readouterr().err
