from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from lipscope.commands import data as command
from lipscope.commands.data import data_command
from lipscope.data.install import fetch, import_archive
from lipscope.data.releases import CIFAR10
from lipscope.data.transfer import Patience
from lipscope.errors import DataError, UsageError
from tests.data.makers import binary_files, packed, tiny
from tests.data.server import answer, answer_range, serving
from tests.waiting import GENEROUS


@pytest.fixture(autouse=True)
def no_data_elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv("LIPSCOPE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))


def run(*arguments: str):
    return CliRunner().invoke(data_command, [str(argument) for argument in arguments])


def binary_folder(root: Path) -> Path:
    folder = root / CIFAR10.binary.folder
    folder.mkdir(parents=True)
    for name, data in binary_files(CIFAR10).items():
        (folder / name).write_bytes(data)
    return folder


def test_list_as_a_table(tmp_path):
    folder = binary_folder(tmp_path)
    result = run("list", "--data-dir", tmp_path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["data", "set", "train", "test", "form", "where"]
    assert lines[1].split()[:5] == ["cifar10", "20", "4", "binary", "folder"]
    assert str(folder) in lines[1]
    assert lines[2].split()[:5] == ["cifar100", "-", "-", "not", "found"]
    assert lines[3].split()[:4] == ["synthetic", "5,000", "1,000", "generated"]
    assert f"searched: {tmp_path}, " in result.stderr
    (folder / "test_batch.bin").unlink()
    assert "is missing" in run("list", "--data-dir", tmp_path).stdout


def test_list_as_json(tmp_path):
    folder = binary_folder(tmp_path)
    result = run("list", "--json", "--data-dir", tmp_path)
    assert result.stderr == ""
    printed = json.loads(result.stdout)
    assert printed["schema"] == "lipscope.data/1"
    assert printed["searched"] == [str(tmp_path), str(tmp_path / "no-cache" / "lipscope")]
    first = printed["sets"][0]
    assert (first["name"], first["path"], first["test"]) == ("cifar10", str(folder), 4)
    assert [entry["name"] for entry in printed["sets"]] == ["cifar10", "cifar100", "synthetic", "synthetic100"]


def test_fetch_prints_the_folder_and_draws_on_stderr(tmp_path, monkeypatch):
    release, archives = tiny(CIFAR10)
    patient = Patience(seconds=60, tries=3, pause=0.001)
    monkeypatch.setattr(command, "fetch", partial(fetch, releases={"cifar10": release}, patience=patient))
    body = archives[release.binary.archive.name]

    def script(handler, number):
        answer_range(handler, body, stop=5_000 if number == 0 else None)

    with serving(script) as server:
        result = run("fetch", "cifar10", "--url", server.url, "--data-dir", tmp_path)
    assert result.exception is None
    assert result.stdout == f"{tmp_path / 'cifar-10-batches-bin'}\n"
    assert "trying again (2 of 3)" in result.stderr
    assert "checksum is right" in result.stderr
    assert "cifar10" in result.stderr
    again = run("fetch", "cifar10", "--data-dir", tmp_path)
    assert again.stdout == result.stdout
    assert "already there" in again.stderr


def test_fetch_refuses_other_archives_addresses_and_names(tmp_path):
    body = packed(CIFAR10.binary, binary_files(CIFAR10))
    with serving(lambda handler, number: answer(handler, 200, body)) as server:
        result = run("fetch", "cifar10", "--url", server.url, "--data-dir", tmp_path)
    assert isinstance(result.exception, DataError)
    assert "another file" in result.exception.what
    result = run("fetch", "cifar10", "--url", "http://192.0.2.1/a.tar.gz", "--data-dir", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert run("fetch", "imagenet").exit_code == 2
    assert run("fetch").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_import_prints_the_folder(tmp_path, monkeypatch):
    release, archives = tiny(CIFAR10)
    monkeypatch.setattr(command, "import_archive", partial(import_archive, releases={"cifar10": release}))
    path = tmp_path / "given.tar.gz"
    path.write_bytes(archives[release.python.archive.name])
    result = run("import", path, "--data-dir", tmp_path / "data")
    assert result.stdout == f"{tmp_path / 'data' / 'cifar-10-batches-py'}\n"
    assert "cifar-10-python.tar.gz, checksum right" in result.stderr


def lipscope(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lipscope", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_exit_codes_in_a_real_process(tmp_path):
    nothing = tmp_path / "nothing.tar.gz"
    result = lipscope("data", "import", str(nothing))
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith(f"lipscope: {nothing}: no such file")
    assert len(result.stderr.splitlines()) == 1
    result = lipscope(
        "data", "fetch", "cifar100", "--data-dir", str(tmp_path), LIPSCOPE_CIFAR100_URL="http://192.0.2.1/a"
    )
    assert result.returncode == 2
    assert "plain http is refused" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_interruption_in_a_real_process(tmp_path):
    def script(handler, number):
        answer(handler, 200, bytes(1000), Content_Length=CIFAR10.binary.archive.size)
        server.closing.wait(GENEROUS)

    with serving(script) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "lipscope", "data", "fetch", "cifar10",
             "--url", server.url, "--data-dir", str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        partial_file = tmp_path / "cifar-10-binary.tar.gz.partial"
        with process:
            while process.poll() is None and not (partial_file.exists() and partial_file.stat().st_size):
                server.closing.wait(0.02)
            process.send_signal(2)
            stdout, stderr = process.communicate(timeout=GENEROUS)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert partial_file.read_bytes() == bytes(1000)
