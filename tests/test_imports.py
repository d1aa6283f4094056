"""Who may import whom, and what a start must not import: each in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import GENEROUS

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "torchvision", "textual", "plotext", "safetensors.torch")


def imported(code: str, *arguments: str) -> set[str]:
    """The modules that an interpreter has loaded after running the code."""
    script = f"import sys, json\nsys.argv[1:] = {list(arguments)!r}\n{code}\n"
    report = "print('MODULES', json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script + report], capture_output=True, text=True, timeout=GENEROUS, check=False,
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.rpartition("MODULES ")[2]))


RUN = """
from lipscope.cli import run
code = run(sys.argv[1:])
assert code == 0, code
"""


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("-h",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    modules = imported(RUN, *arguments)
    assert "lipscope.cli" in modules
    assert not modules & {*HEAVY, "numpy"}


@pytest.mark.parametrize("command", ["train", "certify", "attack", "inspect", "convert", "data", "doctor"])
def test_help_of_every_command_imports_no_torch(command: str) -> None:
    assert not imported(RUN, command, "--help") & set(HEAVY)


@pytest.mark.parametrize(
    "module", ["lipscope", "lipscope.files.checkpoint", "lipscope.records", "lipscope.units", "lipscope.errors"]
)
def test_modules_that_need_neither_torch_nor_numpy(module: str) -> None:
    modules = imported(f"import {module}")
    assert module in modules
    assert not modules & {*HEAVY, "numpy", "click"}


@pytest.mark.parametrize("module", ["lipscope.files.results", "lipscope.data", "lipscope.environment"])
def test_modules_that_need_no_torch(module: str) -> None:
    assert not imported(f"import {module}") & {*HEAVY, "click"}


def test_a_header_is_read_without_torch_or_numpy(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    modules = imported(
        f"from pathlib import Path; from lipscope.files.checkpoint import read_header; read_header(Path({str(path)!r}))"
    )
    assert not modules & {*HEAVY, "numpy"}


def test_the_core_imports_no_terminal() -> None:
    modules = imported("import lipscope.certification.evaluate, lipscope.models.published, lipscope.analysis.analysis")
    assert "torch" in modules
    assert not modules & {"textual", "click", "plotext", "textual_plotext"}


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    assert linter.exists(), "import-linter is not installed"
    result = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS, check=False
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_help_works_as_a_module_in_a_real_process() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "lipscope", "--help"], capture_output=True, text=True, timeout=GENEROUS, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0
    assert "1-Lipschitz" in result.stdout
    for command in ("train", "inspect", "certify"):
        assert command in result.stdout
    assert result.stderr == ""
