"""Why these are not torchvision's: what its functions do where ours must not."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import torch
from torchvision.datasets.utils import download_url, extract_archive
from torchvision.transforms import v2

from lipscope.training.augment import crop_and_flip
from tests.data.server import answer, serving


@pytest.mark.filterwarnings("ignore")
def test_its_archives_may_write_outside_of_their_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("../outside")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"here"))
    try:
        extract_archive(str(tmp_path / "a.tar.gz"), str(inside))
    except tarfile.FilterError:
        pytest.skip("Python 3.14 refuses it")
    assert (tmp_path / "outside").read_bytes() == b"here"


def test_its_downloads_begin_anew_and_are_kept_whatever_they_are(tmp_path: Path) -> None:
    with serving(lambda handler, number: answer(handler, 200, b"x" * 100_000)) as server:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not found or corrupted"):
                download_url(server.url, tmp_path, "archive", md5="0" * 32)
    assert set(server.ranges) == {None}
    assert (tmp_path / "archive").stat().st_size == 100_000


def test_its_crop_is_one_for_the_whole_batch_and_ours_one_for_each_image() -> None:
    images = torch.arange(32 * 32).reshape(1, 1, 32, 32).expand(64, 1, 32, 32).clone()
    theirs = v2.RandomCrop(32, padding=4)(images)
    assert bool((theirs == theirs[:1]).all())
    ours = crop_and_flip(images, torch.Generator().manual_seed(0))
    assert len(ours.flatten(1).unique(dim=0)) > 32
