from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import save_file

from lipscope.errors import LipscopeError, UsageError
from lipscope.models.described import load_described
from lipscope.models.description import read_description
from tests.always import always

GOOD = {"schema": "lipscope.describe/1", "input_shape": [3, 8, 8], "layers": [{"kind": "relu"}]}


@pytest.fixture
def read(tmp_path):
    def reading(content):
        path = tmp_path / "arch.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_description(path)

    return reading


def test_what_is_read(read):
    description = read({**GOOD, "dataset": "cifar10", "layers": [{"kind": "relu"}, {"kind": "relu", "name": "last"}]})
    assert (description.input_shape, description.dataset) == ((3, 8, 8), "cifar10")
    assert [entry.name for entry in description.entries] == ["0.relu", "last"]
    assert read({**GOOD, "input_shape": [7]}).input_shape == (7,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[" * 99_999, "is not JSON"),
        ("[]", "is not a description of this version"),
        ({**GOOD, "schema": "lipscope.describe/9"}, "schema 'lipscope.describe/9', expected 'lipscope.describe/2'"),
        ({**GOOD, "layer": []}, "unknown key 'layer'"),
        ({**GOOD, "input_shape": [3, 8, 8, 8]}, "input_shape must be"),
        ({**GOOD, "input_shape": [3, 8, 0]}, "input_shape must be"),
        ({**GOOD, "input_shape": [3, 8, True]}, "input_shape must be"),
        ({**GOOD, "input_shape": [10**6, 10**3, 10**3]}, "input_shape is too large"),
        ({**GOOD, "layers": []}, "at least one layer"),
        ({**GOOD, "layers": {}}, "must be a list of layers"),
        ({**GOOD, "layers": ["relu"]}, 'layers[0]: must be an object with a "kind"'),
        ({**GOOD, "layers": [{"kind": 3}]}, 'must be an object with a "kind"'),
        ({**GOOD, "layers": [{"kind": "relu", "name": 3}]}, "name must be a string"),
        ({**GOOD, "layers": [{"kind": "relu", "name": ""}]}, "name must be a string"),
        ({**GOOD, "dataset": 3}, "dataset must be a name"),
        (json.dumps(GOOD)[:-1] + ', "layers": [{"kind": "flatten"}]}', "the key 'layers' stands twice in one object"),
        (json.dumps(GOOD).replace('"kind"', '"kind": "flatten", "kind"'), "the key 'kind' stands twice in one object"),
    ],
)
def test_what_is_refused(read, content, said):
    with pytest.raises(UsageError) as caught:
        read(content)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_description(tmp_path / "none.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["kind", "name", "stride", "padding", "kernel_size", "layers", "shortcut", "weight", "mean"])
LAYER = st.dictionaries(KEYS, JSON | st.sampled_from(["conv2d", "relu", "max_pool", "residual", "normalize"]))


@always(layers=st.lists(LAYER, max_size=3))
def test_nonsense_is_refused_by_name_or_built(layers):
    """Whatever stands in it, a description is either built or refused with one line."""
    with tempfile.TemporaryDirectory() as folder:
        path, arch = Path(folder) / "a.safetensors", Path(folder) / "a.json"
        save_file({"w.weight": torch.ones(3, 3, 1, 1)}, path)
        arch.write_text(json.dumps({**GOOD, "layers": layers}))
        with suppress(LipscopeError):
            assert all(layer.bound(shape).proved for _, layer, shape in load_described(path, arch).net.layers())
