"""The movable radius: what it is, and how many images are certified beyond it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from lipscope.errors import UsageError
from lipscope.tui.numerals import rate_text
from lipscope.tui.plots.bands import CERTIFIED, NOT, WRONG, counts
from lipscope.tui.results import verdict_words
from lipscope.tui.widgets.entry import Entry
from lipscope.tui.widgets.notice import Notice
from lipscope.units import LARGEST_EPS, format_eps, parse_eps
from lipscope.visible import harmless

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

STEP = Fraction(1, 255)


class EpsLine(Vertical):
    """One line of words, and a place to type while typing.

    ``choose`` takes a radius, and whether it was typed.
    """

    def __init__(self, choose: Callable[..., None], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._choose = choose

    def compose(self) -> ComposeResult:
        """The words, the entry and its complaint."""
        words = Static(id="eps-words", markup=False)
        words.auto_links = False  # its arrows look like a button
        words.tooltip = (
            "eps in l2 over pixels in [0, 1]: ◀ ▶ move it, a press on it types another, - takes that one off the list"
        )
        yield words
        yield Entry(self._typed, placeholder="a radius such as 36/255 or 0.5", id="eps-entry", max_length=40)
        yield Notice("", id="eps-complaint", classes="complaint")

    def show(self, certificates: Certificates, eps: Fraction) -> None:
        """Show the counts at another radius."""
        total = len(certificates)
        certified, not_certified, wrong = counts(certificates, eps)
        word, style = verdict_words(certificates)
        width = self.app.size.width
        count, of, words = (f" ({certified:,})", f"  of {total:,}", (" not", " wrong")) if width >= 100 else ("", "", (
            (" not", " wrong") if width >= 76 else ("", "")))  # fmt: skip
        self.say(
            eps, f"{CERTIFIED} {rate_text(certified, total)} {word}{count}",
            (f"  {NOT} {rate_text(not_certified, total)}{words[0]}", "$text-warning"),
            (f"  {WRONG} {rate_text(wrong, total)}{words[1]}", "$text-error"), (of, "$foreground 60%"), style=style,
        )  # fmt: skip

    def say(self, eps: Fraction, bold: str, *rest: tuple[str, str] | str, style: str = "") -> None:
        """Show a radius with words, the first of them bold."""
        parts = ((" ◀ ", "'move', -1"), (f"eps {format_eps(eps)}", "'type_eps'"), (" ▶ ", "'move', 1"))
        look = Style(bold=True, reverse=True)
        button = [(words, look + Style.from_meta({"@click": f"app.front({action})"})) for words, action in parts]
        self.query_one("#eps-words", Static).update(
            Content.assemble(*button, "  ", (bold, f"bold {style}"), *rest),
            layout=False,  # always one line: moving eps moves nothing else
        )

    def _complain(self, text: str) -> None:
        self.query_one("#eps-complaint", Notice).show(harmless(text))

    def _typed(self, text: str) -> None:
        try:
            eps = parse_eps(text)
        except UsageError as error:
            self._complain(f"{error.what}: {error.next_step}")
            if (typed := text.strip()).isdecimal():  # in pixel scale: enter takes it over 255
                entry = self.query_one(Entry)
                entry.value = f"{typed}/255"
                entry.cursor_position = len(entry.value)
            return
        self.query_one(Entry).close()
        self._choose(eps, typed=True)

    @on(Entry.Changed, "#eps-entry")
    def _typing(self, message: Entry.Changed) -> None:
        message.stop()
        if not message.value.endswith("/255"):
            self._complain("")


def moved(eps: Fraction, steps: int) -> Fraction:
    """The radius ``steps`` 255ths away, held between 0 and the largest that makes sense.

    >>> moved(Fraction(36, 255), 10) == Fraction(46, 255), moved(Fraction(1, 255), -10)
    (True, Fraction(0, 1))
    """
    return min(max(eps + steps * STEP, Fraction(0)), Fraction(LARGEST_EPS))
