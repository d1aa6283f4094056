from __future__ import annotations

import io
import json
import math
import os
import pickle
import tempfile
import warnings
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from lipscope.certify.radii import certified_radii
from lipscope.data import load
from lipscope.errors import CheckpointError
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.published import import_published, load_published, published_config
from lipscope.models.stored import load_model, save_model
from tests.always import always
from tests.models import published_reference as reference

Configuration = tuple[int, int, str, bool, int]

CONFIGURATIONS: list[Configuration] = [
    (1, 2, "maxmin", True, 10),
    (1, 4, "maxmin", False, 10),
    (1, 2, "hh1", True, 100),
    (1, 2, "hh1", False, 10),
    (1, 2, "hh2", True, 10),
    (1, 2, "hh2", False, 100),
    (2, 2, "maxmin", False, 100),
    (2, 2, "hh1", True, 10),
    (2, 4, "hh2", True, 100),
]


def saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "best.pth"
    torch.save(content, path, **options)
    return path


@pytest.fixture(scope="module")
def unspoilt() -> dict[str, Tensor]:
    return reference.random_state(1, 2, "hh1", True, 10)


@pytest.fixture
def state(unspoilt: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in unspoilt.items()}


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: "-".join(map(str, c)))
def test_imported_logits_are_those_of_the_description(configuration: Configuration, tmp_path: Path) -> None:
    state = reference.random_state(*configuration)
    blocks, channels, activation, lln, classes = configuration
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tensors = load_published(saved(state, tmp_path))
    config = published_config(tensors, "best.pth")
    assert (config.blocks, config.channels, config.activation) == (blocks, channels, activation)
    assert (config.head, config.classes) == ("lln" if lln else "orthogonal", classes)
    assert config.dataset == {10: "cifar10", 100: "cifar100"}[classes]
    net = import_published(tensors, config, "best.pth")
    expected = reference.forward(state, images, blocks)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(net(images), expected, rtol=0, atol=1e-4)
    exact = reference.forward({name: value.double() for name, value in state.items()}, images.double(), blocks)
    torch.testing.assert_close(net(images.double()), exact, rtol=0, atol=1e-4)
    assert net.lipschitz_bound().value < (1 + 1e-9) / reference.STD


def test_the_import_survives_a_file(state: dict[str, Tensor], tmp_path: Path) -> None:
    config = published_config(state, "x")
    net = import_published(state, config, "x")
    path = tmp_path / "model.safetensors"
    save_model(net, path, config.to_json(), {})
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_model(path).net(images), net(images))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {f"module.{name}": value for name, value in s.items()},
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s, "optimizer": {"lr": 0.1}},
        lambda s: {"net": OrderedDict((f"module.{name}", value) for name, value in s.items()), "acc": 71.2},
        OrderedDict,
        lambda s: {name: value.half().float() if "theta" in name else value for name, value in s.items()},
    ],
    ids=["module.", "state_dict", "model", "net with module.", "ordered", "plain"],
)
def test_wrappings_are_taken_off(wrap: Any, state: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = load_published(saved(wrap(state), tmp_path))
    assert set(tensors) == set(state)
    assert torch.equal(tensors["layer1.0.conv.bias"], state["layer1.0.conv.bias"])


def test_the_legacy_file_format_too(state: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = load_published(saved(state, tmp_path, _use_new_zipfile_serialization=False))
    assert all(torch.equal(tensors[name], value) for name, value in state.items())


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["LIPSCOPE_TEST_CANARY"],)


def test_pickled_code_is_refused_and_does_not_run(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    monkeypatch.setenv("LIPSCOPE_TEST_CANARY", str(canary))
    files = [saved({**state, "extra": Payload()}, tmp_path)]
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Payload(), protocol=2))
    (tmp_path / "whole.pth").write_bytes(_saved_bytes(torch.nn.Linear(2, 2)))
    files += [tmp_path / "raw.pth", tmp_path / "whole.pth"]
    for file in files:
        with pytest.raises(CheckpointError, match="refused or damaged"):
            load_published(file)
    assert not canary.exists()


