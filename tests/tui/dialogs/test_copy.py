import unicodedata

import pytest
from hypothesis import strategies as st

from lipscope.tui.dialogs.copy import COPIED, pasteable
from tests.always import always


@always(text=st.text())
def test_a_copy_has_all_letters_and_sets_nothing_off(text):
    copied = pasteable(text)
    assert all(c == "\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in copied)
    copied.encode()
    kept = [c for c in text if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    letters = iter(copied)
    assert all(any(c == other for other in letters) for c in kept)


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("conv\t0.9999", "conv\t0.9999"),
        ("a\nrm -rf ~\r", "a\\nrm -rf ~\\r"),
        ("\x1b]52;c;eA==\x07", "\\x1b]52;c;eA==\\x07"),
        ("a\u202eb", "a\\u202eb"),
        ("e\u0301", "e\u0301"),
        ("", ""),
    ],
)
def test_copies(text, copied):
    assert pasteable(text) == copied


def test_what_a_terminal_would_refuse_is_cut():
    assert pasteable("x" * COPIED) == "x" * COPIED
    assert pasteable("x" * 10_000_000) == "x" * (COPIED - 1) + "…"
