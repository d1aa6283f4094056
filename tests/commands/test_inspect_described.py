"""``lipscope inspect`` with a description, with shards, and with a witness; the worked example of docs/describe.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from lipscope.analysis.spectra import singular_values
from lipscope.cli import run
from lipscope.files.checkpoint import sha256_of
from tests.dense import series, unshuffle_matrix, zero_padded_matrix
from tests.models_on_disk import CONV, alter, one_weight

pytestmark = pytest.mark.usefixtures("no_data")

PAGE = Path(__file__).parents[2] / "docs" / "describe.md"
MODEL, RECOMPUTE = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
(DESCRIPTION,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _sooner_lanczos(monkeypatch):
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 512)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The files that a reader of the page makes."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(MODEL, "describe.md", "exec"), names)
    Path("small.json").write_text(DESCRIPTION)
    return names["net"]


def inspect(capsys, *arguments: str) -> tuple[int, dict, str]:
    capsys.readouterr()
    code = run(["inspect", *arguments, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_the_worked_example(example, capsys):
    code, facts, _ = inspect(capsys, "small.safetensors", "--describe", "small.json")
    assert code == 0
    assert facts["model"]["architecture"] == "described by small.json"
    assert [layer["name"] for layer in facts["layers"]] == [
        "stem", "1.relu", "2.max_pool", "conv", "bn", "block", "4.relu", "5.average_pool", "6.flatten", "fc",
    ]  # fmt: skip
    assert [layer["role"] for layer in facts["layers"]] == ["body"] * 3 + ["part"] * 2 + ["body"] * 4 + ["head"]
    assert facts["notes"] == ["1 tensors of the file are not used by the description: bn.num_batches_tracked"]
    layers = {layer["name"]: layer for layer in facts["layers"]}
    stem = zero_padded_matrix(example.stem.weight.detach().double().numpy(), 8, 8)
    largest = np.linalg.norm(stem, 2)
    assert largest * (1 - 1e-12) <= layers["stem"]["bound"]["value"] <= 1.05 * largest
    assert layers["stem"]["sigma_max"]["value"] == pytest.approx(largest, rel=1e-3)
    both = layers["conv"]["bound"]["value"] * layers["bn"]["bound"]["value"]
    assert layers["block"]["bound"]["value"] == pytest.approx(1 + both)
    product = np.prod([layer["bound"]["value"] for layer in facts["layers"] if layer["role"] == "body"])
    assert facts["verdict"]["status"] == "bounded"
    assert facts["verdict"]["lipschitz"] == pytest.approx(product)
    assert facts["verdict"]["scope"] == {"from": "input", "to": "features"}
    head = np.linalg.norm(example.fc.weight.detach().double().numpy(), 2)
    assert [arrow["bound"]["value"] for arrow in facts["chain"]["arrows"]] == pytest.approx([product, head])
    for layer in facts["layers"]:
        assert 0 < layer["gradient_norm"]["mean"] <= layer["bound"]["value"] * (1 + 1e-5)
        assert layer["gradient_norm_random"]["mean"] <= layer["bound"]["value"] * (1 + 1e-5)
    # Measured through torch's own modules: the gradient of the two largest outputs' difference, over the constant of
    # their rows' difference.
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    top = example(images).topk(2, dim=1)
    (gradient,) = torch.autograd.grad((top.values[:, 0] - top.values[:, 1]).sum(), images)
    apart = (example.fc.weight[top.indices[:, 0]] - example.fc.weight[top.indices[:, 1]]).norm(dim=1).detach()
    slopes = gradient.flatten(1).norm(dim=1) / (apart * facts["verdict"]["lipschitz"])
    assert facts["tightness"]["values"] == pytest.approx(slopes.tolist(), rel=1e-4)


def test_the_worked_example_as_text(example, capsys):
    assert run(["inspect", "small.safetensors", "--describe", "small.json"]) == 0
    text = capsys.readouterr().out
    assert "model    described by small.json" in text
    assert "note: 1 tensors of the file are not used by the description: bn.num_batches_tracked" in text
    assert re.search(
        r"^verdict  BOUNDED: L <= [\d.]+ is proved from input to features, 1-Lipschitz is not \(", text, re.M
    )
    assert re.search(r"^block +residual sum +8x4x4 -> 8x4x4", text, re.M)
    assert "<- loses most" in text
    assert "lipscope certify" not in text  # it does not take such files


def test_the_verdict_stands_in_ci(example, capsys):
    _, facts, _ = inspect(capsys, "small.safetensors", "--describe", "small.json")
    limit = facts["verdict"]["lipschitz"]
    arguments = ("small.safetensors", "--describe", "small.json", "--check", "--max-lipschitz")
    assert inspect(capsys, *arguments, str(limit * 1.01))[0] == 0
    assert inspect(capsys, *arguments, str(limit * 0.99))[0] == 5


def test_contracting_layers_make_up_for_expanding_ones(tmp_path, capsys):
    """A layer with norm 2 in front of one with 1/4: the whole is 1-Lipschitz; up to the last layer, the head, not."""
    save_file({"a.weight": 2 * torch.eye(4), "b.weight": torch.eye(4) / 4}, tmp_path / "m.safetensors")
    layers = [{"kind": "linear", "name": "a"}, {"kind": "linear", "name": "b"}]
    content = {"schema": "lipscope.describe/1", "input_shape": [4], "layers": layers}
    (tmp_path / "m.json").write_text(json.dumps(content))
    arguments = (str(tmp_path / "m.safetensors"), "--describe", str(tmp_path / "m.json"), "--check")
    code, facts, _ = inspect(capsys, *arguments)
    assert (code, facts["verdict"]["status"], facts["check"]["proved"]) == (5, "violated", pytest.approx(2.0))
    code, facts, _ = inspect(capsys, *arguments, "--whole")
    assert (code, facts["check"]["proved"]) == (0, pytest.approx(0.5))
    content["layers"].append({"kind": "relu"})
    (tmp_path / "m.json").write_text(json.dumps(content))
    code, facts, _ = inspect(capsys, *arguments)
    assert (code, facts["verdict"]["status"], facts["verdict"]["lipschitz"]) == (0, "proved", pytest.approx(0.5))
    assert facts["verdict"]["scope"] == {"from": "input", "to": "output"}


def test_a_checkpoint_and_its_description_get_the_same_answer(tmp_path, capsys, tiny_model):
    """The LLN head of lipscope's own is the linear layer at the end of a description."""
    kernel = torch.eye(3)[:, :, None, None]
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    rows = weight / torch.linalg.vector_norm(weight, dim=1, keepdim=True)
    save_file({"conv.weight": kernel, "head.weight": rows, "head.bias": torch.zeros(4)}, tmp_path / "m.safetensors")
    layers = [
        {"kind": "normalize", "mean": [0.5] * 3, "std": [0.25] * 3},
        {"kind": "conv2d", "name": "conv"},
        {"kind": "flatten"},
        {"kind": "linear", "name": "head"},
    ]
    content = {"schema": "lipscope.describe/1", "input_shape": [3, 2, 2], "layers": layers}
    (tmp_path / "m.json").write_text(json.dumps(content))
    arguments = (str(tmp_path / "m.safetensors"), "--describe", str(tmp_path / "m.json"), "--check")
    code, described, _ = inspect(capsys, *arguments)
    _, own, _ = inspect(capsys, str(tiny_model), "--check")
    assert code == 0
    assert described["verdict"]["status"] == own["verdict"]["status"] == "proved"
    for facts in (described, own):
        assert facts["verdict"]["scope"] == facts["check"]["scope"] == {"from": "normalised", "to": "features"}
        assert [arrow["to"] for arrow in facts["chain"]["arrows"]] == ["normalised", "features", "logits"]
    head = described["chain"]["arrows"][2]
    apart = torch.cdist(rows.double(), rows.double()).max()
    assert head["pairs"]["value"] == pytest.approx(float(apart), rel=1e-9)
    assert described["chain"]["whole"]["bound"]["value"] == pytest.approx(4 * head["bound"]["value"], rel=1e-12)


