from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lipscope.certification.evaluate import certify
from lipscope.data import load
from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import metadata_for, read_header
from lipscope.models.stored import load_model, save_model
from tests.always import always
from tests.models.makers import small_config, small_file, small_net


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_file(tmp_path_factory.mktemp("model"), activation="hh2")


def edited(pristine: Path, folder: Path, **changes: Any) -> Path:
    """A copy with tensors replaced, added, or (None) removed."""
    tensors: dict[str, Tensor] = {**load_file(pristine), **changes}
    path = folder / "edited.safetensors"
    with safe_open(pristine, "pt") as file:
        metadata = file.metadata()
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, metadata)
    return path


def test_a_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    net = small_net(activation="hh1", head="orthogonal")
    path = tmp_path / "model.safetensors"
    save_model(net, path, small_config(activation="hh1", head="orthogonal").to_json(), {"seed": 0})
    stored = load_model(path)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(stored.net(images), net(images))
    assert not stored.net.training
    assert not any(p.requires_grad for p in stored.net.parameters())
    assert stored.header.config == json.loads(json.dumps(small_config(activation="hh1", head="orthogonal").to_json()))
    assert stored.header.training == {"seed": 0}
    assert stored.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_file_is_plain_safetensors_that_others_can_read(pristine: Path) -> None:
    with safe_open(pristine, "pt") as file:
        assert file.metadata()["format"] == "pt"
        names = list(file.keys())
    assert sorted(names) == sorted(info.name for info in read_header(pristine).tensors)
    assert {info.dtype for info in read_header(pristine).tensors} == {"F32"}
    assert not any(word in name for name in names for word in ("wide", "square", "mean", "std", "parametriz"))


def test_saving_is_deterministic(pristine: Path, tmp_path: Path) -> None:
    assert small_file(tmp_path, activation="hh2").read_bytes() == pristine.read_bytes()


def test_weights_of_another_dtype_are_stored_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(small_net().double(), path, small_config().to_json(), {})
    assert {info.dtype for info in read_header(path).tensors} == {"F32"}


KERNEL = "stage1.block1.conv.kernel"


@pytest.mark.parametrize(
    "edit",
    [
        lambda kernel: kernel.mul_(1.01),
        lambda kernel: kernel.neg_(),
        lambda kernel: kernel.copy_(torch.nextafter(kernel, torch.tensor(9.0))),
    ],
    ids=["1 percent", "sign", "1 ulp"],
)
def test_one_edited_weight_is_caught(edit: Any, pristine: Path, tmp_path: Path) -> None:
    """The kernel is no longer skew: the method says so, the constant exceeds 1 / std, and the radii shrink with it."""
    kernel = load_file(pristine)[KERNEL]
    edit(kernel[2, 5, 0, 1])
    path = edited(pristine, tmp_path, **{KERNEL: kernel})
    before, after = load_model(pristine), load_model(path)
    layer = dict(after.net.body())["stage1.block1.conv"]
    bound = layer.bound((3, 32, 32))
    assert "not exactly skew-symmetric" in bound.method
    assert bound.value > 2
    untouched = before.net.lipschitz_bound().value
    assert untouched == pytest.approx(1 / 0.2507, rel=1e-9)
    assert after.net.lipschitz_bound().value > 2 * untouched
    assert after.sha256 != before.sha256
    data = load("synthetic", "test").subset(range(20))
    old, new = (certify(model, data, range(20)).certificates.radius for model in (before, after))
    assert float(new.max()) < 0.6 * float(old.max())


def test_scaled_kernels_stay_skew_and_are_caught_by_their_norm(pristine: Path, tmp_path: Path) -> None:
    path = edited(pristine, tmp_path, **{KERNEL: load_file(pristine)[KERNEL] * 2.5})
    layer = dict(load_model(path).net.body())["stage1.block1.conv"]
    assert layer.bound((3, 32, 32)).value > 1.0
    assert "not exactly" not in layer.bound((3, 32, 32)).method


