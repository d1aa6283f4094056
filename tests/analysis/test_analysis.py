from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lipscope.analysis import analysis
from lipscope.analysis.analysis import analyse, inspect_report
from lipscope.analysis.spectra import singular_values
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import sha256_of
from tests.dense import series, unshuffle_matrix, zero_padded_matrix
from tests.models_on_disk import CONV, alter, one_weight, scaled, spoiled

LAYERS = [
    "normalize",
    *(f"stage{k}.block1.{part}" for k in range(1, 6) for part in ("conv", "activation")),
    "flatten",
    "head",
]
MEASURED = [name for name in LAYERS if name.endswith("conv") or name == "head"]


@pytest.fixture(scope="module", autouse=True)
def _sooner_lanczos():
    """The first layer has 1,024 singular values: by Lanczos in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(singular_values, "DENSE_LIMIT", 512)
        yield


@pytest.fixture(scope="module")
def events(tiny_file):
    return list(analyse(tiny_file))


def phase(event):
    if event.verdict is not None:
        return "verdict"
    if event.layer is None:
        return "announced"
    if event.layer.spectrum is not None:
        return "singular values"
    return "gradients" if event.layer.gradient_norm is not None else "bounds"


def test_the_most_important_facts_come_first(events):
    phases = [phase(event) for event in events]
    assert phases == (
        ["announced"] * 2
        + ["bounds"] * len(LAYERS)
        + ["verdict"]
        + ["gradients"] * len(LAYERS)
        + ["singular values"] * len(MEASURED)
        + ["verdict"]
    )
    assert [event.layer.name for event in events if phase(event) == "bounds"] == LAYERS
    assert [event.layer.name for event in events if phase(event) == "gradients"] == LAYERS
    assert [event.layer.name for event in events if phase(event) == "singular values"] == MEASURED


def test_progress_only_grows_and_ends(events):
    done = [event.done for event in events]
    assert done == sorted(done)
    reading, first, *others = events
    assert (reading.done, reading.total, reading.doing) == (0, 0, "reading the model, forming its matrices")
    assert (first.done, first.doing) == (0, f"bound of {LAYERS[0]}")
    assert {event.total for event in (first, *others)} == {events[-1].done}
    assert done[2] > 0
    assert [event.doing for event in events if not event.doing] == ["", ""]  # the last report and the last verdict
    assert events[-1].doing == events[-2].doing == ""


def test_what_comes_next_is_said(events):
    bounds = [event for event in events if phase(event) == "bounds"]
    assert [event.doing for event in bounds[:-1]] == [f"bound of {name}" for name in LAYERS[1:]]
    values = [event for event in events if phase(event) == "singular values"]
    assert [event.doing for event in values[:-1]] == [f"singular values of {name}" for name in MEASURED[1:]]


def test_later_reports_know_more(events):
    known = {}
    for event in events:
        if event.layer is None:
            continue
        before = known.get(event.layer.name)
        if before is not None:
            assert event.layer.bound == before.bound
            assert event.layer.kind == before.kind
            assert before.gradient_norm in (None, event.layer.gradient_norm)
        known[event.layer.name] = event.layer


def test_the_facts_of_a_proved_model(events):
    reports = {event.layer.name: event.layer for event in events if event.layer is not None}
    first, last = (event.verdict for event in events if event.verdict)
    assert (first, last.searching) == (replace(last, searching=True), False)
    assert [event.chain is not None for event in events if event.verdict] == [True, False]
    assert (events[-1].verdict.status, events[-1].verdict.lipschitz) == ("proved", 1.0)
    shapes = [(reports[name].input_shape, reports[name].output_shape) for name in LAYERS]
    for (_, out), (taken, _) in itertools.pairwise(shapes):
        assert out == taken
    assert shapes[0][0] == (3, 32, 32)
    assert shapes[-1] == ((64,), (10,))
    for name in LAYERS[1:-2]:
        report = reports[name]
        assert (report.bound.proved, report.bound.value, report.role) == (True, 1.0, "body")
        assert report.gradient_norm.minimum == pytest.approx(1, abs=1e-4)  # no layer here has more outputs than inputs
        assert report.gradient_norm.maximum == pytest.approx(1, abs=1e-4)
    for name in MEASURED[:-1]:
        report = reports[name]
        assert report.sigma_max.value <= 1 + 1e-12
        assert report.sigma_min.value >= 1 - 2.3e-6
        assert report.spectrum.size == np.prod(report.output_shape)
        assert report.spectrum.at_one == 1.0
        (floor,) = (note for note in report.notes if "proved to be at least" in note)
        assert 1 - 1e-4 < float(floor.rpartition(" ")[2]) <= report.sigma_min.value
    assert (reports["normalize"].role, reports["head"].role) == ("normalisation", "head")
    assert reports["normalize"].bound.value == pytest.approx(1 / 0.2507)
    assert reports["normalize"].gradient_norm.mean == pytest.approx(1 / 0.2507, rel=1e-4)


def test_a_layer_against_its_matrix(events, tiny_file):
    """Singular values of the file's kernel, from a matrix built entry by entry."""
    from safetensors.numpy import load_file

    reports = {event.layer.name: event.layer for event in events if event.layer is not None}
    kernel = load_file(tiny_file)["stage4.block1.conv.kernel"].astype(np.float64)
    matrix = (series(zero_padded_matrix(kernel, 2, 2), 12) @ unshuffle_matrix(16, 4, 4, 2))[: 32 * 4]
    values = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(reports["stage4.block1.conv"].spectrum.values, values, atol=1e-12)
    weight = load_file(tiny_file)["head.weight"].astype(np.float64)
    values = np.linalg.svd(weight, compute_uv=False)
    np.testing.assert_allclose(reports["head"].spectrum.values, values, rtol=1e-12)


