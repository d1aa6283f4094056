"""Which files are this user's own work: each carries a signature that only the user's own key can make.

Whoever sends a model can send results, progress and analyses beside it, with every hash right. So a file that lipscope
keeps counts as this user's own only when its message authentication code (HMAC-SHA-256 over all of its bytes) was made
with the key in the user's own folder. Everything else is *claimed by somebody else*, and :class:`Origin` says why.

The signature is part of the file, whatever its format: the first JSON string named ``lipscope.signature`` (in the
metadata of a safetensors file, in a JSON object, in the first of several JSON lines) holds its 64 hexadecimal digits,
and the code is taken with zeros in their place. A writer puts :data:`UNSIGNED` there and calls :meth:`Signer.sign`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lipscope.system import why_not_private

NAME = "lipscope.signature"
"""The name of the JSON string that holds the signature."""

DIGITS = 64
UNSIGNED = "0" * DIGITS
"""What stands there before a file is signed, and where nobody could sign it."""

KEY_FILE = "signing.key"
KEY_BYTES = 32

_PLACE = re.compile(rb'"' + re.escape(NAME.encode()) + rb'": ?"([0-9a-f]{64})"')


@dataclass(frozen=True)
class Origin:
    """Whose work a file is.

    Args:
        own: whether this user's key has signed exactly these bytes.
        reason: why it is only claimed; empty for one's own.
    """

    own: bool
    reason: str = ""


class _NoKeyError(Exception):
    """There is no key; the text says why."""


class Signer:
    """Signs files, and tells this user's own from those of others.

    Args:
        folder: where the key lies; the user's data folder when this is None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            import platformdirs

            folder = platformdirs.user_data_path("lipscope", appauthor=False)
        self._path = folder / KEY_FILE

    @property
    def path(self) -> Path:
        """Where the key lies, or will."""
        return self._path

    def sign(self, content: bytes) -> bytes:
        """The content of a file with its signature; as it was where there can be no key (:meth:`why_no_key`).

        Raises:
            ValueError: there is no place for a signature in it.
        """
        place = _PLACE.search(content)
        if place is None:
            raise ValueError(f"there is no place for a signature: no {NAME} of {DIGITS} digits")
        try:
            key = self._key(create=True)
        except _NoKeyError:
            return content
        return content[: place.start(1)] + _code(key, content, place) + content[place.end(1) :]

    def origin(self, content: bytes) -> Origin:
        """Whose work a file with this content is. Nothing of the content is believed or parsed for it."""
        place = _PLACE.search(content)
        if place is None or place.group(1) == UNSIGNED.encode():
            return Origin(own=False, reason="it carries no signature")
        try:
            key = self._key(create=False)
        except _NoKeyError as error:
            return Origin(own=False, reason=str(error))
        if not hmac.compare_digest(_code(key, content, place), place.group(1)):
            return Origin(own=False, reason="it was signed with another key than yours, or changed since")
        return Origin(own=True)

    def why_no_key(self) -> str:
        """Why nothing can be signed, in words; empty where it can. Makes the key where there is none yet."""
        try:
            self._key(create=True)
        except _NoKeyError as error:
            return str(error)
        return ""

    def _key(self, *, create: bool) -> bytes:
        try:
            return self._read()
        except FileNotFoundError:
            if not create:
                raise _NoKeyError(f"you have no key yet that could have signed it ({self._path})") from None
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            self._make()
            return self._read()
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> _NoKeyError:
        return _NoKeyError(f"your key {self._path} cannot be used: {error.strerror or error}")

    def _read(self) -> bytes:
        """The key, if nobody but this user can have read or written it."""
        descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise _NoKeyError(f"your key {self._path} is not a regular file")
            if why := why_not_private(about):
                raise _NoKeyError(f"your key {self._path} {why}; `chmod 600` it, or delete it")
            key = file.read(KEY_BYTES + 1)
        if len(key) != KEY_BYTES:
            raise _NoKeyError(f"your key {self._path} is damaged; delete it, and a new one will be made")
        return key

    def _make(self) -> None:
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        # A name of its own for every call: threads of one process that shared a name would also share the file behind
        # the link, and the later one would overwrite a key that the earlier one has signed with.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".partial", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):
                os.link(temporary, self._path)  # the first of several writers wins; the others take its key
        finally:
            Path(temporary).unlink()


def _code(key: bytes, content: bytes, place: re.Match[bytes]) -> bytes:
    digest = hmac.new(key, digestmod=hashlib.sha256)
    view = memoryview(content)
    for part in (view[: place.start(1)], UNSIGNED.encode(), view[place.end(1) :]):
        digest.update(part)
    return digest.hexdigest().encode()
