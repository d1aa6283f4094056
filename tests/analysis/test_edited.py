"""A checkpoint whose bytes were changed after training: the change is caught, and the layer named."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from lipscope.analysis.analysis import inspect_report
from lipscope.analysis.spectra import singular_values
from lipscope.cli import run
from lipscope.errors import CheckpointError
from lipscope.records import allowed
from tests.models_on_disk import alter, spoiled


@pytest.fixture(autouse=True)
def _sooner_lanczos(monkeypatch):
    """The first layer has 1,024 singular values: by Lanczos in a tenth of the time."""
    monkeypatch.setattr(singular_values, "COMPOSITE_LIMIT", 512)


CONVOLUTIONS = [f"stage{stage}.block1.conv" for stage in range(1, 6)]


def one_of(name: str, factor: float):
    """The largest weight of a layer times a factor."""

    def change(tensors) -> None:
        flat = tensors[f"{name}.kernel"].view(-1)
        flat[int(flat.abs().argmax())] *= factor

    return change


@pytest.mark.parametrize("factor", [1.01, -1.0], ids=["one weight x 1.01", "a swapped sign"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_one_weight_breaks_the_proof_of_its_layer(tiny_model, name: str, factor: float) -> None:
    report = inspect_report(alter(tiny_model, tensors=one_of(name, factor)))
    assert (report.verdict.status, report.verdict.layer) == ("violated", name)
    expanding = [layer.name for layer in report.layers if layer.role == "body" and layer.bound.value > 1]
    assert expanding == [name]
    bound = next(layer.bound for layer in report.layers if layer.name == name)
    assert allowed(1) < report.verdict.lipschitz <= bound.value
    assert "not exactly skew-symmetric" in bound.method


def test_the_sign_of_a_pair_of_weights_leaves_the_kernel_skew_and_the_proof_right(tiny_model) -> None:
    """Both entries of a pair turned around: another skew kernel, which is proved like any other."""
    name = f"{CONVOLUTIONS[1]}.kernel"

    def change(tensors) -> None:
        kernel = tensors[name]
        kernel[0, 1, 0, 1] *= -1
        kernel[1, 0, 2, 1] *= -1

    found = inspect_report(alter(tiny_model, tensors=change)).verdict
    assert found.status == "proved"
    assert found.lipschitz <= allowed(1)


@pytest.mark.parametrize("name", [f"{CONVOLUTIONS[2]}.bias", f"{CONVOLUTIONS[3]}.kernel", "head.bias", "head.weight"])
def test_a_number_that_is_none_is_refused_by_name(tiny_model, capsys, name: str) -> None:
    path = alter(tiny_model, tensors=spoiled(float("nan"), name))
    with pytest.raises(CheckpointError, match="NaN or infinite") as caught:
        inspect_report(path)
    assert name in str(caught.value)
    assert run(["inspect", str(path), "--check"]) == CheckpointError.exit_code
    assert name in capsys.readouterr().err


def test_the_edits_do_edit(tiny_model) -> None:
    before = load_file(tiny_model)
    after = load_file(alter(tiny_model, tensors=one_of(CONVOLUTIONS[2], 1.01)))
    changed = [name for name, tensor in before.items() if not tensor.equal(after[name])]
    assert changed == [f"{CONVOLUTIONS[2]}.kernel"]
    assert int(before[changed[0]].ne(after[changed[0]]).sum()) == 1
