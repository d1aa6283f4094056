"""Steps that torch.compile has made: the same steps, up to the order of their sums."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.training.loop import train
from tests.training.conftest import ALONE
from tests.training.runs import assert_same_outcome


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_run_takes_its_steps_through_the_compiled_features(new_run, few_images, monkeypatch, mode) -> None:
    calls: list[str] = []

    def compiled(function, *, mode: str):
        def call(x):
            calls.append(mode)
            return function(x)

        return call

    plain, other = new_run("plain", epochs=1), new_run("compiled", epochs=1)
    assert train(plain, few_images, ALONE)
    monkeypatch.setattr(torch, "compile", compiled)
    assert train(other, few_images, ALONE, compiled=mode)
    assert calls == [mode] * 6
    assert_same_outcome(other, plain)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "config",
    [
        LipConvnetConfig(channels=2, activation="hh1"),
        LipConvnetConfig(channels=2, conv="cayley"),
        LipConvnetConfig(channels=2, conv="bcop"),
        ShiftNetConfig(widths=(16, 32), blocks=(1, 1)),
    ],
    ids=["soc", "cayley", "bcop", "shiftnet"],
)
def test_inductor_trains_to_nearly_the_same_weights(new_run, few_images, config) -> None:
    runs = [new_run(name, config, epochs=1) for name in ("plain", "compiled")]
    assert train(runs[0], few_images, ALONE)
    assert train(runs[1], few_images, ALONE, compiled="default")
    plain, compiled = (load_file(run.model) for run in runs)
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
