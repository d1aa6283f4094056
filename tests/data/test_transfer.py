from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from lipscope.data.releases import Archive
from lipscope.data.transfer import Patience, transfer
from lipscope.errors import DataError, UsageError
from tests.data.makers import md5
from tests.data.server import answer, answer_range, first_byte, serving
from tests.waiting import GENEROUS, wait_until

BODY = np.random.default_rng(0).integers(0, 256, 50_000, np.uint8).tobytes()
OTHER = BODY[::-1]
ARCHIVE = Archive("archive.tar.gz", md5(BODY), len(BODY))
QUICK = Patience(seconds=60, tries=4, pause=0.001)


def partial(folder: Path) -> Path:
    return folder / "archive.tar.gz.partial"


def fetched(url: str, folder: Path, patience: Patience = QUICK, **callbacks) -> bytes:
    path = transfer(url, ARCHIVE, folder, patience=patience, **callbacks)
    assert path == partial(folder)
    return path.read_bytes()


def test_a_good_server(tmp_path):
    seen = []
    with serving(lambda handler, number: answer_range(handler, BODY)) as server:
        folder = tmp_path / "new" / "folder"
        assert fetched(server.url, folder, progress=lambda *state: seen.append(state)) == BODY
    assert server.ranges == [None]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert seen == sorted(seen)


def test_a_slow_server_is_waited_for(tmp_path):
    def script(handler, number):
        answer(handler, 200, Content_Length=len(BODY))
        for start in range(0, len(BODY), 10_000):
            time.sleep(0.3)
            handler.wfile.write(BODY[start : start + 10_000])

    with serving(script) as server:
        # 1.5 s in all: the time-out is for each wait, not for the whole.
        assert fetched(server.url, tmp_path, Patience(seconds=1.4, tries=1)) == BODY


def test_a_truncated_transfer_continues_where_it_broke_off(tmp_path):
    lines = []

    def script(handler, number):
        answer_range(handler, BODY, stop=[20_000, 35_000, None][number])

    with serving(script) as server:
        assert fetched(server.url, tmp_path, narrate=lines.append) == BODY
    assert server.ranges == [None, "bytes=20000-", "bytes=35000-"]
    assert lines == [
        "the connection was closed early; trying again (2 of 4)",
        "the connection was closed early; trying again (2 of 4)",
    ]


def test_what_an_earlier_fetch_left_is_continued(tmp_path):
    partial(tmp_path).write_bytes(BODY[:12_345])
    with serving(lambda handler, number: answer_range(handler, BODY)) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert server.ranges == ["bytes=12345-"]


def test_what_is_complete_is_not_asked_for(tmp_path):
    partial(tmp_path).write_bytes(BODY)
    with serving(lambda handler, number: answer(handler, 500)) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert server.headers == []


@pytest.mark.parametrize("left", [OTHER[:12_345], OTHER, OTHER + b"more"], ids=["part", "all", "too much"])
def test_a_wrong_beginning_is_given_up(tmp_path, left):
    partial(tmp_path).write_bytes(left)
    with serving(lambda handler, number: answer_range(handler, BODY)) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert server.ranges[-1] is None


def test_interruption_leaves_the_partial_file(tmp_path):
    def interrupt(done, size):
        if done >= 20_000:
            raise KeyboardInterrupt

    def script(handler, number):
        answer_range(handler, BODY, stop=20_000 if number == 0 else None)

    with serving(script) as server:
        with pytest.raises(KeyboardInterrupt):
            fetched(server.url, tmp_path, progress=interrupt)
        assert partial(tmp_path).read_bytes() == BODY[:20_000]
        assert fetched(server.url, tmp_path) == BODY
    assert server.ranges == [None, "bytes=20000-"]


def ignores_range(handler, number):
    answer(handler, 200, BODY)


def other_start(handler, number):
    if first_byte(handler):
        answer(handler, 206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")
    else:
        answer(handler, 200, BODY)


def other_total(handler, number):
    if start := first_byte(handler):
        answer(handler, 206, BODY[start:], Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY) + 1}")
    else:
        answer(handler, 200, BODY)


def no_content_range(handler, number):
    if start := first_byte(handler):
        answer(handler, 206, BODY[start:])
    else:
        answer(handler, 200, BODY)


def garbled_content_range(handler, number):
    if start := first_byte(handler):
        answer(handler, 206, BODY[start:], Content_Range=f"{start} to the end")
    else:
        answer(handler, 200, BODY)


