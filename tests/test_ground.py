"""Switched to another arithmetic, nothing is proved; each test leaves the processor as it was."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lipscope as door
from lipscope import ground
from lipscope.attacks.driver import Settings, attack
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.certification import evaluate
from lipscope.certification.sound import float64_logits
from lipscope.data import load
from lipscope.environment import full_precision
from lipscope.errors import CheckFailedError, UsageError
from lipscope.files.checkpoint import read_header
from lipscope.ground import check_ground
from lipscope.models.stored import load_model
from tests.files.test_results import some_certificates

ROUNDING = {"down": 0x400, "up": 0x800, "towards zero": 0xC00}
"""As of ``fesetround`` on x86."""


@pytest.fixture
def flushing():
    """Subnormal numbers are zero in this thread."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def unknown():
    """The libraries have not been looked at yet in this process."""
    ground._check_libraries.cache_clear()
    yield
    ground._check_libraries.cache_clear()


def test_ordinary_arithmetic_passes(unknown):
    check_ground()
    check_ground()


def test_a_thread_that_flushes_is_refused_whenever_it_asks(flushing):
    with pytest.raises(CheckFailedError, match="flushed to zero in Python's floats") as refused:
        check_ground()
    assert "set_flush_denormal(False)" in refused.value.next_step
    torch.set_flush_denormal(False)
    check_ground()


@pytest.mark.parametrize(
    ("check", "where"),
    [
        (lambda: ground._check_libraries("cpu", 1), "float32 of numpy"),
        (lambda: ground._check_casts("cpu", 2), "float32 to float64"),
        (lambda: ground._check_casts("cpu", 2**18), "float32 to float64"),
        (lambda: ground._check_products("cpu"), "matrix products in torch.float32"),
    ],
)
def test_each_library_is_looked_at(unknown, flushing, check, where):
    with pytest.raises(CheckFailedError, match=where):
        check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_loops_of_each_library(flushing, dtype, library):
    bits, *numbers = ground.FORMATS[dtype]
    integer = getattr(np, f"int{bits}")
    makers = {
        "numpy": (lambda pattern: np.full(2**16, pattern, integer).view(dtype), lambda x: x.view(integer)),
        "torch": (
            lambda pattern: torch.from_numpy(np.full(2**16, pattern, integer)).view(getattr(torch, dtype)),
            lambda x: x.numpy().view(integer),
        ),
    }
    make, read = makers[library]
    with pytest.raises(CheckFailedError, match="flushed to zero here: half the smallest normal number"):
        ground._check_loops("here", make, read, *numbers)
    torch.set_flush_denormal(False)
    ground._check_loops("here", make, read, *numbers)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is looked up by its name on Linux")
@pytest.mark.parametrize("mode", ROUNDING)
def test_another_rounding_is_refused(unknown, mode):
    library = ctypes.CDLL("libm.so.6")
    refused: list[Exception] = []
    if library.fesetround(ROUNDING[mode]):
        pytest.skip("this processor numbers its rounding modes otherwise")
    try:
        for check in (check_ground, lambda: ground._check_libraries("cpu", 1)):
            try:
                check()
            except CheckFailedError as error:
                refused.append(error)
    finally:
        library.fesetround(0)
    assert ["not rounded to nearest" in str(error) for error in refused] == [True, True]
    check_ground()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_constants_of_a_coarse_dtype_are_refused(dtype):
    torch.set_default_dtype(dtype)
    try:
        with pytest.raises(CheckFailedError, match="default dtype"):
            check_ground()
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_device_that_evaluates_is_looked_at_before_anything_is_proved(tiny_file, monkeypatch):
    """Another device than the one that proves flushes to zero; its name is real, and nothing can be computed on it."""
    ordinary = ground._check_libraries

    def check(device, threads):
        if device == "meta":
            raise ground._flushed("on the other device")
        ordinary(device, threads)

    monkeypatch.setattr(ground, "_check_libraries", check)
    monkeypatch.setattr("lipscope.environment.check_device", lambda name: None)
    monkeypatch.setattr(evaluate, "proved_pairs", lambda model: pytest.fail("something was proved"))
    model, data = load_model(tiny_file), load("synthetic", "test").subset(range(2))
    claims = some_certificates([0.1, 0.2], [True, True])
    for work in (
        lambda: evaluate.certify(model, data, device="meta"),
        lambda: float64_logits(model, data, "meta", 2),
        lambda: attack(model, data, claims, Settings(), device="meta"),
        lambda: door.certify(model, data, device="meta"),
        lambda: door.attack(model, data, device="meta"),
    ):
        with pytest.raises(CheckFailedError, match="on the other device"):
            work()


def test_a_device_without_float64_is_refused_in_words(unknown, monkeypatch):
    def zeros(*shape, **about):
        raise TypeError("Cannot convert a tensor to float64 on this device")

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(UsageError, match="need float64"):
        check_ground("mps")


def test_nothing_is_loaded_bounded_or_evaluated(flushing, tiny_file):
    for work in (
        lambda: load_model(tiny_file),
        lambda: spectral_norm_bound(torch.eye(2)),
        lambda: full_precision().__enter__(),
    ):
        with pytest.raises(CheckFailedError, match="nothing can be proved in this arithmetic"):
            work()
    assert read_header(tiny_file).config is not None


PROGRAM = """
import sys, torch
torch.set_num_threads(2)
torch.set_flush_denormal(True)
torch.ones(2**20) * 2  # its threads are started, and flush from now on
torch.set_flush_denormal(False)
from lipscope.cli import run
sys.exit(run(sys.argv[1:]))
"""


def test_threads_that_a_library_started_before_are_looked_at(tiny_model, tmp_path):
    """In a process of its own: its main thread is as it should be, those that torch computes in are not."""
    script = Path(tmp_path / "program.py")
    script.write_text(PROGRAM)
    found = subprocess.run(
        [sys.executable, script, "inspect", tiny_model, "--json"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 5
    assert "flushed to zero in float32 of torch" in found.stdout


@pytest.mark.parametrize("name", ground.SWITCHES)
def test_no_environment_changes_products_behind_torchs_back(name, monkeypatch):
    where, harmless = ground.SWITCHES[name]
    monkeypatch.setattr(ground, "_check_libraries", lambda device, threads: None)
    device = where or "cpu"
    for value in ("", harmless, harmless.lower()):
        monkeypatch.setenv(name, value)
        check_ground(device)
    for value in ("1", "any"):
        monkeypatch.setenv(name, value)
        with pytest.raises(CheckFailedError, match=f"{name}={value}.*unset {name}"):
            check_ground(device)
    if where:
        check_ground("cpu")
