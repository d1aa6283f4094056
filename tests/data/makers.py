"""Tiny data sets of the official layouts, and the releases that describe them."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from dataclasses import replace

import numpy as np

from lipscope.data.releases import Archive, Form, Release

PER_FILE = 4


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def binary_files(release: Release, seed: int = 0) -> dict[str, bytes]:
    """Four random records in every file of the binary form, and the file of class names."""
    random = np.random.default_rng(seed)
    files = {}
    for name in (*release.binary.train, *release.binary.test):
        records = random.integers(0, 256, (PER_FILE, release.record_size), np.uint8)
        for position, limit in enumerate(release.label_limits):
            records[:, position] = random.integers(0, limit, PER_FILE)
        files[name] = records.tobytes()
    files[release.binary.names] = "".join(f"{name}\n" for name in release.classes).encode() + b"\n"
    return files


def python_files(release: Release, seed: int = 0) -> dict[str, bytes]:
    """The same records as ``binary_files``, pickled as the official files are."""
    binary, python = release.binary, release.python
    names = dict(zip((*binary.train, *binary.test), (*python.train, *python.test), strict=True))
    files = {}
    for binary_name, data in binary_files(release, seed).items():
        if binary_name in names:
            records = np.frombuffer(data, np.uint8).reshape(PER_FILE, -1)
            count = len(release.label_limits)
            files[names[binary_name]] = python2_pickle(records[:, count:], records[:, count - 1], release.labels_key)
    files[python.names] = b"never opened"
    return files


def python2_pickle(pixels: np.ndarray, labels: np.ndarray, key: str) -> bytes:
    """``{"data": pixels, key: labels}`` in the opcodes that Python 2 and its NumPy wrote."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    number = b"J" + struct.pack("<i", -1)
    dtype = b"cnumpy\ndtype\n" + text("u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + text("|") + b"NNN" + number + number + b"K\x00tb"
    shape = b"".join(b"J" + struct.pack("<i", side) for side in pixels.shape) + b"\x86"
    raw = pixels.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
    array += b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text("data") + array + text(key) + listed + b"u."


def packed(form: Form, files: dict[str, bytes]) -> bytes:
    """A .tar.gz of the folder of a form, with a page of documentation as in the official ones."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        folder = tarfile.TarInfo(form.folder)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in {**files, "readme.html": b"<html></html>"}.items():
            member = tarfile.TarInfo(f"{form.folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def tiny(release: Release) -> tuple[Release, dict[str, bytes]]:
    """The release with the checksums and sizes of tiny files, and its two archives by their names."""
    python = python_files(release)
    archives = {}
    forms = {}
    for form, files in ((release.binary, binary_files(release)), (release.python, python)):
        data = packed(form, files)
        archives[form.archive.name] = data
        forms[form.kind] = replace(form, archive=Archive(form.archive.name, md5(data), len(data)))
    pickled = {name: md5(data) for name, data in python.items() if name != release.python.names}
    sizes = {"train": PER_FILE * len(release.binary.train), "test": PER_FILE}
    return (
        replace(release, binary=forms["binary"], python=replace(forms["python"], md5=pickled), sizes=sizes),
        archives,
    )
