"""Everything that can be edited: whatever is changed in these files ends in a plain error, or is left alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import save_file

import lipscope.data
from lipscope.certification.summary import summary
from lipscope.cli import run
from lipscope.errors import DataError, LipscopeError
from lipscope.files.adversarials import read_adversarials
from lipscope.files.checkpoint import read_header
from lipscope.files.results import read_results, write_results
from lipscope.models.description import read_description
from lipscope.training.run import open_run
from lipscope.tui.config import read_config
from lipscope.units import DEFAULT_EPS
from tests.always import always
from tests.files.test_results import some_certificates
from tests.models.makers import small_config
from tests.tui.runs import Run

PIECES = (b"", b"\0", b"-", b"9" * 400, b"NaN", b"{", b"[" * 2000, b"\xff", b"1e999", b"null", b'"')

EDITS = st.lists(
    st.tuples(st.integers(0, 2**31), st.binary(max_size=3) | st.sampled_from(PIECES)), min_size=1, max_size=4
)
"""Where bytes are replaced, and by what."""

VALUES = st.sampled_from(
    [None, True, -1, 0, 10**30, 1e308, float("nan"), "", "x" * 5000, "\x1b[31m", [], {}, [[]], {"": None}, "9" * 5000]
)


def bent(content: Any, path: int, value: Any) -> Any:
    """The same JSON with one value somewhere replaced."""
    if isinstance(content, dict) and content:
        keys = sorted(content)
        key = keys[path % len(keys)]
        whole = path // len(keys) % 4 == 0
        return {**content, key: value if whole else bent(content[key], path // len(keys), value)}
    if isinstance(content, list) and content:
        place = path % len(content)
        return [*content[:place], bent(content[place], path // len(content), value), *content[place + 1 :]]
    return value


def edited(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for place, new in edits:
        where = place % (len(content) + 1)
        content = content[:where] + new + content[where + len(new) :] if place % 2 else content[:where]
    return content


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each file that people can edit."""
    place = tmp_path_factory.mktemp("originals")
    trained = Run(place / "run")
    trained.train(1, 2)
    trained.tell("running", 3, 10)
    description = json.loads((place / "run" / "run.json").read_text())
    description["config"] = small_config().to_json()
    (place / "run" / "run.json").write_text(json.dumps(description))
    save_file({"a": np.eye(2, dtype=np.float32)}, place / "a-1.safetensors", {"format": "pt", "x": "y"})
    index = {"metadata": {"total_size": 16}, "weight_map": {"a": "a-1.safetensors"}}
    (place / "a.safetensors.index.json").write_text(json.dumps(index))
    (place / "d.json").write_text(
        json.dumps({"schema": "lipscope.describe/1", "input_shape": [2], "layers": [{"kind": "linear", "weight": "a"}]})
    )
    (place / "config.toml").write_text('theme = "nord"\n[keys]\n"quit" = "Q"\n')
    kept = some_certificates([0.1, 0.5], correct=[True, False])
    write_results(place / "r.certified.safetensors", kept, summary(kept, "r", DEFAULT_EPS))
    return place


READERS: dict[str, Callable[[Path], object]] = {
    "run/run.json": lambda path: [run(["inspect", str(path.parent)]), run(["train", "--resume", str(path.parent)])],
    "run/metrics.jsonl": lambda path: [
        run(["inspect", str(path.parent), "--json"]),
        open_run(path.parent).forget_after(1),
    ],
    "run/layers.jsonl": lambda path: [run(["inspect", str(path.parent)]), open_run(path.parent).forget_after(1)],
    "run/progress.json": lambda path: [
        run(["inspect", str(path.parent)]),
        run(["inspect", str(path.parent), "--json"]),
    ],
    "a-1.safetensors": lambda path: [read_header(path), read_header(path.with_name("a.safetensors.index.json"))],
    "a.safetensors.index.json": read_header,
    "d.json": read_description,
    "config.toml": read_config,
    "r.certified.safetensors": lambda path: [read_results(path), read_adversarials(path, "", "")],
    "r.certified.json": lambda path: read_results(path.with_name("r.certified.safetensors")),
}


@pytest.fixture(autouse=True, scope="module")
def no_images() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lipscope.data, "load", _none)
        yield


def _none(*_: object) -> object:
    raise DataError("no data set here")


ORIGINALS: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def known(originals: Path) -> None:
    ORIGINALS[:] = [originals]
    present = {str(path.relative_to(originals)) for path in originals.rglob("*") if path.is_file()}
    assert present == set(READERS)


def survives(name: str, content: bytes) -> None:
    with folder() as copy:
        shutil.copytree(ORIGINALS[0], copy, dirs_exist_ok=True)
        (copy / name).write_bytes(content)
        with suppress(LipscopeError):
            READERS[name](copy / name)


@always(name=st.sampled_from(sorted(READERS)), edits=EDITS)
def test_bytes_that_were_changed(name: str, edits: list[tuple[int, bytes]]) -> None:
    survives(name, edited((ORIGINALS[0] / name).read_bytes(), edits))


@always(
    name=st.sampled_from([name for name in sorted(READERS) if "json" in name]), path=st.integers(0, 2**31), value=VALUES
)
def test_values_that_were_changed(name: str, path: int, value: Any) -> None:
    lines = (
        (ORIGINALS[0] / name).read_text().splitlines()
        if name.endswith("jsonl")
        else [(ORIGINALS[0] / name).read_text()]
    )
    place = path % len(lines)
    lines[place] = json.dumps(bent(json.loads(lines[place]), path // len(lines), value))
    survives(name, "\n".join([*lines, ""]).encode())


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_original_is_read(name: str) -> None:
    with folder() as copy:
        shutil.copytree(ORIGINALS[0], copy, dirs_exist_ok=True)
        if name.startswith("run/"):
            assert run(["inspect", str(copy / "run")]) == 0
        elif not name.startswith("r.certified"):
            READERS[name](copy / name)
