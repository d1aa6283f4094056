import time
import unicodedata

import pytest
from hypothesis import strategies as st
from rich.cells import cell_len

from lipscope.visible import harmless
from tests.always import always


@always(text=st.text(), width=st.integers(1, 40), keep=st.sampled_from(["start", "end"]))
def test_no_text_moves_the_cursor_or_leaves_its_place(text, width, keep):
    shown = harmless(text, width, keep=keep)
    assert cell_len(shown) <= width
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Mn", "Me"} for c in shown)
    shown.encode()  # a lone surrogate could not be written to a terminal


@always(text=st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20))
def test_plain_text_that_fits_is_unchanged(text):
    assert harmless(text, 20) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("e\u0301\u0301\u0301", "e\\u0301\\u0301\\u0301"),
        ("\u200b", "\\u200b"),
        ("\x9b31m", "\\x9b31m"),
        ("卷积", "卷积"),
        (["a", 1], "['a', 1]"),
        ("", ""),
    ],
)
def test_escapes(text, shown):
    assert harmless(text) == shown


def test_different_hostile_texts_stay_different():
    assert harmless("conv\u200b") != harmless("conv")


@pytest.mark.parametrize(("keep", "shown"), [("start", "卷积…"), ("end", "…积核")])
def test_wide_characters_are_cut_by_cells(keep, shown):
    assert harmless("卷积核", 5, keep=keep) == shown
    assert harmless("卷积核", 6, keep=keep) == "卷积核"


def test_ten_megabytes_cost_nothing():
    text = "\x1b[31m" * 2_000_000
    start = time.thread_time()
    assert len(harmless(text, 80)) == 80
    assert len(harmless(text, 80, keep="end")) <= 80
    assert time.thread_time() - start < 0.05
