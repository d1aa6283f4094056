import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header
from lipscope.files.matrices import MOST, SIDE, extremes, read_kernel, tensor_of
from lipscope.tui.work.gallery import Gallery
from lipscope.tui.work.watch import stamp_of
from tests.always import always
from tests.tui.work.test_latest import settle


def written(path, **tensors):
    save_file({name.replace("__", "."): value for name, value in tensors.items()}, path)
    return path


def test_the_taps_of_a_convolution_are_its_matrices(tmp_path):
    weight = np.arange(4 * 2 * 3 * 3, dtype=np.float32).reshape(4, 2, 3, 3) - 30
    path = written(tmp_path / "a.safetensors", conv__kernel=weight, conv__bias=np.zeros(4, np.float32))
    kernel = read_kernel(path, "conv")
    assert (kernel.tensor, kernel.shape, kernel.grid, kernel.block) == ("conv.kernel", (4, 2, 3, 3), (3, 3), (1, 1))
    for row in range(3):
        for column in range(3):
            assert np.array_equal(kernel.taps[3 * row + column], weight[:, :, row, column])
    assert kernel.scale == 41
    assert kernel.unknown == 0


def test_a_linear_layer_is_one_matrix_and_a_row_of_taps_one_row(tmp_path):
    path = written(
        tmp_path / "a.safetensors", fc=np.eye(3, 5, dtype=np.float32), one__weight=np.ones((2, 3, 4), np.float32)
    )
    assert np.array_equal(read_kernel(path, "fc").taps, np.eye(3, 5, dtype=np.float32)[None])
    assert read_kernel(path, "one").grid == (1, 4)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_precisions(tmp_path, dtype):
    path = written(tmp_path / "a.safetensors", fc=np.array([[0.5, -2.0]], dtype))
    assert read_kernel(path, "fc").taps.tolist() == [[[0.5, -2.0]]]


def test_bfloat16(tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    path = tmp_path / "a.safetensors"
    save_torch({"b": torch.ones(3), "fc": torch.tensor([[0.5, -3.0]], dtype=torch.bfloat16)}, path)
    assert read_kernel(path, "fc").taps.tolist() == [[[0.5, -3.0]]]


def test_values_that_are_not_finite_are_counted_and_show_in_their_block(tmp_path):
    weight = np.ones((3, 2 * SIDE), np.float32)
    weight[0, 0], weight[1, 3] = np.nan, -np.inf
    kernel = read_kernel(written(tmp_path / "a.safetensors", fc=weight), "fc")
    assert kernel.unknown == 2
    assert kernel.scale == 1
    assert kernel.block == (1, 2)
    assert np.isnan(kernel.taps[0]).nonzero()[1].tolist() == [0, 1]


def test_what_cannot_be_drawn_says_why(tmp_path, monkeypatch):
    path = written(
        tmp_path / "a.safetensors", whole=np.ones((2, 2), np.int64), empty=np.ones((0, 2), np.float32),
        vector=np.ones(4, np.float32), large=np.ones((3, 3), np.float32),
    )  # fmt: skip
    assert read_kernel(path, "vector").taps is None
    assert read_kernel(path, "nothing").tensor == ""
    for name in ("whole", "empty"):
        with pytest.raises(CheckpointError):
            read_kernel(path, name)
    monkeypatch.setattr("lipscope.files.matrices.MOST", 8)
    with pytest.raises(CheckpointError, match="9 entries"):
        read_kernel(path, "large")
    assert MOST >= 1024 * 1024 * 9


def test_the_largest_tensor_of_a_layer_is_chosen(tmp_path):
    path = written(
        tmp_path / "a.safetensors", c__small=np.ones((2, 2), np.float32), c__w=np.ones((3, 3), np.float32),
        c10__w=np.ones((9, 9), np.float32),
    )  # fmt: skip
    assert tensor_of(read_header(path).tensors, "c").name == "c.w"


def test_shards(tmp_path):
    import json

    for number, name in enumerate(("a.weight", "b.weight")):
        extra = {f"pad{number}": np.zeros(5, np.float32)}
        save_file({name: np.full((2, 2), number + 1, np.float32), **extra}, tmp_path / f"m-{number}.safetensors")
    places = {f"{'ab'[n]}.weight": f"m-{n}.safetensors" for n in (0, 1)} | {
        f"pad{n}": f"m-{n}.safetensors" for n in (0, 1)
    }
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert read_kernel(index, "b").taps.tolist() == [[[2, 2], [2, 2]]]


@always(
    rows=st.integers(1, 7), columns=st.integers(1, 7), down=st.integers(1, 4), across=st.integers(1, 4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_extremes_are_the_largest_of_their_blocks_and_nest(rows, columns, down, across, seed):
    matrix = np.random.default_rng(seed).normal(size=(1, rows, columns)).astype(np.float32)
    found = extremes(matrix, (down, across))[0]
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            block = matrix[0, down * i : down * (i + 1), across * j : across * (j + 1)]
            assert found[i, j] == block.flat[np.abs(block).argmax()]
    twice = extremes(extremes(matrix, (down, across)), (2, 2))
    assert np.array_equal(np.abs(twice), np.abs(extremes(matrix, (2 * down, 2 * across))))


def test_the_reader_tells_of_files_that_changed(tmp_path):
    path = written(tmp_path / "a.safetensors", fc=np.ones((2, 2), np.float32))
    told = []

    def learn(kernel):
        told.append(kernel)

    reader = Gallery(path, None, None, learn, lambda run: run(), stamp=stamp_of(path))
    reader.kernels.ask("fc")
    settle(reader)
    assert told[-1].error is None
    written(tmp_path / "b.safetensors", fc=np.ones((2, 3), np.float32)).replace(path)
    reader.kernels.ask("other")
    settle(reader)
    assert len(told) == 2
    assert "another one than was opened" in told[-1].error.what
    path.unlink()
    reader.kernels.ask("fc")
    settle(reader)
    assert told[-1].error is not None
    reader.close()
