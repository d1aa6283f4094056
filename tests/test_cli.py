from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lipscope import cli as room
from lipscope.cli import COMMANDS, cli, run
from lipscope.errors import CheckFailedError, CheckpointError, DataError, LipscopeError, UsageError
from lipscope.version import __version__

HEAVY = ("torch", "textual", "plotext", "rich", "numpy", "safetensors", "torchvision")


def imported_by(arguments: list[str]) -> tuple[int, str, set[str]]:
    """Exit code, output and the imported packages of one command line in a process of its own."""
    script = (
        "import sys\n"
        "from lipscope.cli import run\n"
        f"code = run({arguments!r})\n"
        "print('\\n' + ' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
        "sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    output, _, modules = ended.stdout.rstrip().rpartition("\n")
    return ended.returncode, output, set(modules.split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments):
    code, output, modules = imported_by(arguments)
    assert code == (0 if arguments else 2)
    assert "click" in modules
    assert modules.isdisjoint(HEAVY)
    if arguments == ["--version"]:
        assert f"lipscope, version {__version__}" in output


@pytest.mark.parametrize("name", ["train", "inspect", "certify", "convert", "doctor"])
def test_help_of_a_command_imports_no_torch(name):
    code, output, modules = imported_by([name, "--help"])
    assert code == 0
    assert output.startswith(f"Usage: lipscope {name}")
    assert "lipscope" in modules
    assert modules.isdisjoint({"torch", "textual"})


def test_help_names_every_command(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert f"  {name}" in text
        assert line[:30] in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_has_help(name, capsys):
    assert run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: lipscope {name}")
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_unknown_commands_and_options(capsys):
    for arguments in (["frobnicate"], ["--frobnicate"], ["train", "--frobnicate"], ["attack", "a", "b"]):
        assert run(arguments) == 2
        stdout, stderr = capsys.readouterr()
        assert stdout == ""
        assert "Error: " in stderr


@pytest.mark.parametrize("arguments", [["certify", "--limit", "0", "--json"], ["inspect", "--frobnicate", "--json"]])
def test_wrong_options_are_objects_where_json_is_asked_for(arguments, capsys):
    assert run(arguments) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "what", "where", "why", "next"}
    assert error["code"] == "usage"
    assert arguments[1] in error["what"]


@pytest.fixture
def failing(monkeypatch):
    """Every command raises what the test puts into the list."""
    raised: list[BaseException] = []

    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json):
        click.echo("something", err=True)
        raise raised[0]

    monkeypatch.setattr(room.LazyGroup, "get_command", lambda self, ctx, name: command)
    return raised


ERRORS = {LipscopeError: 1, UsageError: 2, DataError: 3, CheckpointError: 4, CheckFailedError: 5}


@pytest.mark.parametrize("kind", ERRORS)
def test_exit_codes_and_messages(failing, capsys, kind):
    failing.append(kind("it broke", where="file.x", why="no reason", next_step="try again"))
    assert run(["any"]) == ERRORS[kind]
    assert capsys.readouterr() == ("", "something\nlipscope: file.x: it broke (no reason); try again\n")
    assert run(["any", "--json"]) == ERRORS[kind]
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout) == failing[0].to_json()
    assert stderr.endswith("lipscope: file.x: it broke (no reason); try again\n")
    assert "Traceback" not in stderr


def test_debug_shows_the_traceback_and_keeps_code_and_object(failing, capsys):
    failing.append(CheckpointError("it broke"))
    assert run(["--debug", "any", "--json"]) == 4
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["error"]["what"] == "it broke"
    assert "Traceback (most recent call last)" in stderr
    assert stderr.endswith("lipscope: it broke\n")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, click.Abort])
def test_interruption(failing, capsys, kind):
    failing.append(kind())
    assert run(["any"]) == 130
    assert capsys.readouterr() == ("", "something\n" + "\n" * (kind is KeyboardInterrupt) + "lipscope: interrupted\n")


def test_a_bug_is_not_hidden(failing):
    failing.append(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        run(["any"])


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_torch_is_asked_for_large_pages_unless_somebody_has_said(monkeypatch, before, after):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", before or "")
    if before is None:
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    monkeypatch.setattr(sys, "argv", ["lipscope", "--version"])
    with pytest.raises(SystemExit):
        room.main()
    assert room.os.environ["THP_MEM_ALLOC_ENABLE"] == after


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", ["doctor", "certify nowhere --json", "certify --limit 0 --json", "--help"])
@pytest.mark.parametrize("streams", [">/dev/full", ">/dev/full 2>/dev/full"])
def test_output_that_leads_to_a_full_disk(arguments, streams):
    shell = f"{sys.executable} -m lipscope {arguments} {streams}"
    ended = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    last = "lipscope: the output cannot be written (No space left on device); free space\n"
    assert ended.stderr == ("" if "2>" in streams else last)


def test_closed_output():
    shell = f"{sys.executable} -m lipscope certify nowhere --json >&-"
    ended = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (4, "lipscope: nowhere: no such file; check the path\n")


def test_python_m_lipscope(start):
    assert start("--version").finish() == (0, f"lipscope, version {__version__}\n", "")
    code, stdout, stderr = start("doctor").finish()
    assert (code, stderr) == (0, "")
    assert "versions" in stdout
    code, stdout, stderr = start("--debug", "certify", "nowhere").finish()
    assert (code, stdout) == (4, "")
    assert "Traceback" in stderr
