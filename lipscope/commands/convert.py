"""``lipscope convert``: import a state dict of the paper's published code."""

from __future__ import annotations

from pathlib import Path

import click

from lipscope.commands.messages import narrate
from lipscope.errors import UsageError


@click.command("convert")
@click.argument("source", metavar="FILE.pth", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The model to write. [default: FILE.safetensors]")
@click.option("--dataset", type=click.Choice(["cifar10", "cifar100"]), help="[default: told by the number of classes]")
@click.option("--force", is_flag=True, help="Overwrite an existing model.")
def convert_command(source: Path, out: Path | None, dataset: str | None, force: bool) -> None:
    """Turn a state dict of the published code into a lipscope model.

    Only tensors are read: no pickled code runs.
    """
    from lipscope.files.checkpoint import sha256_of
    from lipscope.files.writing import require_writable
    from lipscope.models.published import import_published, load_published, published_config
    from lipscope.models.stored import save_model

    target = out or source.with_suffix(".safetensors")
    if target.exists() and not force:
        raise UsageError(
            "exists already", where=str(target), next_step="choose another --out, or overwrite with --force"
        )
    require_writable(target)
    tensors = load_published(source)
    config = published_config(tensors, str(source), dataset)
    net = import_published(tensors, config, str(source))
    save_model(net, target, config.to_json(), {"converted_from": source.name, "source_sha256": sha256_of(source)})
    narrate(f"{config.title}, {config.classes} classes")
    click.echo(target)