def test_closing_the_generator_cancels(tiny_file, monkeypatch):
    measured = []
    real = analysis.measure_layer
    monkeypatch.setattr(analysis, "measure_layer", lambda layer, shape: measured.append(layer) or real(layer, shape))
    running = analyse(tiny_file)
    for event in running:
        if event.layer is not None and event.layer.spectrum is not None:
            break
    running.close()
    assert len(measured) == 1
    assert list(running) == []


def test_nothing_is_computed_before_it_is_asked_for(tiny_file, monkeypatch):
    monkeypatch.setattr(analysis, "load_subject", lambda path, description: pytest.fail("too early"))
    analyse(tiny_file).close()


def fake(monkeypatch):
    """Singular values of no interest: the analysis without its slow part."""
    monkeypatch.setattr(analysis, "_has_spectrum", lambda layer: layer.kind == "LLN")


def test_images_of_the_models_own_data_set(tiny_file, monkeypatch):
    fake(monkeypatch)
    assert inspect_report(tiny_file).layers[1].gradient_norm.images == "64 images of synthetic test"


def test_synthetic_images_say_so(tiny_model, monkeypatch):
    fake(monkeypatch)
    alter(tiny_model, config={"dataset": "cifar10"})
    said = inspect_report(tiny_model).layers[1].gradient_norm.images
    assert said == "64 synthetic images (cifar10 was not found)"


@pytest.mark.parametrize("name", ["\x1b]0;title\x07", "", "x" * 1000, 7, None])
def test_unknown_data_sets_are_shown_harmless(tiny_model, monkeypatch, name):
    fake(monkeypatch)
    alter(tiny_model, config={"dataset": name})
    said = inspect_report(tiny_model).layers[1].gradient_norm.images
    assert said.startswith("64 synthetic images (data set ")
    assert said.isprintable()
    assert len(said) < 100


def test_other_image_sizes_get_noise_and_say_so(tmp_path, monkeypatch):
    from lipscope.models.lipconvnet import LipConvnetConfig
    from lipscope.models.stored import save_model

    fake(monkeypatch)
    config = LipConvnetConfig(channels=2, mean=(0.5,), std=(0.5,), dataset="synthetic")
    torch.manual_seed(0)
    net = config.build()
    net.make_trainable()
    path = tmp_path / "grey.safetensors"
    save_model(net.frozen(), path, config.to_json(), {})
    report = inspect_report(path)
    assert report.layers[1].gradient_norm.images == "64 images of uniform noise"
    assert report.layers[1].gradient_norm.mean == pytest.approx(1, abs=1e-4)


def test_the_report_collects_the_events(tiny_file, events):
    report = inspect_report(tiny_file)
    assert report.sha256 == sha256_of(tiny_file)
    assert [layer.name for layer in report.layers] == LAYERS
    final = {event.layer.name: event.layer for event in events if event.layer is not None}
    assert {layer.name: layer for layer in report.layers} == final
    assert report.verdict == events[-1].verdict
    assert report.architecture == "lipconvnet"
    assert set(report.environment["fp32_precision"].values()) == {"ieee"}


