"""``lipscope data``: fetch, import, list and pack the data sets."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from lipscope.commands.messages import complain, say
from lipscope.commands.options import data_dir_option
from lipscope.data.install import fetch, import_archive
from lipscope.data.listing import Listed, listing
from lipscope.data.locate import search_folders
from lipscope.data.pack import pack, unpack_parts
from lipscope.data.releases import RELEASES
from lipscope.visible import visible


@click.group("data")
def data_command() -> None:
    """Fetch, import, list and pack the data sets."""


@data_command.command("fetch")
@click.argument("name", type=click.Choice(list(RELEASES)))
@click.option("--url", help="A mirror of the official binary archive. [default: $LIPSCOPE_<NAME>_URL, else official]")
@data_dir_option
def fetch_command(name: str, url: str | None, data_dir: Path | None) -> None:
    """Download a data set, verify its checksum and unpack it.

    An interrupted download continues where it broke off. Only https addresses are accepted (http to this machine
    too); whatever the address, the checksum of the official archive decides.
    """
    with TransferBar(name) as bar:
        folder = fetch(name, url=url, data_dir=data_dir, progress=bar.show, narrate=bar.say)
    say(folder)


@data_command.command("import")
@click.argument("archive", type=click.Path(path_type=Path))
@data_dir_option
def import_command(archive: Path, data_dir: Path | None) -> None:
    """Unpack an official ARCHIVE that is already on this machine.

    It is recognised by its checksum, whatever its name: the binary or the python version of CIFAR-10 or CIFAR-100.
    """
    place = import_archive(archive, data_dir=data_dir)
    complain(f"{place.release.name}: {place.form.archive.name}, checksum right")
    say(place.path)


@data_command.command("pack")
@click.argument("name", type=click.Choice(list(RELEASES)))
@click.argument("folder", type=click.Path(path_type=Path))
@data_dir_option
def pack_command(name: str, folder: Path, data_dir: Path | None) -> None:
    """Write a data set into FOLDER as a few lossless files of at most 60 MB, to be carried in pieces."""
    with Progress(TextColumn(name), BarColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("")
        for path in pack(
            name,
            folder,
            data_dir=data_dir,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        ):
            say(path)


@data_command.command("unpack")
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_dir_option
def unpack_command(parts: tuple[Path, ...], data_dir: Path | None) -> None:
    """Restore the official binary folder from all PARTS that `lipscope data pack` made."""
    say(unpack_parts(parts, data_dir=data_dir))


@data_command.command("list")
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schema lipscope.data/1).")
def list_command(data_dir: Path | None, as_json: bool) -> None:
    """Show the data sets that are found, and where."""
    entries = listing(data_dir)
    searched = [str(folder) for folder in search_folders(data_dir)]
    if as_json:
        sets = [entry.to_json() for entry in entries]
        say(json.dumps({"schema": "lipscope.data/1", "searched": searched, "sets": sets}))
        return
    complain(f"searched: {visible(', '.join(searched))}")
    for line in table(entries):
        say(line)


def table(entries: tuple[Listed, ...]) -> list[str]:
    """The listing as lines of text, columns aligned."""
    rows = [("data set", "train", "test", "form", "where")]
    for entry in entries:
        where = "; ".join(text for text in (str(entry.path or ""), entry.note) if text)
        if entry.path is not None and not entry.usable:
            where = entry.note
        rows.append((entry.name, _number(entry.train), _number(entry.test), entry.form, visible(where)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{name:<{widths[0]}}  {train:>{widths[1]}}  {test:>{widths[2]}}  {form:<{widths[3]}}  {where}"
        for name, train, test, form, where in rows
    ]


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


class TransferBar:
    """A progress bar on stderr that appears with the first byte, and lines of narration above it."""

    def __init__(self, name: str) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
            console=self._console,
        )  # fmt: skip

    def __enter__(self) -> TransferBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, size: int) -> None:
        """Draw the bar at ``done`` of ``size`` bytes; what an earlier fetch left counts, but not as speed."""
        if not self._progress.tasks:
            self._progress.add_task("", total=size, completed=done)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(visible(line), markup=False, highlight=False)
