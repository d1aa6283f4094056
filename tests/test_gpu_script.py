"""benchmarks/gpu.sh in miniature, on the CPU: it runs from a plain checkout and leaves what docs/gpu.md promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_script_leaves_checks_figures_and_a_certified_model(tmp_path: Path) -> None:
    environment = {**os.environ, "DEVICE": "cpu", "MINI": "1", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        ["bash", ROOT / "benchmarks" / "gpu.sh", tmp_path / "out", "4"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    out = tmp_path / "out"
    checks = json.loads((out / "checks.json").read_text())["checks"]
    failed = {name: found for name, found in checks.items() if not found["passed"]}
    assert not failed, failed
    assert len(checks) >= 8
    figures = json.loads((out / "throughput.json").read_text())["figures"]
    assert "baseline training 5 layers" in figures
    assert all(figure.get("images_per_second", 0) > 0 for figure in figures.values()), figures
    certified = json.loads((out / "synthetic.json").read_text())
    assert certified["model"]["path"].endswith("synthetic/model.safetensors")
