from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from lipscope.analysis.analysis import inspect_report
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header, sha256_of

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "embed.weight": torch.randn(7, 5, generator=generator).to(torch.bfloat16),
        "fc.weight": torch.randn(4, 6, generator=generator),
        "norm.bias": torch.randn(4, generator=generator),
        "half.weight": torch.randn(3, 3, generator=generator).to(torch.float16),
    }


@pytest.fixture
def index(tmp_path):
    """Two shards, the second written first, and their index."""
    content = tensors()
    save_file({name: content[name] for name in ("half.weight", "norm.bias")}, tmp_path / SHARDS[1])
    save_file({name: content[name] for name in ("embed.weight", "fc.weight")}, tmp_path / SHARDS[0])
    places = {"embed.weight": 0, "fc.weight": 0, "norm.bias": 1, "half.weight": 1}
    return write_index(tmp_path, {name: SHARDS[place] for name, place in places.items()})


def write_index(folder, places):
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 500}, "weight_map": places}))
    return path


def test_the_header_of_all_shards_at_once(index):
    header = read_header(index)
    assert {tensor.name: tensor.shape for tensor in header.tensors} == {n: tuple(t.shape) for n, t in tensors().items()}
    assert header.file_size == sum((index.parent / shard).stat().st_size for shard in SHARDS)
    assert header.part_of("half.weight").path == index.parent / SHARDS[1]
    assert [header.part_of(tensor.name).path.name for tensor in header.tensors] == [SHARDS[0]] * 2 + [SHARDS[1]] * 2
    assert header.metadata == {"total_size": "500", "shards": "2"}
    assert (header.path, header.config) == (index, None)


def test_every_tensor_is_analysed_from_its_own_shard(index):
    report = inspect_report(index)
    layers = {layer.name: layer for layer in report.layers}
    assert layers.keys() == tensors().keys()
    for name in ("embed.weight", "fc.weight", "half.weight"):
        largest = float(torch.linalg.svdvals(tensors()[name].double())[0])
        assert layers[name].sigma_max.value == pytest.approx(largest, rel=1e-12)
        assert largest * (1 - 1e-14) <= layers[name].bound.value <= largest * (1 + 1e-9)
    assert report.sha256 == sha256_of(index)


def test_the_hash_is_of_the_shards_in_the_order_of_their_names(index):
    joined = b"".join((index.parent / shard).read_bytes() for shard in SHARDS)
    assert sha256_of(index) == hashlib.sha256(joined).hexdigest()


def test_a_folder_stands_for_the_only_index_in_it(index):
    assert read_header(index.parent).tensors == read_header(index).tensors
    assert sha256_of(index.parent) == sha256_of(index)
    (index.parent / "other.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="several sharded checkpoints"):
        read_header(index.parent)


def test_a_folder_without_an_index(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        read_header(tmp_path)


def test_a_missing_shard_is_named(index):
    (index.parent / SHARDS[1]).unlink()
    with pytest.raises(CheckpointError, match=r"shard 'model-00002-of-00002.safetensors' is missing \(2 tensors"):
        read_header(index)


def test_a_truncated_shard_is_named(index):
    path = index.parent / SHARDS[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"00001-of-00002.safetensors: the file is truncated"):
        read_header(index)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.weight": SHARDS[1]}, "'fc.weight' is in 'model-00001-of-00002.safetensors', the index says 'model-00002"),
        ({"ghost.weight": SHARDS[0]}, "'ghost.weight' is not in 'model-00001-of-00002.safetensors'"),
        ({"fc.weight": None}, "'fc.weight' is in 'model-00001-of-00002.safetensors', the index says 'nowhere'"),
    ],
)
def test_shards_that_do_not_fit_the_index(index, change, said):
    places = {**json.loads(index.read_text())["weight_map"], **change}
    write_index(index.parent, {name: shard for name, shard in places.items() if shard})
    with pytest.raises(CheckpointError, match="do not fit together") as caught:
        read_header(index)
    assert said in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_tensor_in_two_shards(index):
    save_file({"half.weight": torch.ones(3, 3), "fc.weight": torch.ones(4, 6), "norm.bias": torch.ones(4)},
              index.parent / SHARDS[1])  # fmt: skip
    with pytest.raises(CheckpointError, match=r"'fc\.weight' is in 'model-00002"):
        read_header(index)


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "model.bin", ""])
def test_only_files_beside_the_index_are_opened(tmp_path, shard):
    path = write_index(tmp_path, {"a": shard})
    with pytest.raises(CheckpointError, match="names the shard"):
        read_header(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 99_999],
)
def test_damaged_indexes(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    for read in (read_header, sha256_of):
        with pytest.raises(CheckpointError):
            read(path)


def test_no_index_where_one_is_named(tmp_path):
    for read in (read_header, sha256_of):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(tmp_path / "model.safetensors.index.json")
