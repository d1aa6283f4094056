from __future__ import annotations

import gzip
import json
import os
import resource
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save, save_file

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import (
    LARGEST_HEADER,
    SCHEMA,
    metadata_for,
    read_header,
)
from lipscope.version import __version__
from tests.always import always


def packed(header: Any, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


OURS = metadata_for({"architecture": "lipconvnet"}, {})


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


def theirs_accepts(path: Path) -> bool:
    try:
        with safe_open(path, "np") as file:
            list(file.keys())
    except SafetensorError:
        return False
    return True


GOOD: dict[str, dict[str, np.ndarray]] = {
    "one": {"a": np.zeros((2, 3), np.float32)},
    "scalar": {"a": np.array(3, np.float32)},
    "empty tensors": {"a": np.zeros((0, 3), np.float32), "b": np.zeros(2, np.float32), "c": np.zeros(0, np.int8)},
    "dtypes": {
        str(np.dtype(t)): np.ones(3, t)
        for t in (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
    },
    "more dtypes": {str(np.dtype(t)): np.ones(3, t) for t in (np.uint16, np.uint32, np.uint64, np.complex64)},
    "names": {"": np.zeros(1), "ü.λ\x1b[31m\n": np.zeros(1), "x" * 5000: np.zeros(1)},
    "many": {f"layer{i}": np.full(i, i, np.float32) for i in range(300)},
    "none": {},
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "metadata", [None, {}, {"format": "pt", "λ": "ü\n\x1b"}, OURS], ids=["no", "{}", "odd", "ours"]
)
def test_good_files_read_as_safetensors_reads_them(name: str, metadata: dict[str, str] | None, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(GOOD[name], path, metadata)
    if not theirs_accepts(path):
        # The library writes what it cannot read: no tensors and empty metadata.
        assert (name, metadata) == ("none", {})
        save_file({}, path)
    header = read_header(path)
    with safe_open(path, "np") as file:
        assert {info.name for info in header.tensors} == set(file.keys())
        assert dict(header.metadata) == (file.metadata() or {})
        for info in header.tensors:
            part = file.get_slice(info.name)
            assert list(info.shape) == part.get_shape()
            assert info.dtype == part.get_dtype()
    assert header.parameters == sum(array.size for array in GOOD[name].values())
    assert header.file_size == path.stat().st_size
    assert header.path == path
    assert [info.offsets for info in header.tensors] == sorted(info.offsets for info in header.tensors)
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    for info in header.tensors:
        begin, end = (8 + length + offset for offset in info.offsets)
        assert raw[begin:end] == GOOD[name][info.name].tobytes()


def test_our_metadata_are_parsed(tmp_path: Path) -> None:
    config, training = {"architecture": "lipconvnet", "channels": 2, "mean": [0.5]}, {"seed": 3}
    path = write(tmp_path, packed({"__metadata__": metadata_for(config, training)}))
    header = read_header(path)
    assert header.config == config
    assert header.architecture == "lipconvnet"
    assert header.training == training
    assert header.metadata["lipscope.version"] == __version__
    assert header.metadata["format"] == "pt"
    assert all(isinstance(value, str) for value in header.metadata.values())


def test_a_foreign_file_has_no_configuration(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, packed({"a": entry(0, 4)}, bytes(4))))
    assert header.config is None
    assert header.architecture is None
    assert header.training == {}


def test_unknown_dtypes_are_listed_and_not_judged(tmp_path: Path) -> None:
    header = read_header(write(tmp_path, packed({"a": entry(0, 3, [6], "F4")}, bytes(3))))
    assert header.tensors[0].dtype == "F4"
    assert header.tensors[0].size == 6


MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    **{f"{n} bytes": (bytes(range(n)), "the file is truncated") for n in range(1, 8)},
    "header longer than the file": (struct.pack("<Q", 1000) + b"{}", "the file is truncated"),
    "header of 100 MB and 1": (struct.pack("<Q", LARGEST_HEADER + 1) + b"{}", "not a safetensors file"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{}", "not a safetensors file"),
    "zero header": (bytes(8), "its header is not JSON"),
    "zeros": (bytes(100), "nothing but zero bytes"),
    "pickle": (b"\x80\x02}q\x00.", "not a safetensors file but a pickle"),
    "zip": (b"PK\x03\x04" + bytes(100), "but a zip archive, as torch.save writes, and damaged"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "HTML": (b"<!doctype html>\n<html>", "an HTML page; download"),
    "HTML after blanks": (b"\xef\xbb\xbf \n<HTML lang=en>", "an HTML page"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(40), "a GGUF file"),
    "gzip": (gzip.compress(b"x" * 100), "a gzip file; unpack"),
    "what a server answered": (b"Entry not found", "a text file; look into it"),
    "header over the limit": (
        struct.pack("<Q", LARGEST_HEADER + 1) + b"{}",
        "100,000,001 bytes, the limit is 100,000,000",
    ),
    "a tensor twice": (packed(b'{"a":{"dtype":"F32"},"a":{"dtype":"F32"}}'), "'a' is in its header twice"),
    "a shape twice": (packed(b'{"a":{"shape":[],"shape":[1]}}'), "'shape' is in its header twice"),
    "metadata twice": (packed(b'{"__metadata__":{"x":"a","x":"b"}}'), "'x' is in its header twice"),
    "NUL padding": (packed(b"{}\0\0\0"), "padded with zero bytes"),
    "65 axes": (packed({"a": entry(0, 4, [1] * 65)}, bytes(4)), "has 65 axes, the limit is 64"),
    "an unknown dtype of less than a bit": (packed({"a": entry(0, 1, [9], "F1")}, bytes(1)), "malformed"),
    "numbers of 4000 digits": (
        packed(b'{"a":{"dtype":"I8","shape":[],"data_offsets":[' + b"9" * 4000 + b",1]}}"),
        "malformed",
    ),
    "lists in lists": (packed(b'{"a":[[[1]]]}'), "nested more than 3 deep"),
    "not JSON": (packed(b"nonsense"), "its header is not JSON"),
    "not UTF-8": (packed(b'{"\xff": 1}'), "its header is not JSON"),
    "UTF-16": (packed('{"__metadata__": {}}'.encode("utf-16")), "its header is not JSON"),
    "byte order mark": (packed(b"\xef\xbb\xbf{}"), "its header is not JSON"),
    "half of JSON": (packed(b'{"a": {'), "its header is not JSON"),
    "deeply nested": (packed(b"[" * 200_000), "its header is not JSON"),
    "deeply nested entry": (packed(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested more than 3 deep"),
    "a number of 5000 digits": (packed(b'{"a": ' + b"9" * 5000 + b"}"), "its header is not JSON"),
    "JSON list": (packed([1, 2]), "its header is not a JSON object"),
    "JSON number": (packed(3), "its header is not a JSON object"),
    "entry not an object": (packed({"a": 3}), "the entry of tensor 'a' is malformed"),
    "entry a list": (packed({"a": ["F32", [1], [0, 4]]}, bytes(4)), "the entry of tensor 'a' is malformed"),
    "no dtype": (packed({"a": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "malformed"),
    "no shape": (packed({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)), "malformed"),
    "no offsets": (packed({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)), "malformed"),
    "dtype a number": (packed({"a": entry(0, 4, dtype=7)}, bytes(4)), "malformed"),
    "dtype a list": (packed({"a": entry(0, 4, dtype=["F32"])}, bytes(4)), "malformed"),
    "dtype null": (packed({"a": entry(0, 4, dtype=None)}, bytes(4)), "malformed"),
    "negative shape": (packed({"a": entry(0, 4, [-1])}, bytes(4)), "malformed"),
    "negative shapes whose product fits": (packed({"a": entry(0, 4, [-1, -1])}, bytes(4)), "malformed"),
    "fractional shape": (packed({"a": entry(0, 4, [1.0])}, bytes(4)), "malformed"),
    "boolean shape": (packed({"a": entry(0, 4, [True])}, bytes(4)), "malformed"),
    "shape a string": (packed({"a": {**entry(0, 4), "shape": "1"}}, bytes(4)), "malformed"),
    "shape a number": (packed({"a": {**entry(0, 4), "shape": 1}}, bytes(4)), "malformed"),
    "shape an object": (packed({"a": {**entry(0, 4), "shape": {}}}, bytes(4)), "malformed"),
    "shape of another size": (packed({"a": entry(0, 4, [2])}, bytes(4)), "malformed"),
    "huge shape": (packed({"a": entry(0, 4, [2**62, 2**62])}, bytes(4)), "malformed"),
    "offsets backwards": (packed({"a": {**entry(0, 4), "data_offsets": [4, 0]}}, bytes(4)), "malformed"),
    "negative offset": (packed({"a": {**entry(0, 4), "data_offsets": [-4, 0]}}, bytes(4)), "malformed"),
    "three offsets": (packed({"a": {**entry(0, 4), "data_offsets": [0, 4, 8]}}, bytes(4)), "malformed"),
    "offset not a number": (packed({"a": {**entry(0, 4), "data_offsets": ["0", "4"]}}, bytes(4)), "malformed"),
    "half a surrogate pair": (packed({"\ud800": entry(0, 4)}, bytes(4)), "malformed"),
    "overlap": (
        packed({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
        "tensor 'b' overlaps another or leaves a gap",
    ),
    "the same bytes twice": (packed({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)), "overlaps another"),
    "gap": (packed({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "tensor 'b' overlaps another or leaves a gap"),
    "gap at the start": (packed({"a": entry(4, 8)}, bytes(8)), "tensor 'a' overlaps another or leaves a gap"),
    "trailing bytes": (packed({"a": entry(0, 4)}, bytes(5)), "1 bytes follow the last tensor"),
    "data without tensors": (packed({}, bytes(4)), "4 bytes follow the last tensor"),
    "truncated data": (packed({"a": entry(0, 8)}, bytes(7)), "the file is truncated"),
    "metadata a list": (packed({"__metadata__": []}), "its metadata are not strings"),
    "metadata not strings": (packed({"__metadata__": {"a": 3}}), "its metadata are not strings"),
    "metadata nested": (packed({"__metadata__": {"a": {"b": "c"}}}), "its metadata are not strings"),
    "metadata with half a surrogate pair": (packed({"__metadata__": {"a": "\udfff"}}), "its metadata are not strings"),
    "unknown schema": (packed({"__metadata__": {**OURS, "lipscope.schema": "x/2"}}), "unknown checkpoint schema 'x/2'"),
    "empty schema": (packed({"__metadata__": {**OURS, "lipscope.schema": ""}}), "unknown checkpoint schema"),
    "no configuration": (packed({"__metadata__": {"lipscope.schema": SCHEMA}}), "lipscope.config is not JSON"),
    "a key twice": (
        packed({"__metadata__": {"lipscope.schema": SCHEMA, "lipscope.config": '{"std": [1], "std": [9]}'}}),
        "the key 'std' stands twice",
    ),
    "configuration not JSON": (
        packed({"__metadata__": {**OURS, "lipscope.config": "{"}}),
        "lipscope.config is not JSON",
    ),
    "configuration a list": (packed({"__metadata__": {**OURS, "lipscope.config": "[]"}}), "not a JSON object"),
    "configuration nested": (packed({"__metadata__": {**OURS, "lipscope.config": "[" * 10**5}}), "is not JSON"),
    "configuration of 5000 digits": (packed({"__metadata__": {**OURS, "lipscope.config": "9" * 5000}}), "is not JSON"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_in_one_line_with_a_next_step(name: str, tmp_path: Path) -> None:
    content, message = MALFORMED[name]
    path = write(tmp_path, content)
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    error = caught.value
    assert message in str(error)
    assert error.where.startswith(str(path))
    assert error.exit_code == 4
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    str(error).encode()


def test_null_metadata_are_none_as_safetensors_has_it(tmp_path: Path) -> None:
    path = write(tmp_path, packed({"__metadata__": None, "a": entry(0, 4)}, bytes(4)))
    assert theirs_accepts(path)
    assert read_header(path).metadata == {}


def joined(item: bytes, count: int) -> bytes:
    """As a list of JSON, at the price of a copy: this runs wherever tests are only collected."""
    return item + (b"," + item) * (count - 1)


COSTLY: dict[str, tuple[bytes, str]] = {
    "a product of a million digits": (
        packed(
            b'{"a":{"dtype":"F9","shape":[' + joined(b"9223372036854775807", 100_000) + b'],"data_offsets":[0,1]}}',
            b"x",
        ),
        "axes",
    ),
    "products of many": (
        packed(
            b"{"
            + b",".join(
                b'"%d":{"dtype":"F9","shape":[%s],"data_offsets":[0,1]}' % (i, joined(b"9" * 18, 60))
                for i in range(2000)
            )
            + b"}",
            b"x",
        ),
        "malformed",
    ),
    "empty lists": (packed(b'{"a":{"dtype":"F32","shape":[' + joined(b"[]", 3_000_000) + b"]}}"), "nested"),
    "numbers": (
        packed(b'{"a":{"dtype":"F32","shape":[' + joined(b"1", 7_000_000) + b"]}}"),
        "lists more numbers",
    ),
    "objects": (packed(b"{" + joined(b'"a":{}', 600_000) + b"}"), "600,000 tensors, the limit is 500,000"),
    "quotes": (packed(b'{"' + b'\\"' * 1_000_000), "not JSON"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_header_costs_no_more_than_it_weighs(name: str, tmp_path: Path) -> None:
    content, message = COSTLY[name]
    path = write(tmp_path, content)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(CheckpointError, match=message):
        read_header(path)
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_missing_file_and_a_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no such file.*check the path"):
        read_header(tmp_path / "no.safetensors")
    with pytest.raises(CheckpointError, match=r"is a folder.*name the model\.safetensors inside"):
        read_header(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(write(tmp_path, b"x") / "below.safetensors")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["best/data.pkl", "best/data/0"], "but a file of torch.save; `lipscope convert`"),
        (["best/data.pkl", "best/constants.pkl", "best/code/__torch__.py"], "but a TorchScript archive"),
        (["a.txt"], "but a zip archive; unpack it first"),
    ],
)
def test_zip_archives_are_told_apart_by_what_is_in_them(names: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(CheckpointError, match=said):
        read_header(path)


def test_damaged_training_metadata_raise_when_asked_for(tmp_path: Path) -> None:
    for text in ("{", "[]", "[" * 10**5, "9" * 5000):
        header = read_header(write(tmp_path, packed({"__metadata__": {**OURS, "lipscope.training": text}})))
        with pytest.raises(CheckpointError, match=r"lipscope\.training is not"):
            _ = header.training


def test_names_from_a_file_are_cut_and_escaped_in_messages(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_header(write(tmp_path, packed({"\x1b[31m" + "x" * 10**6: 3})))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


WHOLE = save({"a": np.arange(3, dtype=np.float32), "b": np.zeros((2, 1), np.float64)}, OURS)
(HEADER_LENGTH,) = struct.unpack("<Q", WHOLE[:8])


@contextmanager
def scratch(content: bytes) -> Iterator[Path]:
    """A file for one case of a property: a fixture would be shared by all of them."""
    path = Path(tempfile.gettempdir()) / f"lipscope-scratch-{os.getpid()}.safetensors"
    path.write_bytes(content)
    try:
        yield path
    finally:
        path.unlink()


@always(
    edits=st.lists(
        st.tuples(st.integers(0, 8 + HEADER_LENGTH - 1), st.integers(0, 255) | st.sampled_from(b'{}[],:"0129 -')),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_header_is_refused_or_means_what_safetensors_takes_it_for(edits: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for place, value in edits:
        content[place] = value
    with scratch(content) as path, suppress(CheckpointError):
        header = read_header(path)
        if theirs_accepts(path):
            with safe_open(path, "np") as file:
                assert {info.name for info in header.tensors} == set(file.keys())


@always(length=st.integers(0, len(WHOLE) - 1))
def test_every_truncation_is_refused(length: int) -> None:
    with scratch(WHOLE[:length]) as path, pytest.raises(CheckpointError):
        read_header(path)
