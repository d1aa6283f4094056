"""Which addresses a data set may come from, and how they are opened: https only, redirects included.

Plain http is allowed to loopback addresses alone (a tunnel or a mirror on the same machine), and no https
server may redirect there: a redirect never leaves https.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import cast
from urllib.error import HTTPError
from urllib.parse import SplitResult, urljoin, urlsplit

from lipscope.errors import DataError, UsageError
from lipscope.version import __version__

MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)


def check_address(url: str) -> None:
    """Make sure that an address may be fetched from.

    Raises:
        UsageError: not https (nor http to this machine), malformed, or with a password in it.

    >>> check_address("https://example.org/cifar-10-binary.tar.gz")
    """
    why = refusal(url)
    if why:
        raise UsageError(
            "not an address to fetch from", where=shown(url), why=why,
            next_step="give an https address, or copy the archive here and use `lipscope data import`",
        )  # fmt: skip


def refusal(url: str, redirected_from: str = "") -> str:
    """Why an address is refused; empty when it is allowed.

    >>> refusal("http://example.org/a.tar.gz")
    'plain http is refused'
    >>> refusal("http://127.0.0.1:8000/a.tar.gz", redirected_from="https://example.org/a.tar.gz")
    'plain http is refused'
    """
    parts = _split(url)
    if parts is None or not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        return "it is malformed"
    if parts.username is not None or parts.password is not None:
        return "it holds a user name or a password"
    if parts.scheme == "https":
        return ""
    if parts.scheme != "http":
        return f"{parts.scheme or 'no scheme'} instead of https"
    if is_loopback(url) and not redirected_from.lower().startswith("https:"):
        return ""
    return "plain http is refused"


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine by its name: localhost, 127.x.y.z or [::1]."""
    parts = _split(url)
    host = (parts.hostname if parts else None) or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown(url: str) -> str:
    """The address without user, password and query, fit for a message.

    >>> shown("https://user:secret@example.org/a.tar.gz?token=secret")
    'https://example.org/a.tar.gz'
    """
    parts = _split(url)
    if parts is None:
        return "the address"
    text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return text.encode("unicode_escape").decode("ascii")


def open_address(url: str, headers: Mapping[str, str], seconds: float) -> HTTPResponse:
    """Ask for an address and follow its redirects; the caller closes the answer.

    Args:
        url: checked already.
        headers: of the request, besides the constant ones.
        seconds: the longest wait for a connection, and for each piece of the answer.

    Raises:
        HTTPError: a status of 400 or more.
        URLError, OSError, HTTPException: no connection, or none that speaks HTTP.
        DataError: a redirect to a refused address, or more than five.
    """
    constant = {"User-Agent": f"lipscope/{__version__}", "Accept-Encoding": "identity"}
    start = url
    for _ in range(MOST_REDIRECTS + 1):
        request = urllib.request.Request(url, headers={**constant, **headers})
        try:
            return cast(HTTPResponse, _opener(url).open(request, timeout=seconds))
        except HTTPError as error:
            if error.code not in REDIRECTS:
                raise
            with error:
                target = urljoin(url, error.headers.get("Location", ""))
        why = refusal(target, redirected_from=url)
        if why:
            raise DataError(
                "the server redirects to a refused address", where=shown(start), why=f"{shown(target)}: {why}",
                next_step="give the address of another mirror with --url",
            )  # fmt: skip
        url = target
    raise DataError(
        "the server redirects in a circle", where=shown(start), why=f"more than {MOST_REDIRECTS} redirects",
        next_step="give the address of another mirror with --url",
    )  # fmt: skip


def _opener(url: str) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    # No handler for redirects: each is checked above before it is followed.
    for handler in (
        urllib.request.ProxyHandler({} if is_loopback(url) else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
