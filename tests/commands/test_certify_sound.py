"""``lipscope certify --sound``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lipscope.commands.certify_sound import Stopwatch
from lipscope.files.results import read_results, results_path, write_results
from tests.commands.certifying import as_json, beside, certify
from tests.models_on_disk import alter

pytestmark = pytest.mark.usefixtures("no_data")


def biased(size: float):
    """The same number added to every logit."""
    return lambda tensors: tensors["head.bias"].add_(size)


def test_sound_figures_with_the_real_arithmetic_ones_beside(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    facts = as_json(capsys, tiny_model, "--sound", "--limit", 40, "--per-image", "--logits")
    assert (facts["kind"], facts["evaluation"]) == ("sound", "float64")
    assert facts["environment"]["dtype"] == "float64"
    assert not any(facts["environment"]["convolution_libraries"].values())
    real = as_json(capsys, tiny_model, "--limit", 40, "--per-image")
    assert (real["kind"], real["evaluation"]) == ("real-arithmetic", "float32")
    assert real["environment"]["dtype"] == "float32"
    assert "budget" not in real
    assert facts["real_arithmetic"]["certified"] == real["certified"]
    assert facts["real_arithmetic"]["kind"] == "real-arithmetic"
    budget = facts["budget"]
    assert [layer["name"] for layer in budget["layers"]][:2] == ["normalize", "stage1.block1.conv"]
    assert budget["proved"]
    assert 0 < budget["logit"] < 1e-6
    for ours, theirs in zip(facts["images"], real["images"], strict=True):
        assert ours["radius"] == ours["sound_radius"] == pytest.approx(theirs["radius"], abs=1e-4)
        # Printed as float64, which float32 logits are not.
        assert any(logit != float(np.float32(logit)) for logit in ours["logits"])


def test_text_says_the_kind_the_times_and_the_budget(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    assert certify(tiny_model, "--sound", "--limit", 30) == 0
    printed = capsys.readouterr()
    assert "kind       sound radii, float64 evaluation" in printed.out
    assert "real-arithmetic radii, float32 evaluation" in printed.out
    assert "own error <=" in printed.out
    assert "taken from each margin 2 times" in printed.out
    assert "images/s" in printed.err
    assert "times as long" in printed.err
    assert certify(tiny_model, "--limit", 30) == 0
    assert "kind       real-arithmetic radii, float32 evaluation" in capsys.readouterr().out


def test_both_kinds_are_kept_and_answer(certified: Path, capsys: pytest.CaptureFixture[str]):
    before, _ = read_results(results_path(certified))
    assert before.sound_radius is None
    assert certify(certified, "--sound") == 0
    first = capsys.readouterr()
    assert "answered from" not in first.err
    found, summary = read_results(results_path(certified))
    assert found.kind == "real-arithmetic"
    assert np.array_equal(found.radius, before.radius)
    assert found.sound_radius is not None
    assert summary["sound"]["kind"] == "sound"
    assert not any("part" in name for name in beside(certified))

    assert certify(certified, "--sound") == 0
    again = capsys.readouterr()
    assert "answered from" in again.err
    assert again.out == first.out
    assert certify(certified) == 0
    plain = capsys.readouterr()
    assert "answered from" in plain.err
    assert "kind       real-arithmetic" in plain.out
    # A new float32 run keeps what it does not compute.
    assert certify(certified, "--force") == 0
    after, _ = read_results(results_path(certified))
    assert after.sound_radius is not None
    assert np.array_equal(after.sound_radius, found.sound_radius)
    assert after.environment["sound"] == found.environment["sound"]


def test_kept_sound_radii_that_are_wrong_do_not_answer(certified: Path, capsys: pytest.CaptureFixture[str]):
    assert certify(certified, "--sound") == 0
    found, summary = read_results(results_path(certified))
    assert found.sound_radius is not None
    write_results(results_path(certified), replace(found, sound_radius=found.sound_radius * 0.5), summary)
    capsys.readouterr()
    assert certify(certified, "--sound") == 0
    assert "the kept sound radii do not answer" in capsys.readouterr().err
    assert np.array_equal(read_results(results_path(certified))[0].sound_radius, found.sound_radius)


def test_a_model_too_coarse_for_float32_gets_an_answer(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    alter(tiny_model, tensors=biased(2.0**20))
    assert certify(tiny_model, "--limit", 20) == 5
    assert "--sound" in capsys.readouterr().err
    facts = as_json(capsys, tiny_model, "--sound", "--limit", 20, "--per-image")
    assert facts["real_arithmetic"]["evaluation"] == "float64"
    assert any(image["radius"] > 0 for image in facts["images"])

    alter(tiny_model, tensors=biased(2.0**60))
    capsys.readouterr()
    assert certify(tiny_model, "--sound", "--limit", 20) == 0
    printed = capsys.readouterr()
    assert "20 of 20 margins do not exceed the rounding errors of float64" in printed.err
    facts = as_json(capsys, tiny_model, "--sound", "--limit", 20, "--per-image")
    assert all(image["radius"] == 0 for image in facts["images"])
    assert all(row["count"] == 0 for row in facts["certified"])


def test_the_gate_and_the_table_take_the_sound_radii(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    alter(tiny_model, tensors=biased(2.0**60))
    assert certify(tiny_model, "--sound", "--limit", 20, "--min-certified", "0.01@1/255") == 5
    copy = tiny_model.with_name("copy.safetensors")
    copy.write_bytes(tiny_model.read_bytes())
    capsys.readouterr()
    assert certify(tiny_model, copy, "--sound", "--limit", 20) == 0
    assert "sound radii" in capsys.readouterr().out


def test_the_stopwatch_leaves_out_what_an_earlier_run_did(monkeypatch: pytest.MonkeyPatch):
    ticks = iter([0.0, 1.0, 3.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    watch, told = Stopwatch(10), []
    assert watch.rate == 0
    advance = watch.following(lambda done, total: told.append((done, total)))
    advance(510, 1000)
    advance(520, 1000)
    assert watch.rate == pytest.approx(20 / 3)
    assert told == [(510, 1000), (520, 1000)]


def test_the_libraries_of_convolutions_come_back(tiny_model: Path):
    assert certify(tiny_model, "--sound", "--limit", 2) == 0
    assert torch.backends.cudnn.enabled
    assert torch.backends.mkldnn.enabled


def lost(tensors) -> None:
    """A bias that even float64 loses the features in, before a head whose rows sum to exactly 0."""
    tensors["stage5.block1.conv.bias"].fill_(2.0**60)
    rows = (tensors["head.weight"].double() * 2**12).round()
    rows[:, 0] -= rows.sum(dim=1)
    tensors["head.weight"].copy_(rows * 2.0**-12)
    tensors["head.bias"].zero_()[3] = 0.25


def test_no_radius_is_kept_that_float64_is_too_coarse_for(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    alter(tiny_model, tensors=lost)
    facts = as_json(capsys, tiny_model, "--sound", "--eps", "0")
    assert not any(row["count"] for row in [*facts["certified"], *facts["real_arithmetic"]["unchanging"]])
    kept, _ = read_results(results_path(tiny_model))
    assert kept.margin.max() > 0.1
    assert not kept.radius.any()
    assert certify(tiny_model) == 5