def not_satisfiable(handler, number):
    if first_byte(handler):
        answer(handler, 416, Content_Range=f"bytes */{len(BODY)}")
    else:
        answer(handler, 200, BODY)


def wrong_bytes(handler, number):
    if start := first_byte(handler):
        answer_range(handler, BODY[:start] + bytes(len(BODY) - start))
    else:
        answer(handler, 200, BODY)


@pytest.mark.parametrize(
    "script",
    [
        ignores_range, other_start, other_total, no_content_range, garbled_content_range, not_satisfiable,
        wrong_bytes,
    ],
)  # fmt: skip
def test_a_server_that_answers_range_wrongly_is_asked_for_all(tmp_path, script):
    partial(tmp_path).write_bytes(BODY[:12_345])
    with serving(script) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert server.ranges[0] == "bytes=12345-"


def test_a_range_without_a_total_is_fine(tmp_path):
    def script(handler, number):
        start = first_byte(handler)
        answer(handler, 206, BODY[start:], Content_Range=f"bytes {start}-{len(BODY) - 1}/*")

    partial(tmp_path).write_bytes(BODY[:12_345])
    with serving(script) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert len(server.headers) == 1


def test_tries_start_anew_while_the_transfer_gets_on(tmp_path):
    def script(handler, number):
        answer_range(handler, BODY, stop=first_byte(handler) + 5_000)

    with serving(script) as server:
        assert fetched(server.url, tmp_path, Patience(seconds=60, tries=2, pause=0.001)) == BODY
    assert len(server.headers) == 10


def test_a_server_that_starts_over_and_never_ends_is_given_up(tmp_path):
    def script(handler, number):
        answer(handler, 200, BODY[:25_000], Content_Length=len(BODY))

    with serving(script) as server, pytest.raises(DataError, match="the transfer broke off"):
        fetched(server.url, tmp_path)
    assert len(server.headers) == 4


def test_a_server_that_never_gets_far_ends(tmp_path):
    def script(handler, number):
        answer_range(handler, BODY, stop=first_byte(handler) + 100)

    with serving(script) as server, pytest.raises(DataError, match="the transfer broke off") as caught:
        fetched(server.url, tmp_path)
    assert len(server.headers) == 4
    assert "400 of 50,000 bytes are here" in caught.value.why
    assert "continue" in caught.value.next_step
    assert partial(tmp_path).read_bytes() == BODY[:400]


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1, 10**15, -1, "many"])
def test_a_lie_about_the_length_is_another_file(tmp_path, length):
    partial(tmp_path).write_bytes(b"x")
    with (
        serving(lambda handler, number: answer(handler, 200, BODY, Content_Length=length)) as server,
        pytest.raises(DataError, match="the server has another file") as caught,
    ):
        fetched(server.url, tmp_path)
    assert f"length {length}" in caught.value.why
    assert partial(tmp_path).read_bytes() == b"x"
    assert len(server.headers) == 1


def test_more_bytes_than_announced_are_not_taken(tmp_path):
    def script(handler, number):
        answer(handler, 200, BODY + b"more", Content_Length=len(BODY))

    with serving(script) as server:
        assert fetched(server.url, tmp_path) == BODY


@pytest.mark.parametrize("surplus", [b"", b"more"])
def test_no_length_at_all(tmp_path, surplus):
    with serving(lambda handler, number: answer(handler, 200, BODY + surplus, Content_Length="none")) as server:
        assert fetched(server.url, tmp_path) == BODY


def chunked(handler, body: bytes, end: bool = True):
    handler.protocol_version = "HTTP/1.1"
    answer(handler, 200, Content_Length="none", Transfer_Encoding="chunked", Connection="close")
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if end else b""))
    handler.close_connection = True


def test_chunks(tmp_path):
    with serving(lambda handler, number: chunked(handler, BODY)) as server:
        assert fetched(server.url, tmp_path) == BODY


def test_chunks_that_end_too_early_are_another_file(tmp_path):
    with (
        serving(lambda handler, number: chunked(handler, b"<html>please log in</html>")) as server,
        pytest.raises(DataError, match="the server has another file"),
    ):
        fetched(server.url, tmp_path)
    assert len(server.headers) == 1


def test_chunks_that_break_off_are_continued(tmp_path):
    def script(handler, number):
        if number == 0:
            chunked(handler, BODY[:20_000], end=False)
        else:
            answer_range(handler, BODY)

    with serving(script) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert server.ranges == [None, "bytes=20000-"]


