"""The movable radius: what it is, and how many images are certified beyond it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from lipscope.errors import UsageError
from lipscope.tui.keys.motion import focus
from lipscope.tui.numerals import rate_text
from lipscope.tui.plots.bands import CERTIFIED, NOT, WRONG, counts
from lipscope.tui.results import verdict_words
from lipscope.tui.text import harmless
from lipscope.units import LARGEST_EPS, format_eps, parse_eps

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

STEP = Fraction(1, 255)


class EpsLine(Vertical):
    """One line of words, and a place to type while typing."""

    class Changed(Message):
        """Another radius was typed."""

        def __init__(self, eps: Fraction) -> None:
            super().__init__()
            self.eps = eps

    def compose(self) -> ComposeResult:
        """The words, the entry and its complaint."""
        yield Static(id="eps-words", markup=False)
        entry = Input(placeholder="a radius such as 36/255 or 0.5", id="eps-entry", compact=True, max_length=40)
        entry.display = False
        yield entry
        complaint = Static(id="eps-complaint", markup=False)
        complaint.display = False
        yield complaint

    def show(self, certificates: Certificates, eps: Fraction) -> None:
        """Show the count at another radius."""
        total = len(certificates)
        certified, not_certified, wrong = counts(certificates, eps)
        word, style = verdict_words(certificates)
        self.query_one("#eps-words", Static).update(
            Content.assemble(
                (f" ◀ eps {format_eps(eps)} ▶ ", "bold reverse"),
                f" ≈ {float(eps):.4f}   ",
                (f"{CERTIFIED} {rate_text(certified, total)} {word} ({certified:,})", f"bold {style}"),
                (f"  {NOT} {rate_text(not_certified, total)} not", "$text-warning"),
                (f"  {WRONG} {rate_text(wrong, total)} wrong", "$text-error"),
                (f"  of {total:,}", "$foreground 60%"),
            ),
            layout=False,  # always one line: moving eps moves nothing else
        )

    def say(self, eps: Fraction, bold: str, rest: str, *, style: str = "") -> None:
        """Show a radius with other words, the first of them bold."""
        self.query_one("#eps-words", Static).update(
            Content.assemble((f" ◀ eps {format_eps(eps)} ▶ ", "bold reverse"), "  ", (bold, f"bold {style}"), rest),
            layout=False,
        )

    @property
    def typing(self) -> bool:
        """Whether the entry is open."""
        return self.query_one("#eps-entry", Input).display

    def open_entry(self) -> None:
        """Let the user type a radius."""
        entry = self.query_one("#eps-entry", Input)
        entry.value = ""
        entry.display = True
        focus(entry)

    def close_entry(self) -> None:
        """Back to words."""
        self.query_one("#eps-entry", Input).display = False
        self._complain("")

    def _complain(self, text: str) -> None:
        complaint = self.query_one("#eps-complaint", Static)
        complaint.update(harmless(text))
        complaint.display = bool(text)

    @on(Input.Submitted, "#eps-entry")
    def _typed(self, message: Input.Submitted) -> None:
        message.stop()
        try:
            eps = parse_eps(message.value)
        except UsageError as error:
            self._complain(f"{error.what}: {error.next_step}")
            typed = message.value.strip()
            if typed.isdecimal():  # in pixel scale: enter takes it over 255
                message.input.value = f"{typed}/255"
                message.input.cursor_position = len(message.input.value)
            return
        self.close_entry()
        self.post_message(self.Changed(eps))

    @on(Input.Changed, "#eps-entry")
    def _typing(self, message: Input.Changed) -> None:
        message.stop()
        if not message.value.endswith("/255"):
            self._complain("")


def moved(eps: Fraction, steps: int) -> Fraction:
    """The radius ``steps`` 255ths away, held between 0 and the largest that makes sense.

    >>> moved(Fraction(36, 255), 10) == Fraction(46, 255), moved(Fraction(1, 255), -10)
    (True, Fraction(0, 1))
    """
    return min(max(eps + steps * STEP, Fraction(0)), Fraction(LARGEST_EPS))
