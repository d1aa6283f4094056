"""The figures of README, results and cards are those of the committed files, counted anew from their radii."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[1]
CARDS = {
    path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "checkpoints").glob("*.md") if path.stem != "README"
}
"""By the model's name, what `lipscope card` wrote of it."""

TABLES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/results.md")}


def model_file(name: str) -> Path:
    (found,) = (path for room in ("checkpoints", "lipscope/demo") for path in (ROOT / room).glob(f"{name}.safetensors"))
    return found


def counts(name: str) -> list[int]:
    """How many test images are right, and how many of them with a radius above 36, 72, 108 and 255 over 255."""
    kept = load_file(model_file(name).with_suffix(".certified.safetensors"))
    right = kept["predicted"] == kept["label"]
    assert len(right) == 10_000
    return [int(right.sum()), *(int((right & (kept["radius"] > eps / 255)).sum()) for eps in (36, 72, 108, 255))]


def test_every_committed_model_has_a_card() -> None:
    files = (ROOT / "checkpoints").glob("*.safetensors")
    # Results are NAME.certified, and what an attack leaves there NAME.adversarial.
    assert {path.stem for path in files if "." not in path.stem} == set(CARDS) - {"shiftnet9-64-cifar10"}


def test_the_page_of_checkpoints_names_every_card() -> None:
    page = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\S+)\.md\)", page)) - {"../docs/experiments"} == set(CARDS)


@pytest.mark.parametrize("name", CARDS)
def test_the_card_has_the_counts_and_the_average_of_the_radii(name: str) -> None:
    (row,) = (line for line in CARDS[name].splitlines() if line.startswith("| certified | ") and line.count("|") == 8)
    stated = re.findall(r"([0-9.]+)% \(([0-9]+)\)", row)
    assert [int(count) for _, count in stated] == counts(name)
    assert [float(rate) for rate, _ in stated] == pytest.approx([count / 100 for count in counts(name)], abs=1e-9)
    kept = load_file(model_file(name).with_suffix(".certified.safetensors"))
    average = float((kept["radius"] * (kept["predicted"] == kept["label"])).mean())
    (shown,) = re.findall(r"\| ([0-9.]+) \|$", row)
    assert float(shown) <= average < float(shown) + 1e-4


@pytest.mark.parametrize("name", CARDS)
def test_the_card_has_what_was_attacked(name: str) -> None:
    kept = load_file(model_file(name).with_suffix(".certified.safetensors"))
    if "attack_distance" not in kept:
        assert "attacked images" not in CARDS[name]
        return
    found = np.isfinite(kept["attack_distance"])
    reached, right = kept["attack_distance"][found], (kept["predicted"] == kept["label"])[found]
    assert f"| {len(reached):,} attacked images |" in CARDS[name]
    (row,) = (line for line in CARDS[name].splitlines() if line.startswith("| withstood the attacks (estimate) |"))
    counted = [int((right & (reached > eps / 255)).sum()) for eps in (36, 72, 108, 255)]
    assert [int(count) for count in re.findall(r"\((\d+)\)", row)] == counted
    assert (reached > kept["radius"][found]).all()


@pytest.mark.parametrize("name", CARDS)
def test_the_card_names_the_file(name: str) -> None:
    assert hashlib.sha256(model_file(name).read_bytes()).hexdigest() in CARDS[name]


@pytest.mark.parametrize("page", TABLES)
@pytest.mark.parametrize("name", [name for name in CARDS if "64" not in name])
def test_tables_have_the_rates_of_the_radii(page: str, name: str) -> None:
    (row,) = (line for line in TABLES[page].splitlines() if f"`{name}`" in line and line.startswith("|"))
    rates = " / ".join(f"{count / 100:.2f}" for count in counts(name)[:4])
    assert rates in row.replace("*", "")
