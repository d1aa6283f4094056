"""Everything that can be typed: odd values for every option and argument of every command end in a plain error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import save_file

import lipscope.commands.data
from lipscope.cli import COMMANDS, cli, run
from lipscope.errors import DataError
from tests.always import always
from tests.models.makers import small_file

ODD = (
    "", " ", ".", "..", "-", "--", "~nobody-here/x", "~", "x" * 252, "x" * 5000, "a/" * 3000, "1e308", "-1e308", "nan",
    "inf", "-1", "0", "9" * 20, "9" * 5000, "1/0", "1e99999999", "½", "\uff11",
    "\x1b[31m", "\udcff", "u\u0308\u202e", "a\nb",
    "=1+1", "{", "[]", "%s%n", ",", "a,b", "3,3", "0x10", "cifar10", "m.safetensors", "link", "loop",
    "pipe", "/dev/full", "nothing/below",
)  # fmt: skip
"""Values nobody means, and names of things that are no plain files."""


def commands(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        elif command is not None:
            yield (*above, name), command


PLACES = [(path, parameter) for path, command in commands(cli) for parameter in command.params]
"""Every option and argument of every command."""


def line_of(path: tuple[str, ...], parameter: click.Parameter, value: str) -> list[str]:
    """A command line that gives this value to this parameter, and a model wherever there must be something."""
    if isinstance(parameter, click.Option):
        given = [parameter.opts[0]] if parameter.is_flag else [f"{parameter.opts[0]}={value}"]
        needed = ["m.safetensors"] if path[0] in ("inspect", "certify", "attack", "convert") else []
        if path == ("data", "pack"):
            needed = ["cifar10", "packed"]
        elif path[0] == "data" and path[1] != "list":
            needed = ["cifar10"]
        return [*path, *given, *needed]
    return [*path, value, *(["packed"] if path == ("data", "pack") else [])]


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, a pipe and a link to nothing; no data set, and no way to a server."""
    folder = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.delenv("LIPSCOPE_DATA", raising=False)
        patch.setattr(lipscope.commands.data, "fetch", _no_server)
        os.chdir(folder)
        save_file({"a": np.eye(2, dtype=np.float32)}, "m.safetensors")
        os.mkfifo("pipe")
        Path("link").symlink_to("nowhere")
        Path("loop").symlink_to("loop")
        yield folder
        os.chdir(before)


def _no_server(*_: object, **__: object) -> Path:
    raise DataError("no server here")


def fails_plainly(arguments: list[str]) -> None:
    code = run(arguments)
    assert code in range(6), arguments


@always(where=st.sampled_from(PLACES), value=st.sampled_from(ODD))
def test_odd_values_of_every_option(where: tuple[tuple[str, ...], click.Parameter], value: str) -> None:
    fails_plainly(line_of(*where, value))


def test_every_command_is_tried() -> None:
    takes_nothing = {"demo"}
    assert {path[0] for path, _ in PLACES} == set(COMMANDS) - takes_nothing


def test_a_working_directory_that_was_deleted(tmp_path: Path, place: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        for path, command in commands(cli):
            arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
            fails_plainly([*path, *("cifar10" for parameter in arguments if parameter.required)])
        fails_plainly(["inspect", str(place / "m.safetensors")])
        fails_plainly(["certify", str(place / "m.safetensors"), "--csv", "a.csv"])
        fails_plainly(["convert", "best.pth"])
    finally:
        os.chdir(place)


@pytest.mark.parametrize(
    "option",
    [
        ("--eps", "1e-300"), ("--eps", "3"), ("--csv", ""), ("--csv", "x" * 300), ("--csv", "link"),
        ("--csv", "loop"), ("--csv", "pipe"), ("--csv", "-"), ("--device", ""), ("--device", "cuda:99"),
        ("--device", "meta"), ("--indices", ""), ("--indices", "-1"), ("--indices", "9" * 30),
        ("--batch", "99999999999"), ("--min-certified", "@"), ("--min-certified", "nan@0"),
        ("--images", "nowhere"), ("--images", ""), ("--dataset", "mnist"),
    ],
    ids=str,
)  # fmt: skip
def test_odd_values_with_a_model_that_can_be_certified(option: tuple[str, str], tmp_path: Path) -> None:
    limit = ["--limit", "1"] if "--indices" not in option else []
    fails_plainly(["certify", str(small_file(tmp_path)), "--dataset", "synthetic", *limit, *option])
