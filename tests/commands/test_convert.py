from __future__ import annotations

import functools
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lipscope.cli import run
from lipscope.files.checkpoint import read_header, sha256_of
from tests.full_disk import full_disk

pytestmark = pytest.mark.usefixtures("no_data")

UNFOLDINGS = (((1, 3), (0, 2)), ((1, 2), (0, 3)), ((1, 2, 3), (0,)), ((0, 2, 3), (1,)))
"""Which axes of the kernel the vectors u_i and v_i of the published code span."""


def published(**changes):
    """A state dict with the names and shapes of the published code, at random."""
    return dict(made(**changes))


@functools.cache
def made(classes=10, activation="maxmin", head="orthogonal", blocks=1, channels=4):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    content = {}

    def conv(prefix, size, width, outputs):
        content[f"{prefix}.random_conv_filter"] = normal(size, size, width, width) / size
        kernel = content[f"{prefix}.random_conv_filter"]
        skew = (kernel - kernel.transpose(0, 1).flip(2, 3)) / 2
        for number, (u, v) in enumerate(UNFOLDINGS, start=1):
            # What power iterations converge to: the leading singular vectors of the unfolding.
            matrix = skew.permute(*u, *v).reshape(np.prod([kernel.shape[axis] for axis in u]), -1)
            left, _, right = torch.linalg.svd(matrix, full_matrices=False)
            for letter, chosen, vector in (("u", u, left[:, 0]), ("v", v, right[0])):
                shape = [kernel.shape[axis] if axis in chosen else 1 for axis in range(4)]
                content[f"{prefix}.{letter}{number}"] = vector.reshape(shape).clone()
        content[f"{prefix}.correction"] = torch.tensor([0.7 if width == 3 else 1.0])
        content[f"{prefix}.bias"] = normal(outputs)

    current, planes = 3, channels
    for stage in range(1, 6):
        for block in range(blocks):
            last = block == blocks - 1
            inputs, outputs = current * (4 if last else 1), planes * (2 if last else 1)
            prefix = f"layer{stage}.{block}"
            conv(f"{prefix}.conv", max(inputs, outputs), 1 if last and stage == 5 else 3, outputs)
            if activation == "hh1":
                content[f"{prefix}.activation.theta"] = normal(1, outputs // 2, 1, 1)
            if activation == "hh2":
                for number in range(3):
                    content[f"{prefix}.activation.theta{number}"] = normal(1, outputs // 2, 1, 1) + 3
            current = outputs
        planes = current
    if head == "lln":
        content["last_layer.weight"] = normal(classes, current)
        content["last_layer.bias"] = normal(classes)
    else:
        conv("last_layer", max(current, classes), 1, classes)
    return content


def convert(*arguments: object) -> int:
    return run(["convert", *(str(argument) for argument in arguments)])


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "best.pth"
    torch.save(published(), path)
    return path


def kernel_by_hand(content, prefix):
    free = content[f"{prefix}.random_conv_filter"].double().numpy()
    skew = (free - free.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]) / 2
    products = [
        float((skew * content[f"{prefix}.u{i}"].double().numpy() * content[f"{prefix}.v{i}"].double().numpy()).sum())
        for i in range(1, 5)
    ]
    return skew * (float(content[f"{prefix}.correction"]) / min(products))


@pytest.mark.parametrize(
    ("arguments", "title", "dataset"),
    [
        ({}, "LipConvnet-5 (4 channels, SOC, MaxMin, orthogonal head)", "cifar10"),
        ({"activation": "hh1", "head": "lln"}, "LipConvnet-5 (4 channels, SOC, HH1, LLN)", "cifar10"),
        ({"activation": "hh2", "head": "lln", "classes": 100}, "LipConvnet-5 (4 channels, SOC, HH2, LLN)", "cifar100"),
        ({"blocks": 2, "channels": 2}, "LipConvnet-10 (2 channels, SOC, MaxMin, orthogonal head)", "cifar10"),
    ],
)
def test_conversion(tmp_path, capsys, arguments, title, dataset):
    source, content = tmp_path / "best.pth", published(**arguments)
    torch.save(content, source)
    assert convert(source) == 0
    target = tmp_path / "best.safetensors"
    stdout, stderr = capsys.readouterr()
    assert stdout == f"{target}\n"
    assert title in stderr
    header, tensors = read_header(target), load_file(target)
    assert header.config["dataset"] == dataset
    assert dict(header.training) == {"converted_from": "best.pth", "source_sha256": sha256_of(source)}
    for stage in range(1, 6):
        kernel = tensors[f"stage{stage}.block1.conv.kernel"]
        np.testing.assert_array_equal(kernel, -kernel.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])  # skew, exactly
        np.testing.assert_allclose(kernel, kernel_by_hand(content, f"layer{stage}.0.conv"), rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(tensors[f"stage{stage}.block1.conv.bias"], content[f"layer{stage}.0.conv.bias"])
    if arguments.get("head") == "lln":
        rows = content["last_layer.weight"].double().numpy()
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(tensors["head.weight"], rows, rtol=1e-6)
    # It is certified like any other model: its layers are proved not to expand.
    images = "synthetic100" if dataset == "cifar100" else "synthetic"
    assert run(["certify", str(target), "--dataset", images, "--limit", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["lipschitz"]["value"] == pytest.approx(1 / 0.2507, rel=1e-9)


def test_an_existing_model_is_protected(source, tmp_path, capsys):
    target = tmp_path / "best.safetensors"
    target.write_bytes(b"mine")
    assert convert(source) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert f"{target}: exists already" in stderr
    assert "--force" in stderr
    assert target.read_bytes() == b"mine"
    assert convert(source, "--out", tmp_path / "other.safetensors") == 0
    assert convert(source, "--force") == 0
    assert target.read_bytes() == (tmp_path / "other.safetensors").read_bytes()


class Trap:
    """Pickled code that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_does_not_run(tmp_path, capsys, zipped):
    source, sprung = tmp_path / "best.pth", tmp_path / "sprung"
    content = {**published(), "extra": Trap(sprung)}
    if zipped:
        torch.save(content, source)
    else:
        source.write_bytes(pickle.dumps({"extra": Trap(sprung)}, protocol=2))
    assert convert(source) == 4
    stderr = capsys.readouterr().err
    assert "only tensors are read, no pickled code" in stderr
    assert not sprung.exists()
    assert not (tmp_path / "best.safetensors").exists()


def bad(**changes):
    content = published()
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del content[name]
        else:
            content[name] = value
    return content


def test_what_was_taken_off_is_said(tmp_path, capsys):
    source = tmp_path / "best.pth"
    state = {f"model._orig_mod.{name}": value for name, value in published().items()}
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(1)}, "epoch": 3, "acc": np.float64(71.2)}, source)
    assert convert(source) == 0
    stderr = capsys.readouterr().err
    assert "lipscope: the state dict is at state_dict\n" in stderr
    assert "lipscope: taken off before the names: model._orig_mod.\n" in stderr
    assert "lipscope: left out beside them: loss.weight, epoch, acc\n" in stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"weight": torch.ones(3)}, "not a state dict of the paper's published code"),
        ({}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"epoch": 3}, "holds no state dict"),
        (bad(last_layer__bias=None), "not a state dict of the paper's published code"),
        (bad(layer3__0__conv__u2=None), "tensor layer3.0.conv.u2 is missing"),
        (bad(layer2__0__conv__bias=torch.ones(3)), "does not fit LipConvnet-5"),
        (bad(layer2__0__conv__bias=torch.full((16,), torch.nan)), "NaN or infinite"),
        (bad(layer2__0__conv__u2=torch.ones(3, 5)), "the tensors of layer2.0.conv do not fit together"),
        (bad(layer2__0__conv__random_conv_filter=torch.ones(16)), "the tensors of layer2.0.conv do not fit together"),
        (
            bad(layer2__0__conv__random_conv_filter=torch.ones(16, 8, 3, 3)),
            "the tensors of layer2.0.conv do not fit together",
        ),
        (bad(layer2__0__conv__random_conv_filter=torch.zeros(32, 32, 3, 3)), "NaN"),
        (bad(layer2__0__conv__correction=torch.ones(2)), "the tensors of layer2.0.conv do not fit together"),
        (bad(layer1__0__conv__bias=torch.ones(())), "channels must be"),
        (bad(layer1__0__conv__bias=torch.ones(2)), "channels must be"),
        (bad(last_layer__bias=torch.ones(())), "1 classes"),
        (bad(layer1__77__conv__bias=torch.ones(3)), "blocks must be"),
        ({"layer1.0.conv.weight": torch.ones(1), "last_layer.bias": torch.ones(10)}, "unknown convolutions"),
    ],
)
def test_what_cannot_be_imported(tmp_path, capsys, content, said):
    source = tmp_path / "best.pth"
    torch.save(content, source)
    assert convert(source) == 4
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert said in stderr
    assert stderr.splitlines()[-1].startswith(f"lipscope: {source}: ")
    assert not (tmp_path / "best.safetensors").exists()


def test_files_that_are_no_state_dict(source, tmp_path, capsys):
    whole = source.read_bytes()
    for name, content in (("empty", b""), ("text", b"hello"), ("cut", whole[: len(whole) // 2]), ("missing", None)):
        path = tmp_path / f"{name}.pth"
        if content is not None:
            path.write_bytes(content)
        assert convert(path) == 4, name
        stdout, stderr = capsys.readouterr()
        assert stdout == ""
        assert stderr.startswith(f"lipscope: {path}: "), name
        assert "Traceback" not in stderr
    assert convert(tmp_path) == 4


def test_places_that_cannot_be_written(source, tmp_path, capsys):
    assert convert(source, "--out", tmp_path / "nowhere" / "x.safetensors") == 1
    assert "cannot be written" in capsys.readouterr().err
    with full_disk():
        assert convert(source) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"best.pth"}


def test_a_real_process(start, source, tmp_path):
    code, stdout, stderr = start("convert", source).finish()
    assert (code, stdout) == (0, f"{tmp_path / 'best.safetensors'}\n")
    assert "10 classes" in stderr
