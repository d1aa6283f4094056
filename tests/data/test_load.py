from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lipscope.data import DATASETS, load
from lipscope.data.releases import RELEASES
from lipscope.errors import DataError, UsageError
from tests.data.makers import binary_files, packed, python_files


def test_the_names():
    assert DATASETS == ("cifar10", "cifar100", "synthetic", "synthetic100")


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_four_forms_are_one_data_set(tmp_path, tiny_release, split):
    release, archives = tiny_release
    loaded = []
    for form, files in ((release.binary, binary_files(release)), (release.python, python_files(release))):
        folder = tmp_path / form.kind / form.folder
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        archive = tmp_path / f"{form.kind}-archive" / form.archive.name
        archive.parent.mkdir()
        archive.write_bytes(archives[form.archive.name])
        for path in (folder, archive):
            data = load(release.name, split, path.parent, {release.name: release})
            assert data.source == str(path)
            loaded.append(data)
    assert len(loaded) == 4
    assert {data.fingerprint() for data in loaded} == {loaded[0].fingerprint()}
    assert {len(data) for data in loaded} == {release.sizes[split]}
    assert {data.classes for data in loaded} == {release.classes}
    assert {(data.name, data.split) for data in loaded} == {(release.name, split)}
    for data in loaded:
        assert np.array_equal(data.images, loaded[0].images)
        assert data.labels.dtype == np.int64


def test_synthetic_needs_nothing():
    assert load("synthetic100", "test").source == "seeded, generated"


def test_missing_and_unknown(tmp_path):
    with pytest.raises(DataError, match="data set cifar100 not found"):
        load("cifar100", "test", tmp_path)
    with pytest.raises(UsageError, match="unknown data set 'mnist'; use one of cifar10, cifar100, synthetic"):
        load("mnist", "test")
    with pytest.raises(UsageError, match="unknown split 'validation'"):
        load("synthetic", "validation")  # type: ignore[arg-type]


def test_an_archive_that_only_has_the_name_is_refused(tmp_path, tiny_release):
    release, _ = tiny_release
    path = tmp_path / release.binary.archive.name
    path.write_bytes(packed(release.binary, binary_files(release, seed=1)))
    with pytest.raises(DataError, match="not the official archive"):
        load(release.name, "test", tmp_path, {release.name: release})


def test_the_data_room_loads_no_torch():
    code = "import lipscope.data.install, sys; print({'torch', 'click', 'rich', 'textual'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


@pytest.mark.parametrize("name", list(RELEASES))
def test_the_real_test_images(real_data, name):
    try:
        data = load(name, "test", real_data)
    except DataError as error:
        if "not found" in error.what:
            pytest.skip(str(error))
        raise
    assert np.bincount(data.labels).tolist() == [10_000 // len(data.classes)] * len(data.classes)


STATISTICS = {
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
}
"""Mean and standard deviation of the training pixels by channel, as the literature quotes them."""


@pytest.mark.parametrize("name", list(RELEASES))
def test_the_real_training_images_have_the_published_statistics(real_data, name):
    try:
        data = load(name, "train", real_data)
    except DataError as error:
        if "not found" in error.what:
            pytest.skip(str(error))
        raise
    assert np.bincount(data.labels).tolist() == [50_000 // len(data.classes)] * len(data.classes)
    values = np.arange(256) / 255
    for channel, (mean, deviation) in enumerate(zip(*STATISTICS[name], strict=True)):
        shares = np.bincount(data.images[:, channel].ravel(), minlength=256) / data.images[:, channel].size
        assert abs(shares @ values - mean) < 1e-4
        assert abs(np.sqrt(shares @ (values - mean) ** 2) - deviation) < 1e-4
