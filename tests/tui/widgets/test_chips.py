import pytest

from lipscope.tui.widgets.chips import chips

WORDS = ("all", "wrong", "not certified", "any class")


@pytest.mark.parametrize("width", [20, 30, 31, 44, 45, 80])
def test_every_choice_is_in_sight_whatever_the_width(width):
    drawn = chips([("'only'", words, words == "wrong") for words in WORDS], width)
    lines = drawn.plain.split("\n")
    assert " ".join(drawn.plain.split()) == " ".join(WORDS)
    assert all(sum(words in line for line in lines) == 1 for words in WORDS)  # none is broken
    assert max(map(len, lines)) <= width
    assert len(lines) == 1 or width < sum(len(words) + 3 for words in WORDS) - 1
    chosen = [drawn.plain[span.start : span.end] for span in drawn.spans if "reverse" in str(span.style)]
    assert chosen == [" wrong "]
