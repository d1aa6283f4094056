"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the data sets. [default: $LIPSCOPE_DATA, else the cache folder]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def one_of(*values: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell completes an option to that takes other values too.

    >>> one_of("soc", "bcop")(None, None, "s")
    ['soc']
    """
    return lambda context, parameter, start: [value for value in values if value.startswith(start)]


device_option = click.option(
    "--device",
    help="A torch device, e.g. cpu or cuda:1. [default: a GPU where there is one]",
    shell_complete=one_of("cpu", "cuda", "cuda:0", "mps"),
)
