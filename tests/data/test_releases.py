from __future__ import annotations

import pytest

from lipscope.data.address import check_address
from lipscope.data.binary import class_names
from lipscope.data.releases import CIFAR10, CIFAR100, RELEASES


@pytest.mark.parametrize(("release", "theirs"), [(CIFAR10, "CIFAR10"), (CIFAR100, "CIFAR100")])
def test_the_checksums_of_the_python_form_are_those_that_torchvision_publishes(release, theirs):
    from torchvision import datasets

    published = getattr(datasets, theirs)
    assert release.python.folder == published.base_folder
    assert release.python.archive.name == published.filename
    assert release.python.archive.md5 == published.tgz_md5
    assert [[name, release.python.md5[name]] for name in release.python.train] == published.train_list
    assert [[name, release.python.md5[name]] for name in release.python.test] == published.test_list
    assert release.python.names == published.meta["filename"]


@pytest.mark.parametrize("release", RELEASES.values(), ids=list(RELEASES))
def test_a_release_is_consistent(release):
    assert len(set(release.classes)) == len(release.classes) == release.label_limits[-1]
    assert sorted(release.classes) == list(release.classes)
    assert set(release.python.md5) == {*release.python.train, *release.python.test}
    checksums = {form.archive.md5 for form in release.forms}
    assert len(checksums) == 2
    assert {len(checksum) for checksum in checksums} == {32}
    assert release.url.endswith(f"/{release.binary.archive.name}")
    check_address(release.url)


def test_names_and_records():
    assert [release.record_size for release in (CIFAR10, CIFAR100)] == [3073, 3074]
    assert CIFAR10.url_variable == "LIPSCOPE_CIFAR10_URL"


@pytest.mark.parametrize("release", RELEASES.values(), ids=list(RELEASES))
def test_the_class_names_are_those_of_the_real_folder(release, real_data):
    folder = real_data / release.binary.folder
    if not (folder / release.binary.names).exists():
        pytest.skip("no real data")
    assert class_names(folder, release) == release.classes