def _saved_bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"x", b"not a checkpoint at all", b"PK\x03\x04" + bytes(40), bytes(1000)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged") as caught:
        load_published(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_published(tmp_path / "no.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_published(tmp_path)


def test_truncated_at_every_length(state: dict[str, Tensor], tmp_path: Path) -> None:
    whole = _saved_bytes({"last_layer.bias": state["last_layer.bias"]})
    path = tmp_path / "best.pth"
    for length in range(0, len(whole) - 1, 13):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_published(path)


BYTES = [
    _saved_bytes({"layer1.0.conv.bias": torch.arange(4.0)}),
    pickle.dumps({"a": 1, "b": [2, 3]}, protocol=2),
]


@always(
    base=st.sampled_from(BYTES),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_is_always_reported_as_damage(base: bytes, edits: list[tuple[int, int]]) -> None:
    content = bytearray(base)
    for place, value in edits:
        content[place % len(content)] = value
    path = Path(tempfile.gettempdir()) / f"lipscope-damaged-{os.getpid()}.pth"
    path.write_bytes(content)
    message = str(path)
    with warnings.catch_warnings(), suppress(CheckpointError):
        warnings.simplefilter("ignore")  # torch warns of unusual pickle protocols, and goes on
        try:
            load_published(path)
        except CheckpointError as error:
            message = str(error)
            raise
        finally:
            path.unlink()
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.mark.parametrize("content", [{}, [torch.zeros(2)], torch.zeros(2), {"epoch": 3}, {"state_dict": {}}, 7])
def test_files_without_a_state_dict(content: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_published(saved(content, tmp_path))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_by_name(bad: float, state: dict[str, Tensor], tmp_path: Path) -> None:
    state["layer3.0.conv.bias"][1] = bad
    with pytest.raises(CheckpointError, match=r"layer3\.0\.conv\.bias' holds NaN or infinite"):
        load_published(saved(state, tmp_path))


@pytest.mark.parametrize(
    "name",
    ["layer2.0.conv.random_conv_filter", "layer1.0.conv.u3", "layer5.0.conv.v1", "layer4.0.conv.correction",
     "layer3.0.conv.bias", "last_layer.bias", "layer2.0.activation.theta"],
)  # fmt: skip
def test_missing_tensors_are_refused_by_name(name: str, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    del state[name]
    stage = name.replace("layer2.0.activation", "stage2.block1.activation")
    with pytest.raises(CheckpointError, match="missing") as caught:
        import_published(state, config, "x")
    assert name in str(caught.value) or stage in str(caught.value)


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("layer2.0.conv.random_conv_filter", torch.zeros(3, 5, 3, 3)),
        ("layer2.0.conv.random_conv_filter", torch.zeros(4)),
        ("layer2.0.conv.random_conv_filter", torch.ones(6, 6, 3, 3)),
        ("layer2.0.conv.random_conv_filter", torch.randn(16, 16, 5, 5)),
        ("layer1.0.conv.u1", torch.ones(7)),
        ("layer1.0.conv.v4", torch.ones(2, 3, 4, 5, 6)),
        ("layer1.0.conv.correction", torch.ones(2)),
        ("layer3.0.conv.bias", torch.ones(5)),
        ("layer3.0.conv.bias", torch.tensor(1.0)),
        ("last_layer.weight", torch.ones(10, 3)),
        ("last_layer.weight", torch.ones(10)),
        ("layer1.0.activation.theta", torch.ones(9)),
        ("layer1.0.activation.surprise", torch.ones(2)),
    ],
)
def test_tensors_that_do_not_fit(name: str, replacement: Tensor, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state[name] = replacement
    with pytest.raises(CheckpointError, match="fit") as caught:
        import_published(state, config, "x")
    assert caught.value.where == "x"


def test_a_norm_of_zero_is_refused_instead_of_stored_as_nan(state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state["layer2.0.conv.u1"].zero_()
    kernel = reference.skew(state["layer2.0.conv.random_conv_filter"])
    for i in (2, 3, 4):  # the smallest product decides
        u, v = state[f"layer2.0.conv.u{i}"], state[f"layer2.0.conv.v{i}"]
        assert float((kernel * u * v).sum()) > 0
    with pytest.raises(CheckpointError, match=r"stage2\.block1\.conv\.kernel cannot be computed"):
        import_published(state, config, "x")


def test_a_row_of_zeros_is_refused_instead_of_stored_as_nan(state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state["last_layer.weight"][3] = 0
    with pytest.raises(CheckpointError, match=r"head\.weight cannot be computed"):
        import_published(state, config, "x")


@pytest.mark.parametrize(("tensor", "family"), [("conv_matrices", "BCOP"), ("alpha", "Cayley"), ("weight", "unknown")])
def test_other_families_are_refused_by_name(tensor: str, family: str) -> None:
    state = {f"layer1.0.conv.{tensor}": torch.ones(1), "layer1.0.conv.bias": torch.ones(4)}
    state["last_layer.bias"] = torch.ones(10)
    with pytest.raises(CheckpointError, match=f"{family} convolutions cannot be imported"):
        published_config(state, "x")


@pytest.mark.parametrize("state", [{"fc.weight": torch.ones(2)}, {"layer1.0.conv1.weight": torch.ones(2)}])
def test_state_dicts_of_other_codes_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="not a state dict of the paper's published code"):
        published_config(state, "x")


def test_an_unusual_number_of_classes_needs_a_data_set() -> None:
    state = reference.random_state(1, 2, "maxmin", True, 7)
    with pytest.raises(CheckpointError, match="7 classes"):
        published_config(state, "x")
    assert published_config(state, "x", "cifar10").classes == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer5.900.conv.bias", torch.ones(2)), ("layer1.0.conv.bias", torch.ones(3)),
     ("layer1.0.conv.bias", torch.tensor(1.0)), ("layer1.0.conv.bias", torch.ones(10**5))],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused_as_damage_of_the_file(
    name: str, value: Tensor, state: dict[str, Tensor]
) -> None:
    state[name] = value
    with pytest.raises(CheckpointError):
        import_published(state, published_config(state, "x"), "x")


def test_a_size_that_is_only_claimed_is_not_allocated(state: dict[str, Tensor]) -> None:
    """A bias of 8192 numbers claims 4096 channels: terabytes of kernels, of which the file holds none."""
    state["layer1.0.conv.bias"] = torch.zeros(8192)
    config = published_config(state, "x")
    assert config.channels == 4096
    with pytest.raises(CheckpointError):
        import_published(state, config, "x")


def test_angles_of_order_two_are_held_to_their_range_in_storage() -> None:
    state = reference.random_state(1, 2, "hh2", True, 10)
    assert any(float(value.max()) > 7 for name, value in state.items() if "theta" in name)
    net = import_published(state, published_config(state, "x"), "x")
    angles = torch.cat([value.flatten() for name, value in net.state_dict().items() if "theta" in name])
    assert 0 <= float(angles.min()) <= float(angles.max()) <= 2 * math.pi + 1e-6


REFERENCE = os.environ.get("LIPSCOPE_REFERENCE", "")
REFERENCES = sorted(Path(REFERENCE).glob("soc_*.pth")) if REFERENCE else []


@pytest.mark.skipif(not REFERENCES, reason="LIPSCOPE_REFERENCE names no folder of reference checkpoints")
@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_reference_checkpoints_give_the_logits_and_radii_beside_them(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    tensors = load_published(path)
    config = published_config(tensors, str(path))
    assert config == LipConvnetConfig(
        blocks=expected["block_size"], channels=expected["init_channels"], activation=expected["activation"],
        head="lln" if expected["lln"] else "orthogonal", classes=expected["num_classes"], dataset=expected["dataset"],
    )  # fmt: skip
    net = import_published(tensors, config, str(path))
    data = load(config.dataset, "test").subset(expected["test_records"])
    assert data.labels.tolist() == expected["label"]
    with torch.inference_mode():
        logits = net(torch.from_numpy(data.images).float() / 255)
    torch.testing.assert_close(logits, torch.tensor(expected["logits"]), rtol=0, atol=1e-4)
    radii = certified_radii(logits, net.head.pair_bounds(), net.lipschitz_bound().value, 56.0)
    assert radii.predicted.tolist() == expected["predicted"]
    assert radii.radius.tolist() == pytest.approx(expected["radius"], abs=2e-5)


@pytest.mark.skipif(not REFERENCE, reason="LIPSCOPE_REFERENCE names no folder of reference checkpoints")
@pytest.mark.parametrize("family", ["bcop", "cayley"])
def test_reference_checkpoints_of_other_families_are_refused_by_name(family: str) -> None:
    for path in Path(REFERENCE).glob(f"{family}_*.pth"):
        with pytest.raises(CheckpointError, match=f"(?i){family} convolutions cannot be imported"):
            published_config(load_published(path), str(path))
