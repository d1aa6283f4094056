"""What is built installs and runs outside the checkout; and what the files say of the version agrees."""

from __future__ import annotations

import os
import re
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


def test_no_command_of_the_pages_writes_beside_a_tracked_checkpoint() -> None:
    pages = [ROOT / "README.md", ROOT / "checkpoints" / "README.md", *(ROOT / "docs").glob("*.md")]
    commands = [
        line
        for page in pages
        for line in re.findall(r"lipscope (?:certify|attack)[^`\n]*", page.read_text(encoding="utf-8"))
        if "checkpoints/" in line or "demo/" in line
    ]
    assert commands
    assert [line for line in commands if "--keep results/" not in line and "--no-keep" not in line] == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["*.whl", "*.tar.gz"])
def test_what_is_built_runs_outside_the_checkout(built: Path, tmp_path: Path, form: str) -> None:
    """In an environment that sees the libraries of this one but not its lipscope, without files or data."""
    (package,) = built.glob(form)
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    site = next((place / "lib").glob("python*")) / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(package)], check=True, capture_output=True)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LIPSCOPE_DATA")}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    code = "import sys; sys.path.append(sys.argv.pop(1)); import lipscope.cli as c; print(c.__file__); c.main()"

    def ran(*arguments: str) -> str:
        done = subprocess.run(
            [place / "bin" / "python", "-c", code, libraries, *arguments],
            check=False, capture_output=True, text=True, cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert str(site) in done.stdout.splitlines()[0]
        return done.stdout

    assert "on 10,000 images of cifar10 test" in ran("demo")
    model = str(next((tmp_path / "cache" / "lipscope" / "demo").glob("*64-cifar10.safetensors")))
    assert "PROVED 1-Lipschitz" in ran("inspect", model)
    assert "sound radii" in ran("certify", model, "--dataset", "synthetic", "--limit", "20", "--no-keep")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with wheel and sdist, built from what git would check out."""
    dist = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return dist
