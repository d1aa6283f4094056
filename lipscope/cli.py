"""The command line: a Click group whose commands load only when they run, so that --help imports no torch."""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
import traceback
from contextlib import suppress

import click

from lipscope.commands.messages import LONGEST, complain, narrate, say, silence
from lipscope.commands.streams import prepare
from lipscope.errors import LipscopeError, UsageError
from lipscope.version import __version__
from lipscope.visible import visible

COMMANDS = {
    "train": "train a LipConvnet on CIFAR-10 or CIFAR-100",
    "inspect": "look into a checkpoint: bounds, singular values, gradients, radii",
    "certify": "certified accuracy and the certified radius of every test image",
    "attack": "try to break the certificates",
    "card": "what a model is, how it was trained and what is certified of it, as Markdown",
    "compare-layers": "the same net of every family of layers, each trained for some minutes",
    "report": "one self-contained file with every number and picture of a model",
    "convert": "import a state dict of the paper's published code",
    "data": "fetch, import and list the data sets",
    "demo": "a small certified model that comes with lipscope, in the app",
    "doctor": "versions, devices, precision flags, paths, data sets found",
}
"""Each command with its line of help; command X is ``lipscope.commands.X.X_command``, with _ for -."""

INTERRUPTED = 130

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a stream answers that leads to a full or broken disk."""


class LazyGroup(click.Group):
    """A group that knows the names and help lines of its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that runs."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"lipscope.commands.{name}")
        command: click.Command = getattr(module, f"{name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lipscope")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def cli(debug: bool) -> None:
    """Train, inspect and certify 1-Lipschitz image classifiers."""
    del debug  # read from the arguments, also where they cannot be parsed


def main() -> None:
    """Run the command line and exit with the code of the design: 0, 1, 2, 3, 4, 5 or 130."""
    prepare()
    # Activations are allocated anew in every step: in pages of 4 KiB that costs a quarter of a training's time.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are one line (with ``--json`` an object too)."""
    try:
        return _run(arguments)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        if "--debug" in arguments:
            traceback.print_exc()
        with suppress(OSError):
            narrate(f"the output cannot be written ({error.strerror}); free space")
        return 1


def _run(arguments: list[str]) -> int:
    try:
        outcome = _outcome(arguments)
    except LipscopeError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        if "--json" in arguments:
            say(json.dumps(error.to_json()))
        narrate(error)
        return error.exit_code
    except click.ClickException as error:
        if "--json" in arguments:
            say(json.dumps(UsageError(error.format_message()).to_json()))
        complain(_explained(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        narrate("interrupted")
        return INTERRUPTED
    except SystemExit:
        # How click leaves when the reader of a help text has gone.
        return 0
    return outcome if isinstance(outcome, int) else 0


def _outcome(arguments: list[str]) -> object:
    """What the command returns.

    Raises:
        LipscopeError: also for a path that the system cannot follow: too long a name, a loop of links, no access.
    """
    try:
        return cli.main(args=arguments, prog_name="lipscope", standalone_mode=False)
    except OSError as error:
        if error.errno == errno.ENOENT and error.filename is None:
            raise LipscopeError("the working directory is gone", next_step="change to another one") from error
        if error.filename is None or error.errno in UNWRITABLE:
            raise
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
        raise LipscopeError("cannot be used", where=where, why=error, next_step="name another place") from error


def _explained(error: click.ClickException) -> str:
    """What click found wrong, with the usage of the command."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    usage = [] if context is None else [context.get_usage(), f"Try '{context.command_path} --help' for help.", ""]
    return "\n".join([*usage, f"Error: {_short(error.format_message())}"])


def _short(message: str) -> str:
    """A message without the middle of a value of thousands of characters."""
    text = visible(message)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
