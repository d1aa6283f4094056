"""What there is: every data set, where it was found, and whether it can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipscope.data.archive import verify_archive
from lipscope.data.binary import class_names, count_records, read_file
from lipscope.data.locate import Located, find_all
from lipscope.data.pickles import check_md5
from lipscope.data.releases import RELEASES, Release
from lipscope.data.synthetic import CLASS_COUNTS, SIZES
from lipscope.errors import DataError


@dataclass(frozen=True)
class Listed:
    """One data set in one place, or nowhere.

    Args:
        name: of the data set.
        classes: how many.
        form: ``"binary folder"``, ``"python archive"`` and so on, ``"generated"``, or ``"not found"``.
        path: the place; None for generated and missing sets.
        train, test: numbers of images; None where the set cannot be used.
        note: what is wrong or missing, and what to do about it.
    """

    name: str
    classes: int
    form: str
    path: Path | None = None
    train: int | None = None
    test: int | None = None
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether ``load`` would return it."""
        return self.test is not None

    def to_json(self) -> dict[str, Any]:
        """The entry of ``lipscope.data/1``."""
        return {
            "name": self.name,
            "classes": self.classes,
            "form": self.form,
            "path": None if self.path is None else str(self.path),
            "train": self.train,
            "test": self.test,
            "usable": self.usable,
            "note": self.note,
        }


def listing(data_dir: Path | None = None, releases: Mapping[str, Release] = RELEASES) -> tuple[Listed, ...]:
    """Every place of every data set, the one that ``load`` takes first; checksums are verified."""
    entries: list[Listed] = []
    for name, release in releases.items():
        places = find_all(name, data_dir, releases)
        entries.extend(_describe(place) for place in places)
        if not places:
            advice = f"`lipscope data fetch {name}`"
            entries.append(Listed(name, len(release.classes), "not found", note=advice))
    entries.extend(
        Listed(name, count, "generated", train=SIZES["train"], test=SIZES["test"], note="seeded, always there")
        for name, count in CLASS_COUNTS.items()
    )
    return tuple(entries)


def _describe(place: Located) -> Listed:
    release = place.release
    form = f"{place.form.kind} {place.packing}"
    try:
        train, test = _counts(place)
    except DataError as error:
        return Listed(release.name, len(release.classes), form, place.path, note=str(error))
    official = (release.sizes["train"], release.sizes["test"])
    note = "" if (train, test) == official else f"the release has {official[0]:,} + {official[1]:,} images"
    return Listed(release.name, len(release.classes), form, place.path, train, test, note)


def _counts(place: Located) -> tuple[int, int]:
    release, form = place.release, place.form
    if place.packing == "archive":
        verify_archive(place.path, form)
    elif form.kind == "python":
        for name in (*form.train, *form.test):
            path = place.path / name
            check_md5(read_file(path, release), name, release, str(path))
    else:
        class_names(place.path, release)
        return count_records(place.path, release, "train"), count_records(place.path, release, "test")
    return release.sizes["train"], release.sizes["test"]
