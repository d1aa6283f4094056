from __future__ import annotations

import io
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

from lipscope.errors import CheckpointError
from lipscope.models.published import load_published
from tests.always import always
from tests.models.published.files import saved


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
