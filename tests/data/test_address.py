from __future__ import annotations

from urllib.error import HTTPError

import pytest

from lipscope.data.address import check_address, is_loopback, open_address, refusal, shown
from lipscope.errors import DataError, UsageError
from tests.data.server import answer, serving


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.tar.gz",
        "HTTPS://example.org:8443/a.tar.gz?token=1",
        "http://localhost:8000/a",
        "http://127.3.2.1/a",
        "http://[::1]:8000/a",
    ],
)
def test_allowed(url):
    check_address(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/a", "plain http is refused"),
        ("http://127.0.0.1.example.org/a", "plain http is refused"),
        ("http://localhost.example.org/a", "plain http is refused"),
        ("http://10.0.0.1/a", "plain http is refused"),
        ("ftp://example.org/a", "ftp instead of https"),
        ("file:///etc/passwd", "malformed"),
        ("file://localhost/etc/passwd", "file instead of https"),
        ("data:,x", "malformed"),
        ("cifar-10-binary.tar.gz", "malformed"),
        ("", "malformed"),
        ("https://", "malformed"),
        ("https://[::1/a", "malformed"),
        ("https://example.org:port/a", "malformed"),
        ("https://example.org/a b", "malformed"),
        ("https://example.org/\r\nX: y", "malformed"),
        ("https://exämple.org/a", "malformed"),
        ("https://user:secret@example.org/a", "user name or a password"),
    ],
)
def test_refused(url, why):
    with pytest.raises(UsageError, match=why) as caught:
        check_address(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_https_never_redirects_to_http():
    assert refusal("http://127.0.0.1/a", redirected_from="https://127.0.0.1/a") == "plain http is refused"
    assert refusal("http://127.0.0.1/a", redirected_from="http://localhost/a") == ""
    assert refusal("https://example.org/a", redirected_from="http://localhost/a") == ""
    assert refusal("https://example.org/a", redirected_from="https://example.com/a") == ""


def test_loopback_is_told_by_the_host_alone():
    assert is_loopback("http://127.0.0.1:99/x")
    assert not is_loopback("https://example.org/127.0.0.1")
    assert not is_loopback("http://[broken")


def test_messages_show_no_secrets():
    assert shown("https://me:secret@example.org/a?signature=secret#x") == "https://example.org/a"
    assert shown("https://[broken") == "the address"
    assert shown("https://example.org/\x1b[31m") == "https://example.org/\\x1b[31m"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_their_headers(status):
    def script(handler, number):
        if handler.path == "/archive.tar.gz":
            answer(handler, status, Location="/elsewhere")
        else:
            answer(handler, 200, b"here")

    with serving(script) as server, open_address(server.url, {"Range": "bytes=2-"}, 5) as response:
        assert response.read() == b"here"
        assert server.ranges == ["bytes=2-", "bytes=2-"]
        assert [headers["Accept-Encoding"] for headers in server.headers] == ["identity", "identity"]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://192.0.2.1/a", "plain http"),
        ("ftp://127.0.0.1/a", "ftp instead of https"),
        ("file:///etc/passwd", "malformed"),
        ("http://user:secret@127.0.0.1/a", "password"),
    ],
)
def test_redirects_to_other_places_are_refused(location, why):
    with (
        serving(lambda handler, number: answer(handler, 302, Location=location)) as server,
        pytest.raises(DataError, match=why) as caught,
    ):
        open_address(server.url, {}, 5)
    assert len(server.headers) == 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("location", ["/archive.tar.gz", ""])
def test_redirects_in_a_circle_end(location):
    with (
        serving(lambda handler, number: answer(handler, 302, Location=location)) as server,
        pytest.raises(DataError, match="in a circle"),
    ):
        open_address(server.url, {}, 5)
    assert len(server.headers) == 6


def test_errors_and_proxies(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    with (
        serving(lambda handler, number: answer(handler, 404)) as server,
        pytest.raises(HTTPError) as caught,
    ):
        open_address(server.url, {}, 5)
    caught.value.close()
    assert caught.value.code == 404
