from __future__ import annotations

import subprocess
import sys

import pytest

from lipscope.errors import UsageError
from lipscope.layers.activations import ACTIVATIONS
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.last_layers import HEADS
from lipscope.models.registry import ARCHITECTURES, asked_for
from lipscope.registry import Registry
from lipscope.training.recipe import LOSSES, RECIPES

TABLES = (CONVOLUTIONS, ACTIVATIONS, HEADS, LOSSES, RECIPES, ARCHITECTURES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.what)
def test_every_line_leads_to_something(table: Registry) -> None:
    assert len(dict(table.items())) == len(table) > 1


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.what)
@pytest.mark.parametrize("name", ["nothing", "", 3, None, ["soc"]])
def test_other_names_are_refused(table: Registry, name: object) -> None:
    assert name not in table
    with pytest.raises(UsageError, match=f"unknown {table.what}.*choose from"):
        table.known(name)


def test_the_names_are_known_without_torch() -> None:
    code = (
        "import sys; from lipscope.training.recipe import LOSSES, RECIPES; "
        "from lipscope.models.registry import ARCHITECTURES; from lipscope.layers.activations import ACTIVATIONS; "
        "from lipscope.layers.convolutions import CONVOLUTIONS; from lipscope.layers.last_layers import HEADS; "
        "print(*LOSSES, *RECIPES, *ARCHITECTURES, *ACTIVATIONS, *CONVOLUTIONS, *HEADS); "
        "assert 'torch' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"soc", "lln", "maxmin", "paper", "resnet", "cross-entropy"} <= set(found.stdout.split())


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        ("resnet18", {"blocks": 2}, "--blocks is for --model lipconvnet"),
        ("shiftnet", {"channels": 2}, "--channels is for --model lipconvnet, resnet"),
        ("lipconvnet", {"stages": "8x1"}, "--stages is for --model shiftnet"),
        ("lipconvnet7", {}, "--depth is for --model resnet"),
        ("vgg", {}, "unknown architecture 'vgg'"),
    ],
)
def test_what_another_architecture_takes_is_refused(model: str, given: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked_for(model, given, "synthetic")
