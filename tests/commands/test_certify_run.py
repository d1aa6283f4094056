"""What is kept, what answers, and what goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lipscope.checkpoint import sha256_of
from lipscope.results import read_results, results_path, write_results
from tests.commands.certifying import as_json, certify
from tests.full_disk import full_disk
from tests.models_on_disk import alter

pytestmark = pytest.mark.usefixtures("no_data")


def test_the_second_call_answers_from_the_results_file(certified, capsys):
    first = results_path(certified).read_bytes()
    assert certify(certified) == 0
    again = capsys.readouterr()
    assert "answered from" in again.err
    assert certify(certified, "--force") == 0
    forced = capsys.readouterr()
    assert "answered from" not in forced.err
    assert f"results kept in {results_path(certified)}" in forced.err
    assert forced.out == again.out
    certificates, _ = read_results(results_path(certified))
    results_path(certified).write_bytes(first)
    before, _ = read_results(results_path(certified))
    np.testing.assert_array_equal(certificates.radius, before.radius)


def test_results_are_those_of_these_very_bytes(certified, capsys):
    assert read_results(results_path(certified))[0].model_sha256 == sha256_of(certified)
    alter(certified, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    assert certify(certified) == 0
    assert "answered from" not in capsys.readouterr().err
    assert read_results(results_path(certified))[0].model_sha256 == sha256_of(certified)


def test_other_data_are_other_results(certified, capsys, monkeypatch):
    from lipscope.commands import certify_images

    real = certify_images.load
    monkeypatch.setattr(certify_images, "load", lambda name, split, folder: real(name, split, folder).subset(range(99)))
    facts = as_json(capsys, certified)
    assert facts["data"]["n"] == 99


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_results_file_is_replaced(certified, capsys, damage):
    target = results_path(certified)
    target.write_bytes(target.read_bytes()[:-9] if damage is None else damage)
    assert certify(certified) == 0
    assert "computing anew" in capsys.readouterr().err
    assert len(read_results(target)[0]) == 1000


def test_results_that_cannot_be_kept_are_printed_all_the_same(tiny_model, capsys):
    target = results_path(tiny_model)
    target.mkdir()
    assert certify(tiny_model) == 1
    stdout, stderr = capsys.readouterr()
    assert f"{target}" in stderr
    assert "could not be kept" in stderr
    assert "Traceback" not in stderr
    assert "clean" in stdout
    assert [path.name for path in target.parent.iterdir() if path.name.startswith(".")] == []
    target.rmdir()
    with full_disk():
        assert certify(tiny_model, "--json") == 1
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["data"]["n"] == 1000
    assert "cannot be written" in stderr
    assert not target.exists()


def test_a_model_of_that_name_is_never_overwritten(tiny_model, capsys):
    other = tiny_model.with_name("model.certified.safetensors")
    shutil.copy(tiny_model, other)
    assert certify(tiny_model) == 4
    told = capsys.readouterr()
    assert "clean" in told.out
    assert "is not a results file, and is not overwritten" in told.err
    assert other.read_bytes() == tiny_model.read_bytes()


def test_a_forged_results_file_is_computed_anew(tiny_model, capsys):
    assert certify(tiny_model, "--json") == 0
    honest = json.loads(capsys.readouterr().out)
    target = tiny_model.with_name("model.certified.safetensors")
    kept, facts = read_results(target)
    write_results(target, replace(kept, radius=kept.radius * 50, lipschitz=0.01), facts)
    assert certify(tiny_model, "--json") == 0
    assert json.loads(capsys.readouterr().out) == honest
