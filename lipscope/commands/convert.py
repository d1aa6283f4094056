"""``lipscope convert``: import a state dict of the paper's published code."""

from __future__ import annotations

from pathlib import Path

import click

from lipscope.commands.messages import narrate, say


@click.command("convert")
@click.argument("source", metavar="FILE.pth", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The model to write. [default: FILE.safetensors]")
@click.option("--key", help="Where a file that holds several has the state dict, e.g. ema.state_dict.")
@click.option("--dataset", type=click.Choice(["cifar10", "cifar100"]), help="[default: told by the number of classes]")
@click.option("--force", is_flag=True, help="Overwrite an existing model.")
def convert_command(source: Path, out: Path | None, key: str | None, dataset: str | None, force: bool) -> None:
    """Turn a state dict of the published code into a lipscope model.

    Only tensors are read: no pickled code runs. What training scripts put around the state dict is taken off, and said.
    """
    from lipscope.models.published import convert

    say(convert(source, out, key=key, dataset=dataset, force=force, note=narrate))
