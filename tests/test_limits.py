"""The page of limits against the code."""

from __future__ import annotations

import ast
import importlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import lipscope

ROOM = Path(lipscope.__file__).parent
PAGE = (ROOM.parent / "docs" / "limits.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.splitlines()
    if "`" in line and line[0] == "|"
]

NAMED = re.compile(r"(LARGEST|MOST|LONGEST|DEEPEST)(_[A-Z]+)?$")

INTERNAL = {
    "analysis.images.LARGEST_BATCH", "analysis.spectra.density.MOST_SAMPLES", "analysis.spectra.memory.MOST_ROWS",
    "attacks.target.LARGEST_PASS", "bounds.series.LARGEST_RHO",
    "commands.certify_text.MOST_PAIRS", "commands.compare.MOST_IMAGES", "commands.spectra.MOST",
    "data.pack.LARGEST_MANIFEST", "data.synthetic.LARGEST_SHIFT", "files.locks.LONGEST",
    "layers.prepared.LARGEST_MATRIX", "models.capture.region.LARGEST_REGION", "tui.images.half_blocks.LARGEST_SCALE",
    "tui.overview.facts.MOST_CLAIMS",
    "files.matrices.MOST",
}  # fmt: skip
"""Sizes of batches and parts, lines of a listing, and tolerances: nothing is refused or lost by them."""


def value_of(name: str) -> Any:
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["lipscope", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2])
def test_each_row_is_what_the_code_says(row: tuple[str, ...]) -> None:
    stated = re.search(r"[\d.,]+(e\+\d+)?", row[1])
    assert stated is not None
    value = value_of(row[2].strip("`"))
    if isinstance(value, timedelta):
        value /= timedelta(hours=1)
    assert float(stated[0].replace(",", "")) == float(value)


def test_no_limit_is_missing() -> None:
    there = {row[2].strip("`") for row in ROWS} | INTERNAL
    found = set()
    for file in ROOM.rglob("*.py"):
        module = ".".join(file.relative_to(ROOM).with_suffix("").parts)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            names = (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            found |= {f"{module}.{name}" for name in names if NAMED.match(name)}
    assert found - there == set()
    assert {name for name in INTERNAL if name not in found} == set()
