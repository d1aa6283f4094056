"""Where data sets lie: the folder the user names, LIPSCOPE_DATA, the cache folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from lipscope.data.releases import RELEASES, Form, Release
from lipscope.errors import DataError

VARIABLE = "LIPSCOPE_DATA"


@dataclass(frozen=True)
class Located:
    """A data set that was found, not yet read.

    Args:
        release: what it should be.
        form: the official form it has.
        packing: a ``"folder"`` or the ``"archive"``.
        path: the folder or the archive.
    """

    release: Release
    form: Form
    packing: Literal["folder", "archive"]
    path: Path


def search_folders(data_dir: Path | None = None) -> tuple[Path, ...]:
    """The folders that are searched, first one first: ``data_dir``, ``LIPSCOPE_DATA``, the cache folder."""
    named = os.environ.get(VARIABLE, "").strip()
    folders = [data_dir, Path(named).expanduser() if named else None]
    folders.append(platformdirs.user_cache_path("lipscope", appauthor=False))
    return tuple(dict.fromkeys(folder for folder in folders if folder is not None))


def target_folder(data_dir: Path | None = None) -> Path:
    """The folder that fetched and imported data sets go to: the first that is searched."""
    return search_folders(data_dir)[0]


def find_all(
    name: str, data_dir: Path | None = None, releases: Mapping[str, Release] = RELEASES
) -> tuple[Located, ...]:
    """Every place that holds the data set ``name``, in the order of preference.

    In each folder: the binary folder, the python folder, the binary archive, the python archive. A folder that
    is itself one of the official folders counts too.
    """
    release = releases[name]
    places: list[Located] = []
    for root in search_folders(data_dir):
        places.extend(
            Located(release, form, "folder", path)
            for form in release.forms
            for path in (root / form.folder, root)
            if path.name == form.folder and path.is_dir()
        )
        places.extend(
            Located(release, form, "archive", root / form.archive.name)
            for form in release.forms
            if (root / form.archive.name).is_file()
        )
    return tuple(places)


def find(name: str, data_dir: Path | None = None, releases: Mapping[str, Release] = RELEASES) -> Located | None:
    """The place that ``load`` reads the data set ``name`` from; None where there is none."""
    places = find_all(name, data_dir, releases)
    return places[0] if places else None


def not_found(release: Release, data_dir: Path | None = None) -> DataError:
    """The error of a missing data set: every folder searched, and what to do."""
    forms = ", ".join(form.folder for form in release.forms)
    looked = ", ".join(
        str(folder) if folder.is_dir() else f"{folder} (no such folder)" for folder in search_folders(data_dir)
    )
    return DataError(
        f"data set {release.name} not found", why=f"looked for {forms} and their archives in {looked}",
        next_step=f"run `lipscope data fetch {release.name}`, name its folder with --data-dir or {VARIABLE}, "
        "or use `--dataset synthetic`",
    )  # fmt: skip