def test_rows_of_another_length_change_the_pairs_with_them(pristine: Path, tmp_path: Path) -> None:
    """The certificate is about the stored rows, so multiplying the head changes no radius."""
    tensors = load_file(pristine)
    path = edited(
        pristine, tmp_path, **{"head.weight": tensors["head.weight"] * 4, "head.bias": tensors["head.bias"] * 4}
    )
    data = load("synthetic", "test").subset(range(20))
    old, new = (certify(load_model(p), data, range(20)).certificates.radius for p in (pristine, path))
    assert new == pytest.approx(old, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({KERNEL: None}, f"tensor {KERNEL} is missing"),
        ({"extra": torch.zeros(2)}, "unexpected tensor 'extra'"),
        ({"x" * 500: torch.zeros(2)}, "unexpected tensor"),
        ({"head.weight": torch.zeros(10, 63)}, r"head\.weight has the wrong shape"),
        ({"head.weight": torch.zeros(64, 10)}, r"head\.weight has the wrong shape"),
        ({"head.bias": torch.zeros(())}, r"head\.bias has the wrong shape"),
        ({"head.bias": torch.zeros(10, dtype=torch.float16)}, r"head\.bias is torch\.float16, not float32"),
        ({"head.bias": torch.zeros(10, dtype=torch.float64)}, r"head\.bias is torch\.float64, not float32"),
        ({"head.bias": torch.zeros(10, dtype=torch.int32)}, r"head\.bias is torch\.int32, not float32"),
        ({"head.bias": torch.full((10,), math.nan)}, r"head\.bias holds NaN or infinite values"),
        ({"head.bias": torch.tensor([0.0] * 9 + [math.inf])}, r"head\.bias holds NaN .* \(1 of 10\)"),
        ({"stage2.block1.activation.theta1": torch.full((4,), math.nan)}, r"theta1 holds NaN"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(
    changes: dict[str, Any], message: str, pristine: Path, tmp_path: Path
) -> None:
    path = edited(pristine, tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert caught.value.where == str(path)
    assert len(str(caught.value)) < 600


def test_a_file_of_another_code_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file({"conv1.weight": torch.zeros(2, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError, match="not a lipscope checkpoint") as caught:
        load_model(path)
    assert "lipscope inspect" in caught.value.next_step


def test_a_size_that_is_only_claimed_is_not_allocated(tmp_path: Path) -> None:
    path = tmp_path / "claims.safetensors"
    config = small_config(channels=4096, blocks=64).to_json()
    save_file({"head.bias": torch.zeros(10)}, path, metadata_for(config, {}))
    with pytest.raises(CheckpointError, match="is missing"):
        load_model(path)


def test_what_our_header_accepts_and_safetensors_does_not_is_still_an_error_in_words(tmp_path: Path) -> None:
    metadata = metadata_for(small_config().to_json(), {})
    header = {"__metadata__": metadata, "a": {"dtype": "Q7", "shape": [1], "data_offsets": [0, 4]}}
    raw = json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(4))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_model(path)


@functools.cache
def whole_file() -> tuple[bytes, int]:
    """A small model's bytes, and where its header ends."""
    with tempfile.TemporaryDirectory() as folder:
        content = small_file(Path(folder), activation="hh2").read_bytes()
    return content, 8 + struct.unpack("<Q", content[:8])[0]


@always(
    edits=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True), st.sampled_from(b'0123456789-.,:{}[]"eE tfn\\') | st.integers(0, 255)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_damaged_header_or_configuration_is_always_an_error_in_words(edits: list[tuple[float, int]]) -> None:
    content, end = whole_file()
    damaged = bytearray(content)
    for place, value in edits:
        damaged[8 + int(place * (end - 8))] = value
    path = Path(tempfile.gettempdir()) / f"lipscope-damaged-{os.getpid()}.safetensors"
    path.write_bytes(damaged)
    try:
        with suppress(CheckpointError):
            assert load_model(path).net.lipschitz_bound().value > 0
    finally:
        path.unlink()


@pytest.mark.parametrize("std", [(0.25,) * 3, (1.0,) * 3, (4.0,) * 3, (0.1, 1.0, 10.0)])
def test_the_normalisation_that_a_file_states_is_the_one_that_it_computes(
    std: tuple[float, ...], tmp_path: Path
) -> None:
    """A large one gains nothing: along a gradient the features move nearly as fast as the bound allows."""
    net = load_model(small_file(tmp_path, std=std)).net
    bound = net.lipschitz_bound().value
    assert bound == pytest.approx(1 / min(std), rel=1e-9)
    point = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(20):
        _, pulled = torch.autograd.functional.vjp(lambda x: net.features(x)[0], point, direction)
        pulled = pulled / pulled.norm()
        _, direction = torch.autograd.functional.jvp(lambda x: net.features(x)[0], point, pulled)
    assert 0.9 * bound < float(direction.norm()) <= bound


def test_an_unwritable_place_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "no" / "model.safetensors", tmp_path / "file" / "model.safetensors"):
        with pytest.raises(LipscopeError, match="cannot be written"):
            save_model(small_net(), path, small_config().to_json(), {})
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_never_written(value: float, tmp_path: Path) -> None:
    net = small_net()
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"the last good one")
    next(net.parameters()).data.flatten()[0] = value
    with pytest.raises(LipscopeError, match="NaN or infinite"):
        save_model(net, path, small_config().to_json(), {})
    assert path.read_bytes() == b"the last good one"
