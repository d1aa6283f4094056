"""Files that are no model, and models that cannot be certified."""

from __future__ import annotations

import numpy as np
import pytest

from lipscope.cli import run
from lipscope.files.results import results_path
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import save_model
from tests.commands.certifying import error_of
from tests.models_on_disk import alter, scaled, spoiled

pytestmark = pytest.mark.usefixtures("no_data")


def test_files_that_are_no_model(tiny_model, tmp_path, capsys):
    whole = tiny_model.read_bytes()
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "the file is empty"),
        "short": (whole[:6], "the file is truncated"),
        "header cut": (whole[:100], "the file is truncated"),
        "truncated": (whole[:-1], "the file is truncated"),
        "longer": (whole + b"x", "1 bytes follow the last tensor"),
        "text": (b"hello, this is no tensor file at all", "not a safetensors file"),
        "pickle": (b"\x80\x02}q\x00." + bytes(50), "not a safetensors file"),
    }
    for name, (content, said) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        code, line = error_of(capsys, path)
        assert code == 4, name
        assert line.startswith(f"lipscope: {path}: "), name
        assert said in line, name
    code, line = error_of(capsys, tmp_path)
    assert code == 4
    assert "is a folder" in line


CHANGES = {
    "NaN": ({"tensors": spoiled(float("nan"))}, 4, "holds NaN or infinite values"),
    "infinite": ({"tensors": spoiled(float("-inf"), "head.bias")}, 4, "tensor head.bias holds NaN or infinite"),
    "wrong shape": ({"tensors": lambda t: t.update({"head.bias": t["head.bias"][:9].clone()})}, 4, "wrong shape"),
    "missing tensor": ({"tensors": lambda t: t.pop("head.bias")}, 4, "tensor head.bias is missing"),
    "more tensors": ({"tensors": lambda t: t.update(x=t["head.bias"].clone())}, 4, "unexpected tensor 'x'"),
    "half": ({"tensors": lambda t: t.update({"head.bias": t["head.bias"].half()})}, 4, "not float32"),
    "architecture": ({"config": {"architecture": "unheard"}}, 4, "unknown architecture 'unheard'"),
    "escapes": ({"config": {"architecture": "\x1b[31mred"}}, 4, r"unknown architecture '\x1b[31mred'"),
    "no architecture": ({"config": {"architecture": None}}, 4, "unknown architecture"),
    "schema": ({"metadata": {"lipscope.schema": "lipscope.checkpoint/99"}}, 4, "unknown checkpoint schema"),
    "config": ({"metadata": {"lipscope.config": "{"}}, 4, "lipscope.config is not JSON"),
    "odd channels": ({"config": {"channels": 3}}, 4, "channels must be even"),
    "huge": ({"config": {"channels": 4096, "blocks": 64}}, 4, "the configuration describes another model"),
    "text for a number": ({"config": {"std": "abc"}}, 4, "std"),
    "unknown key": ({"config": {"unheard": 1}}, 4, "unknown configuration key 'unheard'"),
    "no data set": ({"config": {"dataset": None}}, 2, "unknown data set"),
    "classes": ({"config": {"dataset": "synthetic100"}}, 3, "another number of classes"),
    "nothing proved": ({"tensors": scaled(1e30)}, 5, "refused: no proved Lipschitz constant"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_models_that_cannot_be_certified(tiny_model, capsys, name):
    change, code, said = CHANGES[name]
    found, line = error_of(capsys, alter(tiny_model, **change), "--limit", "3")
    assert (found, said in line) == (code, True), line
    assert line.isprintable()


def test_a_file_of_another_origin(tmp_path, capsys):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"w": np.eye(3, dtype=np.float32)}, path)
    code, line = error_of(capsys, path)
    assert code == 4
    assert "not a lipscope checkpoint" in line
    assert "lipscope inspect" in line


@pytest.mark.parametrize("command", ["certify", "attack"])
def test_without_the_data_set_the_kept_results_are_pointed_to(command, tmp_path, capsys):
    model = tmp_path / "a model.safetensors"
    config = LipConvnetConfig(channels=2, dataset="cifar10")
    net = config.build()
    net.make_trainable()
    save_model(net.frozen(), model, config.to_json(), {})
    pointed = f"the kept results need no images: `lipscope inspect '{model}'` shows them"
    assert run([command, str(model), "--limit", "1"]) == 3
    assert pointed not in capsys.readouterr().err
    results_path(model).write_bytes(b"kept")
    assert run([command, str(model), "--limit", "1"]) == 3
    assert pointed in capsys.readouterr().err