def test_a_network_that_expands_and_its_witness(example, capsys):
    """The page's own lines recompute the ratio, and torch's own modules give it."""
    with torch.no_grad():
        example.conv.weight.mul_(50)
    save_file(example.state_dict(), "small.safetensors")
    code, facts, said = inspect(
        capsys, "small.safetensors", "--describe", "small.json", "--witness", "witness.safetensors"
    )
    assert code == 0
    assert facts["verdict"]["status"] == "violated"
    assert re.fullmatch(
        r"a pair of inputs gives [\d.]+; L <= [\d.]+ is proved from input to features", facts["verdict"]["reason"]
    )
    names: dict[str, object] = {}
    exec(compile(RECOMPUTE, "describe.md", "exec"), names)
    assert names["ratio"] == pytest.approx(facts["verdict"]["lipschitz"], rel=1e-9)
    assert facts["witness"]["ratio"] == pytest.approx(facts["verdict"]["lipschitz"], rel=1e-9)
    assert names["claims"]["model_sha256"] == sha256_of(Path("small.safetensors"))
    example.double().fc = torch.nn.Identity()
    moved = example(names["x"][None]) - example(names["y"][None])
    assert float(moved.detach().norm() / (names["x"] - names["y"]).norm()) == pytest.approx(names["ratio"], rel=1e-9)
    assert "witness written to witness.safetensors: (network)" in said


