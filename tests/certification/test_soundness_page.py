"""docs/soundness.md names a test for each theorem: they must exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "soundness.md").read_text(encoding="utf-8")
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_every_test_that_the_page_names_exists(name: str) -> None:
    assert f"def {name}(" in TESTS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|checkpoints)/[\w/.-]+)`", PAGE))))
def test_every_file_that_the_page_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("theorem", [1, 3, 4])  # 2 and 3 are attacked together
def test_every_theorem_is_attacked(theorem: int) -> None:
    section = re.split(r"^## ", PAGE.partition(f"## Theorem {theorem}")[2], maxsplit=1, flags=re.MULTILINE)[0]
    assert "test_" in section
