"""What ``import lipscope`` offers: the same numbers as the rooms behind it, and clear words where it cannot."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import lipscope
from lipscope.certification import evaluate
from lipscope.data import ImageSet, load
from lipscope.door.images import image_set
from lipscope.door.subject import stored
from lipscope.errors import CheckFailedError, CheckpointError, DataError, LipscopeError, UsageError
from lipscope.models.stored import load_model
from tests.test_imports import HEAVY, imported

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def linear_net(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, classes)).eval()


class Pairs(Dataset):
    """As torchvision's data sets are: pictures and labels one by one."""

    classes = ("one", "two", "three")

    def __init__(self, images: np.ndarray, labels: list[int]) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int):
        return self.images[number], self.labels[number]


def test_the_door_opens_without_torch() -> None:
    assert not imported("import lipscope; dir(lipscope); lipscope.__version__") & {*HEAVY, "numpy"}
    names = set(lipscope.PLACES)
    assert names | {"__version__"} == set(lipscope.__all__) == set(dir(lipscope))
    for name in names:
        assert getattr(lipscope, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'certificate'"):
        _ = lipscope.certificate


def test_every_name_stays_callable_whatever_was_imported() -> None:
    imported(
        "import lipscope, lipscope.commands.train, lipscope.commands.certify, lipscope.commands.attack\n"
        "import lipscope.door.training, lipscope.door.falsification\n"
        "assert all(callable(getattr(lipscope, name)) for name in lipscope.PLACES)"
    )


def test_the_page_is_that_of_the_docstrings() -> None:
    assert runpy.run_path(str(PAGE.with_suffix(".py")))["page"]() == PAGE.read_text(encoding="utf-8")


def test_a_file_and_its_network_have_the_same_certificates(tiny_model: Path, no_data: Path) -> None:
    data = load("synthetic", "test").subset(range(6))
    expected = evaluate.certify(load_model(tiny_model), data).certificates.radius
    for model in (tiny_model, str(tiny_model), lipscope.load(tiny_model)):
        found = lipscope.certify(model, data)
        assert found.radius.tolist() == expected.tolist()
        assert found.standing == "proved"
    named = lipscope.certify(tiny_model, limit=6)
    assert named.radius.tolist() == expected.tolist()
    assert lipscope.certify(tiny_model, data, fast=True).standing == "estimate"


def test_radii_of_a_module_are_the_margin_over_the_constants() -> None:
    """A linear network, whose radii are known exactly."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 2, 2), np.uint8)
    found = lipscope.certify(net, (images, [0, 1, 2, 0, 1]), eps=["36/255", "1/2"])
    with torch.no_grad():
        weight = net[1].weight.double()
        logits = net.double()(torch.from_numpy(images).double() / 255)
    for row, radius in enumerate(found.radius):
        label = int(logits[row].argmax())
        exact = min(
            float((logits[row, label] - logits[row, other]) / (weight[label] - weight[other]).norm())
            for other in range(3)
            if other != label
        )
        assert exact * (1 - 1e-9) <= radius <= exact
    assert "36/255" in repr(found)
    assert "1/2" in repr(found)


@pytest.mark.parametrize("form", ["channels first", "channels last", "floats", "tensors", "data set", "image set"])
def test_images_may_come_as_people_have_them(form: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6), np.uint8)
    labels = [0, 1, 2, 0]
    data = {
        "channels first": (images, labels),
        "channels last": (images.transpose(0, 2, 3, 1), labels),
        "floats": ((images / 255).astype(np.float32), np.array(labels)),
        "tensors": (torch.from_numpy(images).float() / 255, torch.tensor(labels)),
        "data set": Pairs(images, labels),
        "image set": ImageSet("x", "images", images, np.array(labels), ("0", "1", "2"), ""),
    }[form]
    found = image_set(data)
    assert np.array_equal(found.images, images)
    assert found.labels.tolist() == labels
    assert len(image_set(data, limit=2)) == 2
    if form == "data set":
        assert found.classes == Pairs.classes


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "is no data"),
        ((np.zeros((2, 3, 4, 4), np.uint8), [0]), "2 images and 1 label"),
        ((np.full((1, 3, 4, 4), 0.12345), [0]), "no byte stands for"),
        ((np.full((1, 3, 4, 4), np.nan), [0]), "no byte stands for"),
        ((np.full((1, 3, 4, 4), -1.0), [0]), "outside"),
        ((np.zeros((3, 4, 4), np.uint8), [0]), "3 images and 1 label"),
        ((np.zeros(3, np.uint8), [0, 0, 0]), "axes"),
        ([1, 2], "pairs"),
        ("cifar11", "unknown data set"),
    ],
)
def test_what_is_no_data_is_named(data, says: str) -> None:
    with pytest.raises((DataError, UsageError), match=says):
        image_set(data)


def test_an_attack_finds_the_distance_of_a_linear_network() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    images = np.full((3, 3, 2, 2), 128, np.uint8)
    found = lipscope.attack(net, (images, [0, 0, 1]), eps="36/255", steps=5, restarts=1)
    assert found.violations == ()
    reached = np.isfinite(found.distance)
    assert (found.distance[reached] >= found.certificates.radius[reached]).all()
    assert found.distance[reached] == pytest.approx(found.certificates.radius[reached], rel=1e-2)
    assert "violations" in repr(found)


def test_a_report_reads_well_at_a_prompt_and_in_a_notebook(tiny_model: Path, no_data: Path) -> None:
    report = lipscope.inspect(tiny_model)
    lines = repr(report).splitlines()
    assert lines[0] == f"{tiny_model}: {report.verdict.headline}"
    assert len(lines) == 2 + len(report.layers)
    assert report._repr_html_().count("<tr>") == 1 + len(report.layers)
    in_memory = lipscope.inspect(lipscope.load(tiny_model))
    assert [layer.bound for layer in in_memory.layers] == [layer.bound for layer in report.layers]
    named = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    assert "<script" not in lipscope.inspect(named, input_shape=(1, 2, 2))._repr_html_()


def test_bound_and_spectrum_agree_with_dense_algebra() -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False).eval()
    columns = [conv(one.reshape(1, 2, 6, 6)).flatten() for one in torch.eye(72)]
    values = torch.linalg.svdvals(torch.stack(columns).detach().double())
    found = lipscope.bound(conv, (2, 6, 6))
    assert found.proved
    assert float(values[0]) <= found.value <= 2 * float(values[0])
    spectrum = lipscope.spectrum(conv, (2, 6, 6))
    assert spectrum.values[0] == pytest.approx(float(values[0]), rel=1e-5)
    layer = nn.Linear(3, 3).eval()
    assert lipscope.bound(layer, (3,)).value == pytest.approx(
        float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2)), rel=1e-6
    )
    whole = lipscope.bound(linear_net(), (3, 2, 2))
    assert whole.proved
    with pytest.raises(UsageError, match="not one linear layer"):
        lipscope.spectrum(linear_net(), (3, 2, 2))


def test_training_from_python_ends_in_a_proved_model(tmp_path: Path, few_images: ImageSet) -> None:
    from lipscope.models.lipconvnet import LipConvnetConfig

    epochs: list[int] = []
    path = lipscope.train(
        "fast", out=tmp_path / "run", model=LipConvnetConfig(channels=2, dataset="synthetic"),
        data=few_images.subset(range(40)), epochs=2, batch_size=20, device="cpu",
        on_epoch=lambda event: epochs.append(event.epoch),
    )  # fmt: skip
    assert epochs == [1, 2]
    assert lipscope.load(path).lipschitz_bound().proved
    with pytest.raises(UsageError, match="unknown recipe"):
        lipscope.train("slow", out=tmp_path / "other", data=few_images)


@pytest.mark.parametrize("asked", [{"gamma": 0.1}, {"loss": "emma"}])
def test_what_needs_radii_is_refused_for_a_net_that_expands(
    tmp_path: Path, few_images: ImageSet, asked: dict[str, Any]
) -> None:
    from lipscope.models.resnet import ResNetConfig

    with pytest.raises(UsageError, match="is for a net that is 1-Lipschitz"):
        lipscope.train(model=ResNetConfig(dataset="synthetic"), out=tmp_path / "run", data=few_images, **asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (linear_net().train(), LipscopeError, "training"),
        ("no-such.safetensors", CheckpointError, "no such file"),
        (3, LipscopeError, "not a torch.nn.Module"),
    ],
)
def test_models_that_cannot_be_are_named(model, error: type[LipscopeError], says: str) -> None:
    with pytest.raises(error, match=says):
        stored(model, (3, 2, 2))
    with pytest.raises(UsageError, match="needs input_shape"):
        stored(linear_net())


def test_a_network_of_lipscope_in_training_mode_is_refused(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="training mode"):
        lipscope.certify(lipscope.load(tiny_model).train(), load("synthetic", "test").subset(range(2)))


def test_a_network_with_a_single_output_is_refused_in_words() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    with pytest.raises(CheckFailedError, match="a single output"):
        lipscope.certify(net, (np.zeros((2, 3, 2, 2), np.uint8), [0, 0]))


@pytest.mark.parametrize("shape", [(12,), (2, 6), (1, 3, 4), (2, 3, 2)])
def test_certificates_and_attacks_for_inputs_of_any_shape(shape: tuple[int, ...]) -> None:
    """A linear network: the nearest point of another class lies at margin / ||w_l - w_i||."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False)).eval()
    data = np.random.default_rng(0).integers(96, 160, (3, *shape), dtype=np.uint8)
    logits = net[1](torch.from_numpy(data).flatten(1) / 255).detach().double()
    exact = (logits[:, 0] - logits[:, 1]).abs() / torch.linalg.vector_norm(net[1].weight[0] - net[1].weight[1])
    found = lipscope.attack(net, (data, [0, 1, 0]), eps="1/2")
    np.testing.assert_allclose(found.certificates.radius, exact.detach(), rtol=1e-5)
    assert (found.distance >= found.certificates.radius).all()
    assert np.isfinite(found.distance).any()
    assert found.violations == ()
