from __future__ import annotations

import json

import pytest
import torch

from lipscope.environment import PRECISION_SETTINGS, check_device, environment, full_precision, plain_products
from lipscope.errors import UsageError
from lipscope.version import __version__


def precisions() -> dict[str, str]:
    return environment()["fp32_precision"]


@pytest.fixture
def reduced() -> None:
    """Reduced precision everywhere, as a user may have it; afterwards as it was."""
    settings = {
        "cuda.matmul": torch.backends.cuda.matmul,
        "cudnn.conv": torch.backends.cudnn.conv,
        "mkldnn.matmul": torch.backends.mkldnn.matmul,
        "mkldnn.conv": torch.backends.mkldnn.conv,
    }
    assert set(settings) == set(PRECISION_SETTINGS)
    before = {name: setting.fp32_precision for name, setting in settings.items()}
    for name, setting in settings.items():
        setting.fp32_precision = "bf16" if name.startswith("mkldnn") else "tf32"
    yield
    for name, setting in settings.items():
        setting.fp32_precision = before[name]


@pytest.mark.usefixtures("reduced")
def test_full_precision_turns_everything_off_and_back() -> None:
    before = precisions()
    assert "ieee" not in before.values()
    with full_precision():
        assert set(precisions().values()) == {"ieee"}
    assert precisions() == before


@pytest.mark.usefixtures("reduced")
def test_full_precision_is_undone_by_an_error_too() -> None:
    before = precisions()
    with pytest.raises(ZeroDivisionError), full_precision():
        _ = 1 / 0
    assert precisions() == before


@pytest.mark.usefixtures("reduced")
def test_full_precision_nests() -> None:
    before = precisions()
    with full_precision():
        with full_precision():
            pass
        assert set(precisions().values()) == {"ieee"}
    assert precisions() == before


def test_the_environment_is_read_at_the_time_of_the_call() -> None:
    found = environment("cpu", "float64")
    assert found["lipscope"] == __version__
    assert found["torch"] == torch.__version__
    assert (found["device"], found["dtype"]) == ("cpu", "float64")
    assert found["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(found)) == found


def test_devices() -> None:
    check_device("cpu")
    for name in ("nonsense", "cuda:99", "meta", ""):
        with pytest.raises(UsageError, match="not a device"):
            check_device(name)


def test_plain_products_turns_the_convolution_libraries_off_and_back() -> None:
    before = environment()["convolution_libraries"]
    with plain_products():
        assert environment()["convolution_libraries"] == {"cudnn": False, "mkldnn": False}
    assert environment()["convolution_libraries"] == before
    with pytest.raises(ZeroDivisionError), plain_products():
        _ = 1 / 0
    assert environment()["convolution_libraries"] == before


def test_full_precision_switches_autocast_off_and_back() -> None:
    """A user's own autocast would compute products in bfloat16."""
    a, b = torch.full((8, 8), 1 + 2.0**-20), torch.eye(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ b).dtype == torch.bfloat16
        with full_precision():
            assert not torch.is_autocast_enabled("cpu")
            assert torch.equal(a @ b, a)
        assert torch.is_autocast_enabled("cpu")
