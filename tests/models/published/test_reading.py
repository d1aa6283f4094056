from __future__ import annotations

import argparse
import gzip
import io
import math
import os
import pickle
import resource
import tarfile
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from lipscope.errors import CheckpointError, UsageError
from lipscope.models.published import load_published
from tests.always import always
from tests.models.published.files import saved

ONE = torch.ones(1)

WRAPPED: dict[str, tuple[Any, str, str]] = {
    "Lightning": (
        lambda s: {
            "state_dict": {**{f"model._orig_mod.{name}": value for name, value in s.items()}, "loss.weight": ONE},
            "optimizer_states": [{"state": {0: {"exp_avg": ONE}}}],
            "hyper_parameters": {"lr": 0.1},
        },
        "state_dict", "model._orig_mod.",
    ),
    "repeated": (lambda s: {f"module.module.net.{name}": value for name, value in s.items()}, "", "module.module.net."),
    "any common prefix": (
        lambda s: {"weights": {"model": {f"teacher.{name}": value for name, value in s.items()}}},
        "weights.model", "teacher.",
    ),
    "compiled inside": (
        lambda s: {name.replace(".conv.", "._orig_mod.conv."): value for name, value in s.items()}, "", "_orig_mod."
    ),
    "numbers beside": (
        lambda s: {"model_state_dict": {**s, "epoch": 3}, "acc": np.float64(71.2), "step": np.int64(9), "none": None},
        "model_state_dict", "",
    ),
    "optimiser beside": (
        lambda s: {"weights": s, "optimizer": {"state": {0: {"exp_avg": ONE}}, "param_groups": []}}, "weights", ""
    ),
    "averaged weights beside": (lambda s: {"state_dict_ema": {"a": ONE}, "model": s}, "model", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_what_scripts_put_around_is_taken_off_and_named(name: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    wrap, key, prefix = WRAPPED[name]
    found = load_published(saved(wrap(state), tmp_path))
    assert (found.key, found.prefix) == (key, prefix)
    assert set(found.tensors) == set(state)
    assert all(torch.equal(found.tensors[each], value) for each, value in state.items())
    assert ("loss.weight" in " ".join(found.left_out)) == (name == "Lightning")
    assert set(found.left_out) >= ({"epoch", "acc", "step", "none"} if name == "numbers beside" else set())


def test_several_state_dicts_are_told_apart_by_a_key(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved({"student": state, "teacher": {**state, "extra": ONE}}, tmp_path)
    with pytest.raises(CheckpointError, match=r"several state dicts \(student, teacher\); choose one with --key"):
        load_published(path)
    assert "extra" in load_published(path, "teacher").tensors
    with pytest.raises(UsageError, match="no state dict at 'other'"):
        load_published(path, "other")


def test_sizes_are_seen_before_anything_is_allocated(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved({**state, "huge": torch.zeros(1).expand(10**10, 2)}, tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"'huge' is larger than the file \(80,000,000,000 bytes of 4 stored"):
        load_published(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    one = torch.zeros(1000)
    with pytest.raises(CheckpointError, match="more than 4 times as large as the file"):
        load_published(saved({str(i): one for i in range(100)}, tmp_path))


def test_what_unpacks_to_more_than_it_weighs_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    source, target = saved(state, tmp_path), tmp_path / "packed.pth"
    with zipfile.ZipFile(source) as stored, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in stored.namelist():
            packed.writestr(entry, stored.read(entry))
    with pytest.raises(CheckpointError, match="its entries are compressed"):
        load_published(target)


@pytest.mark.parametrize("odd", [torch.eye(3).to_sparse(), torch.empty(3, device="meta")], ids=["sparse", "meta"])
def test_tensors_that_are_no_plain_numbers(odd: Tensor, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'a' is not stored as plain numbers"):
        load_published(saved({"a": odd, "b": ONE}, tmp_path))


def test_numbers_of_eight_bits(tmp_path: Path) -> None:
    eight = torch.tensor([0.5, -3.0, 448.0])
    state = {"a": eight.to(torch.float8_e4m3fn), "b": ONE}
    assert load_published(saved(state, tmp_path)).tensors["a"].float().tolist() == eight.tolist()
    with pytest.raises(CheckpointError, match="'a' holds NaN"):
        load_published(saved({**state, "a": (eight * math.nan).to(torch.float8_e5m2)}, tmp_path))


def tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def script() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("best/data.pkl", "best/constants.pkl", "best/code/__torch__.py"):
            archive.writestr(name, b"x")
    return buffer.getvalue()


OTHERS = {
    "TorchScript": (script(), "is a TorchScript archive"),
    "tar": (tar(b"x"), "is a tar archive"),
    "HTML": (b"\n<!DOCTYPE html><html>", "is an HTML page"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "is a Git LFS pointer"),
    "gzip": (gzip.compress(b"x"), "is a gzip file"),
    "zip": (b"PK\x03\x04" + bytes(40), "is a zip archive"),
    "what a server answered": (b'{"error": "Repository not found"}', "is a text file"),
    "text": (b"not a checkpoint at all", "is a text file"),
    "nothing": (b"", "is empty"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_named_with_a_next_step(name: str, tmp_path: Path) -> None:
    content, said = OTHERS[name]
    path = tmp_path / "best.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_published(path)
    assert caught.value.next_step


def test_a_whole_model_is_named_and_torch_is_not_quoted(tmp_path: Path) -> None:
    for content in (torch.nn.Linear(2, 2), {"model": torch.nn.Linear(2, 2)}, {"args": argparse.Namespace(lr=1)}):
        for zipped in (True, False):
            with pytest.raises(CheckpointError) as caught:
                load_published(saved(content, tmp_path, _use_new_zipfile_serialization=zipped))
            assert "it holds an object of class" in str(caught.value)
            assert ("torch.nn.modules.linear.Linear" in str(caught.value)) == ("Namespace" not in str(caught.value))
            assert "torch.save(model.state_dict()" in str(caught.value)
            assert "weights_only" not in str(caught.value)


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
    tensors = load_published(saved(wrap(state), tmp_path)).tensors
    assert set(tensors) == set(state)
    assert torch.equal(tensors["layer1.0.conv.bias"], state["layer1.0.conv.bias"])


def test_the_legacy_file_format_too(state: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = load_published(saved(state, tmp_path, _use_new_zipfile_serialization=False)).tensors
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
        with pytest.raises(CheckpointError, match="only tensors are read, no pickled code"):
            load_published(file)
    assert not canary.exists()


def _saved_bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"\xff", b"not a checkpoint \x00 at all", b"\x80\x02}q\x00"])
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