VARIANTS = {
    # 1.5 * 2.1 = 3.15 < 3.38, up to which p_12 does not expand: still a theorem.
    "scaled by 1.5": ({"tensors": scaled(1.5)}, "proved", "product of 11 layers"),
    # 3 * 2.1 = 6.3: it expands, and a vector shows it.
    "scaled by 3": ({"tensors": scaled(3.0)}, "violated", "a vector gives"),
    # Singular values move by 1e-2 times one weight, up and down.
    "one weight": ({"tensors": one_weight(1.01)}, "violated", "a vector gives"),
    # p_5 expands at once; the first layer is named.
    "five terms": ({"config": {"terms": 5}}, "violated", "a vector gives 1.00"),
    # Nothing can be computed with such weights, and nothing is claimed.
    "scaled by 1e30": ({"tensors": scaled(1e30)}, "not-proved", "layer stage2.block1.conv: its bound overflows"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_verdict_follows_from_the_stored_bytes(tiny_model, name):
    change, status, said = VARIANTS[name]
    report = inspect_report(alter(tiny_model, **change))
    assert report.verdict.status == status
    assert said in report.verdict.reason
    bounds = {layer.name: layer.bound.value for layer in report.layers if layer.role == "body"}
    expanding = {layer for layer, value in bounds.items() if value > 1}
    if status == "violated":
        assert report.verdict.layer == ("stage1.block1.conv" if name == "five terms" else "stage2.block1.conv")
    if status == "proved":
        assert report.verdict.lipschitz == 1.0
        assert not expanding
    elif name == "five terms":
        assert expanding == set(MEASURED[:-1])
        assert max(bounds.values()) < 1.00475  # |p_5(2.1 i)|
        assert np.prod(list(bounds.values())) <= 1.00475**5
    else:
        assert expanding == {"stage2.block1.conv"}
    for layer in report.layers:
        if layer.sigma_max is not None and layer.role == "body":
            assert layer.sigma_max.value <= layer.bound.value * (1 + 1e-12)
    # Every number of the report can be written as strict JSON.
    json.dumps(report.to_json(), allow_nan=False)


def test_a_violation_is_exhibited_by_the_stored_kernel(tiny_model):
    """The ratio in the verdict is attained by the matrix of the layer, built entry by entry."""
    from safetensors.numpy import load_file

    report = inspect_report(alter(tiny_model, tensors=one_weight(1.5)))
    kernel = load_file(tiny_model)[CONV].astype(np.float64)
    matrix = (series(zero_padded_matrix(kernel, 8, 8), 12) @ unshuffle_matrix(4, 16, 16, 2))[: 8 * 64]
    largest = np.linalg.norm(matrix, 2)
    assert report.verdict.status == "violated"
    assert report.verdict.lipschitz == pytest.approx(largest, rel=1e-9)
    assert largest > 1 + 1e-4


def test_before_the_witness_the_bound_alone_judges(tiny_model):
    alter(tiny_model, config={"terms": 5})
    first = next(event.verdict for event in analyse(tiny_model) if event.verdict is not None)
    assert (first.status, first.searching) == ("bounded", True)
    assert 1.0 < first.lipschitz < 1.00475**5
    assert "the largest is stage" in first.reason


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tiny_model, value):
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        list(analyse(alter(tiny_model, tensors=spoiled(value))))


def test_unknown_files_are_analysed_tensor_by_tensor(tmp_path):
    path = tmp_path / "resnet.safetensors"
    content = {"a": torch.eye(3), "b": torch.ones(4, 3, 3, 3), "c": torch.ones(5)}
    save_file(content, path)
    reading, *events = analyse(path)
    assert (reading.layer, reading.total) == (None, 0)
    listed = list(events[:3])
    assert sorted(event.layer.name for event in listed) == ["a", "b", "c"]
    assert {event.done for event in events[:4]} == {0}
    assert events[3].verdict.status == "not-proved"
    assert "how its tensors are connected" in events[3].verdict.reason
    assert [event.done for event in events[4:]] == [1, 2, 3]
    assert {event.total for event in events} == {3}
    assert events[-1].doing == ""
    report = inspect_report(path)
    assert report.architecture is None
    assert {layer.name: layer.bound.proved for layer in report.layers} == {"a": True, "b": True, "c": False}


def test_a_file_without_tensors(tmp_path):
    path = tmp_path / "empty.safetensors"
    save_file({}, path)
    assert inspect_report(path).layers == ()