@pytest.mark.parametrize("earlier", [b"", OTHER[:100]])
def test_other_bytes_are_removed_and_named(tmp_path, earlier):
    if earlier:
        partial(tmp_path).write_bytes(earlier)
    with (
        serving(lambda handler, number: answer_range(handler, OTHER)) as server,
        pytest.raises(DataError, match="other bytes than the official archive") as caught,
    ):
        fetched(server.url, tmp_path)
    assert md5(OTHER) in caught.value.why
    assert ARCHIVE.md5 in caught.value.why
    assert list(tmp_path.iterdir()) == []
    assert len(server.headers) == (2 if earlier else 1)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_final(tmp_path, status):
    with (
        serving(lambda handler, number: answer(handler, status)) as server,
        pytest.raises(DataError, match=f"the server answers {status}") as caught,
    ):
        fetched(server.url, tmp_path)
    assert len(server.headers) == 1
    assert "mirror" in caught.value.next_step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(tmp_path, status):
    def script(handler, number):
        if number < 2:
            answer(handler, status)
        else:
            answer_range(handler, BODY)

    with serving(script) as server:
        assert fetched(server.url, tmp_path) == BODY
    assert len(server.headers) == 3


def test_a_success_that_is_none(tmp_path):
    with (
        serving(lambda handler, number: answer(handler, 204, Content_Length="none")) as server,
        pytest.raises(DataError, match="status 204"),
    ):
        fetched(server.url, tmp_path)


def test_a_server_that_never_answers(tmp_path):
    with serving(lambda handler, number: server.closing.wait(GENEROUS)) as server:
        with pytest.raises(DataError, match=r"no answer for 0\.1 s; 0 of 50,000 bytes"):
            fetched(server.url, tmp_path, Patience(seconds=0.1, tries=2, pause=0.001))
        wait_until(lambda: len(server.headers) == 2)


def test_a_server_that_stops_in_the_middle(tmp_path):
    def script(handler, number):
        if number == 0:
            answer(handler, 200, BODY[:10_000], Content_Length=len(BODY))
            server.closing.wait(GENEROUS)
        else:
            answer_range(handler, BODY)

    with serving(script) as server:
        assert fetched(server.url, tmp_path, Patience(seconds=0.5, tries=20, pause=0.001)) == BODY
        assert server.ranges[0] is None
        assert set(server.ranges[1:]) == {"bytes=10000-"}


@pytest.mark.parametrize("garbage", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 " + b"x" * 70_000], ids=len)
def test_a_server_that_does_not_speak_http(tmp_path, garbage):
    with (
        serving(lambda handler, number: handler.wfile.write(garbage)) as server,
        pytest.raises(DataError, match="the transfer broke off"),
    ):
        fetched(server.url, tmp_path, Patience(seconds=60, tries=2, pause=0.001))
    assert len(server.headers) == 2


def test_nobody_listens_or_not_with_tls(tmp_path):
    quick = Patience(seconds=60, tries=2, pause=0.001)
    with (
        serving(lambda handler, number: answer(handler, 200)) as server,
        pytest.raises(DataError, match="the transfer broke off"),
    ):
        fetched(server.url.replace("http:", "https:"), tmp_path, quick)
    with pytest.raises(DataError, match="refused"):
        fetched(server.url, tmp_path, quick)
    assert list(tmp_path.iterdir()) == []


def test_no_such_host(tmp_path):
    with pytest.raises(DataError, match="cannot be reached"):
        fetched("https://no-such-host.invalid/archive.tar.gz", tmp_path)


def test_addresses_are_checked_first(tmp_path):
    with pytest.raises(UsageError, match="plain http is refused"):
        fetched("http://192.0.2.1/archive.tar.gz", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_one_fetch_at_a_time(tmp_path):
    nested = []

    def again(done, size):
        if not nested:
            nested.append(pytest.raises(DataError, match="another process is fetching it"))
            with nested[0]:
                fetched(server.url, tmp_path)

    with serving(lambda handler, number: answer_range(handler, BODY)) as server:
        assert fetched(server.url, tmp_path, progress=again) == BODY
    assert len(nested) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(tmp_path):
    partial(tmp_path).symlink_to("/dev/full")
    with (
        serving(lambda handler, number: answer_range(handler, BODY)) as server,
        pytest.raises(DataError, match="the disk is full") as caught,
    ):
        fetched(server.url, tmp_path)
    assert caught.value.where == str(partial(tmp_path))
    assert len(server.headers) == 1


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        fetched("https://192.0.2.1/archive.tar.gz", tmp_path / "file")
    partial(tmp_path).mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        fetched("https://192.0.2.1/archive.tar.gz", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "archive.tar.gz.partial"}
