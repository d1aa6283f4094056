"""What is built installs and runs outside the checkout; and what the files say of the version agrees."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from lipscope.version import __version__

ROOT = Path(__file__).parents[1]


def test_the_citation_and_the_changelog_know_the_version() -> None:
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{__version__}] - 20" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_python_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [
        line.rpartition(" ")[2]
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f"python: {str(named).replace(chr(39), chr(34))}" in workflow
    assert project["requires-python"] == f">={named[0]}"


@pytest.mark.slow
def test_the_wheel_runs_outside_the_checkout(tmp_path: Path) -> None:
    """In an environment that sees the libraries of this one, but not its lipscope."""
    dist = tmp_path / "dist"
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    assert list(dist.glob("*.tar.gz"))
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    site = next((place / "lib").glob("python*")) / "site-packages"
    installed = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(installed, check=True, capture_output=True)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import sys; sys.path.append(sys.argv.pop(1)); import lipscope.cli as c; print(c.__file__); c.main()"
    model = str(next((ROOT / "checkpoints").glob("*.safetensors")))
    ran = subprocess.run(
        [place / "bin" / "python", "-c", code, libraries, "inspect", model],
        check=False, capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert str(site) in ran.stdout.splitlines()[0]
    assert ran.returncode == 0, ran.stderr
