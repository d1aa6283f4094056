from __future__ import annotations

import errno

import pytest

from lipscope.data.storage import cannot_write, check_room
from lipscope.errors import DataError


def test_a_full_disk_is_named(tmp_path):
    for number in (errno.ENOSPC, errno.EDQUOT):
        assert cannot_write(tmp_path, OSError(number, "words")).what == "the disk is full"
    other = cannot_write(tmp_path, OSError(errno.EACCES, "Permission denied"))
    assert (other.what, other.why) == ("cannot be written", "Permission denied")


def test_room_is_asked_of_the_nearest_folder_that_exists(tmp_path):
    check_room(tmp_path / "not" / "yet", 1)
    with pytest.raises(DataError, match="1,000,000,000,000 MB needed") as caught:
        check_room(tmp_path / "not" / "yet", 10**18)
    assert caught.value.where == str(tmp_path / "not" / "yet")