def test_shards_with_a_description(example, capsys):
    whole = example.state_dict()
    names = sorted(whole)
    places = {name: f"m-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({name: whole[name] for name in names if places[name] == shard}, shard)
    Path("m.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    _, one, _ = inspect(capsys, "small.safetensors", "--describe", "small.json")
    _, many, _ = inspect(capsys, "m.safetensors.index.json", "--describe", "small.json")
    assert many["layers"] == one["layers"]
    assert many["model"]["sha256"] != one["model"]["sha256"]
    _, here, _ = inspect(capsys, ".", "--describe", "small.json")
    assert here == many
    Path("m-00002-of-00002.safetensors").unlink()
    code, facts, _ = inspect(capsys, "m.safetensors.index.json", "--describe", "small.json")
    assert (code, facts["error"]["what"]) == (4, "shard 'm-00002-of-00002.safetensors' is missing")


def test_the_witness_of_a_layer(tiny_model, tmp_path, capsys):
    """The ratio in the file is attained by the matrix of the layer, built entry by entry."""
    target = tmp_path / "w.safetensors"
    alter(tiny_model, tensors=one_weight(1.5))
    code, facts, said = inspect(capsys, str(tiny_model), "--witness", str(target), "--check")
    assert code == 5
    assert facts["verdict"]["layer"] == facts["witness"]["layer"] == "stage2.block1.conv"
    content = load_file(target)
    kernel = load_file(tiny_model)[CONV].astype(np.float64)
    matrix = (series(zero_padded_matrix(kernel, 8, 8), 12) @ unshuffle_matrix(4, 16, 16, 2))[: 8 * 64]
    step = (content["x"] - content["y"]).ravel()
    ratio = np.linalg.norm(matrix @ step) / np.linalg.norm(step)
    assert facts["witness"]["ratio"] == pytest.approx(ratio, rel=1e-9)
    assert facts["verdict"]["lipschitz"] == pytest.approx(ratio, rel=1e-5)  # two runs of Lanczos
    assert "recomputed in float64 from the file" in said


def test_without_a_violation_no_witness_is_written(tiny_model, tmp_path, capsys):
    target = tmp_path / "w.safetensors"
    code, facts, said = inspect(capsys, str(tiny_model), "--witness", str(target))
    assert (code, facts["witness"]) == (0, None)
    assert f"no violation was found, so no witness was written to {target}" in said
    assert not target.exists()


def test_the_witness_never_overwrites_the_model(tiny_model, capsys):
    alter(tiny_model, config={"terms": 5})
    before = tiny_model.read_bytes()
    code, facts, _ = inspect(capsys, str(tiny_model), "--witness", str(tiny_model))
    assert (code, facts["error"]["what"]) == (2, "--witness would overwrite the model")
    assert tiny_model.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{}", 2, "is not a description of this version"),
        (DESCRIPTION.replace("batch_norm", "layer_norm"), 2, "unknown kind 'layer_norm'"),
        (DESCRIPTION.replace('"fc"', '"fcc"'), 4, "tensor 'fcc.weight' is missing"),
        (DESCRIPTION.replace("[3, 8, 8]", "[3, 12, 12]"), 2, "does not fit its input"),
    ],
)
def test_descriptions_that_cannot_be(example, capsys, text, code, said):
    Path("small.json").write_text(text)
    found, facts, _ = inspect(capsys, "small.safetensors", "--describe", "small.json")
    assert found == code
    assert said in facts["error"]["what"]


def test_rounding_alone_is_no_violation(tmp_path, capsys):
    """x -> 0.1 x, as x - 0.9 x, between shifts of 2^49, where float64 has steps of 1/16: ratios beyond 1 show."""
    ones, zeros = torch.ones(8), torch.zeros(8)
    tensors = {"scale.weight": -0.9 * torch.eye(8)}
    for name, shift in (("up", 2.0**49), ("down", -(2.0**49))):
        statistics = {"running_mean": zeros, "running_var": ones, "weight": ones, "bias": torch.full((8,), shift)}
        tensors |= {f"{name}.{key}": value.clone() for key, value in statistics.items()}
    save_file(tensors, tmp_path / "m.safetensors")
    layers = [
        {"kind": "residual", "name": "block", "layers": [{"kind": "linear", "name": "scale"}]},
        {"kind": "batch_norm", "name": "up"},
        {"kind": "batch_norm", "name": "down"},
    ]
    content = {"schema": "lipscope.describe/1", "input_shape": [8], "layers": layers}
    (tmp_path / "m.json").write_text(json.dumps(content))
    code, facts, _ = inspect(capsys, str(tmp_path / "m.safetensors"), "--describe", str(tmp_path / "m.json"))
    assert (code, facts["verdict"]["status"]) == (0, "bounded")
    assert facts["verdict"]["lipschitz"] == pytest.approx(1.9, rel=1e-4)
