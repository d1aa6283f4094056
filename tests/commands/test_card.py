"""The card of a model says what its bytes and the results beside it say, and nothing else."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.core import ParameterSource
from safetensors.numpy import load_file, save_file

from lipscope.attacks.report import rows_of
from lipscope.cli import run
from lipscope.commands.card import train_command_of
from lipscope.commands.train import train_command
from lipscope.files.checkpoint import read_header
from lipscope.files.results import read_results, results_path, write_results
from lipscope.processes.world import World
from lipscope.training.plan import NET, RECIPE, Asked, planned
from lipscope.training.recipe import UNSAID

ROOT = Path(__file__).parents[2]
MODELS = sorted(
    [*(ROOT / "checkpoints").glob("*-cifar10*.safetensors"), *(ROOT / "lipscope/demo").glob("*.safetensors")]
)
MODELS = [path for path in MODELS if ".certified" not in path.name]
SMALL = ROOT / "lipscope" / "demo" / "shiftnet9-64-cifar10.safetensors"
EPS = {"36/255": 36 / 255, "72/255": 72 / 255, "108/255": 108 / 255, "255/255": 1.0}


def card_of(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["card", str(path)]) == 0
    return capsys.readouterr().out


def figures(text: str) -> dict[str, int]:
    """The counts of the table by the heads of its columns."""
    heads, _, row = [line for line in text.splitlines() if line.startswith("|")][:3]
    names = [cell.strip() for cell in heads.strip("|").split("|")][1:-1]
    return dict(zip(names, (int(count) for count in re.findall(r"\((\d+)\)", row)), strict=True))


def test_the_figures_are_those_of_the_radii_beside_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    text = card_of(SMALL, capsys)
    kept = load_file(SMALL.with_name("shiftnet9-64-cifar10.certified.safetensors"))
    correct, radius = kept["predicted"] == kept["label"], kept["radius"]
    found = {"clean": int(correct.sum())} | {name: int((correct & (radius > eps)).sum()) for name, eps in EPS.items()}
    assert figures(text) == found
    assert f"{math.floor(1e4 * np.where(correct, radius, 0).mean()) / 1e4:.4f} |" in text
    assert "25 CIFAR-10 test images are JPEG-decoded copies" in text
    # In a test the key is another one, so that these are somebody else's results.
    assert "| 1,000 attacked images |" in text
    assert "| withstood the attacks (claimed) |" in text
    assert hashlib.sha256(SMALL.read_bytes()).hexdigest() in text
    assert re.search(r"normalised -> features +L <= 0\.99999999", text)
    assert "ShiftNet-9 (widths 64-128-256, LLN)" in text
    assert (
        text.index("claimed by the file") < text.index("- **Took**") < text.index("AMD EPYC") < text.index("## Proved")
    )


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_command_asks_for_what_the_file_says(path: Path) -> None:
    header = read_header(path)
    words = train_command_of(header.config, header.training["recipe"]).split()
    assert words[:2] == ["lipscope", "train"]
    context = train_command.make_context("train", words[2:])
    asked, recipe = context.params, header.training["recipe"]
    assert asked["recipe"] == recipe["name"]
    assert asked["dataset"] == header.config["dataset"]
    assert asked["model"] == header.config["architecture"]
    assert asked["seed"] == recipe["seed"]
    said = [name for name in asked if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    given = {name: asked[name] for name in (*NET, *RECIPE) if name in said}
    _, planned_recipe = planned(Asked(asked["dataset"], given), World(0, 1, torch.device("cpu")), lambda text: None)
    # Which file the teacher is in, a stored recipe cannot say: it knows what is in it.
    assert {**UNSAID, **recipe, "teacher": ""}.items() <= planned_recipe.to_json().items()
    assert bool(asked["teacher"]) == bool(recipe.get("teacher"))
    if recipe.get("minutes"):
        assert asked["minutes"] == recipe["minutes"]
    else:
        assert asked["epochs"] == recipe["epochs"]


def test_without_results_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SMALL, tmp_path / "alone.safetensors")
    text = card_of(tmp_path / "alone.safetensors", capsys)
    assert "No results of `lipscope certify`" in text
    assert "clean" not in text


def test_results_of_other_bytes_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ROOT / "checkpoints" / "shiftnet9-96-cifar10.certified.safetensors"
    shutil.copy(SMALL, tmp_path / "model.safetensors")
    shutil.copy(other, tmp_path / "model.certified.safetensors")
    assert run(["card", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "card.md")]) == 0
    assert "other bytes" in capsys.readouterr().err
    assert "No results of `lipscope certify`" in (tmp_path / "card.md").read_text()


def test_a_part_of_the_images_is_not_called_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SMALL, tmp_path / "model.safetensors")
    kept = read_results(results_path(SMALL))
    whole = replace(kept, standing="own", reason="", attack_distance=None, attack={})
    part = rows_of(whole, whole.index[whole.correct][:50])
    write_results(results_path(tmp_path / "model.safetensors"), part, {})
    text = card_of(tmp_path / "model.safetensors", capsys)
    assert figures(text)["clean"] == 50
    assert "10,000" not in text
    assert "- **Data**: cifar10 test, 50 images" in text


def test_attacked_images_have_a_table_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copy(SMALL, tmp_path / "m.safetensors"))
    kept = replace(read_results(results_path(SMALL)), standing="own", reason="")
    attacked = kept.index < 50
    distance = np.where(attacked, kept.radius + 0.05, np.inf)
    write_results(results_path(copy), replace(kept, attack_distance=distance, attack={"attacked": [[0, 50]]}), {})
    text = card_of(copy, capsys)
    assert "| 50 attacked images | 36/255 | 72/255 | 108/255 | 255/255 |" in text
    correct = kept.correct[attacked]
    for name, reach in (("", kept.radius[attacked]), ("withstood the attacks (estimate)", distance[attacked])):
        counts = [int((correct & (reach > eps)).sum()) for eps in EPS.values()]
        (row,) = (
            line for line in text.splitlines() if line.startswith(f"| {name or 'certified'} | {2 * counts[0]:.1f}%")
        )
        assert [int(count) for count in re.findall(r"\((\d+)\)", row)] == counts


def test_what_cannot_be_trained_gives_no_command() -> None:
    assert train_command_of({"architecture": "no such"}, {"name": "offset"}) == ""
    assert train_command_of({"architecture": "lipconvnet"}, {"name": "$(rm -rf)"}) == ""


def test_what_a_file_claims_is_quoted() -> None:
    hostile = {"architecture": "lipconvnet", "dataset": "$(rm -rf ~)"}
    assert "--dataset '$(rm -rf ~)'" in train_command_of(hostile, {"name": "fast"})


@pytest.mark.parametrize(
    "training",
    [
        {"recipe": "offset"}, {"recipe": ["a"]}, {"recipe": {"name": [], "extra": 5}}, {"wall_seconds": math.inf},
        {"wall_seconds": 10**400}, {"steps": 3, "epoch": "1\n# PROVED"}, {"seed": "\x1b[2J"},
    ],
)  # fmt: skip
def test_hostile_training_is_quoted_line_by_line(
    training: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {**read_header(SMALL).metadata, "lipscope.training": json.dumps(training)}
    save_file(load_file(SMALL), path, metadata)
    text = card_of(path, capsys)
    assert "# PROVED" not in text.splitlines()
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        (
            {"extra": "ab" * 32, "extra_share": 0.25, "recompute": True},
            "--recompute --extra FILE --extra-share 0.25",
            "- **Extra images**: a share of 0.25 of every batch is not of the data set",
        ),
        (
            {"teacher": "ab" * 32, "teacher_temperature": 3.0},
            "--teacher FILE --teacher-temperature 3",
            "- **Teacher**: its probabilities at a temperature of 3.0 were learnt instead of the labels",
        ),
    ],
)
def test_what_else_was_learnt_from_is_told_of_with_its_file(tmp_path: Path, capsys, recipe, options, words) -> None:
    path = tmp_path / "model.safetensors"
    training = {"recipe": {"name": "manifold", **recipe}}
    save_file(load_file(SMALL), path, {**read_header(SMALL).metadata, "lipscope.training": json.dumps(training)})
    text = card_of(path, capsys)
    assert options in text
    assert words in text
    assert "ab" * 32 in text


@pytest.mark.slow
@pytest.mark.skipif("LIPSCOPE_DATA" not in os.environ, reason="LIPSCOPE_DATA names no data folder")
def test_the_figures_come_out_of_the_bytes_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = card_of(SMALL, capsys)
    given = ["certify", str(SMALL), "--json", "--keep", str(tmp_path)]
    assert run(given) == 0
    facts = json.loads(capsys.readouterr().out)
    found = {"clean": facts["clean"]["count"]} | {row["eps"]: row["count"] for row in facts["certified"]}
    assert figures(text) == found
