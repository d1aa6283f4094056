"""One image: its picture, what is known of it, its logits."""

from __future__ import annotations

from fractions import Fraction

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from lipscope.files.kept_images import Adversarial
from lipscope.tui.images.choice import image_facts, verdict_style
from lipscope.tui.images.logit_bars import logit_bars
from lipscope.tui.images.pictures import Pictures, pictures_of
from lipscope.tui.panes import same
from lipscope.tui.widgets.drawn import Drawn
from lipscope.tui.widgets.notice import error_sentence, grid
from lipscope.tui.work.gallery import Answer
from lipscope.tui.work.state import State
from lipscope.visible import harmless

NEEDED = 50
"""Columns for a picture and words beside it; where there are less they stand below."""

ROOMY = 100, 34 + 12
"""Columns and rows for a picture twice as large, with ten logits below it."""


class ImageDetail(Container):
    """What stands beside the list."""

    _about: tuple[object, object, object] = (None, None, None)
    _at: tuple[int, Fraction] | None = None

    def compose(self) -> ComposeResult:
        """Pictures beside or above words."""
        yield Pictures(id="image-pictures")
        with VerticalScroll(id="image-words", can_focus=False):
            yield Static(id="image-facts", markup=False)
        yield Drawn(id="logit-bars")

    def show(self, state: State, row: int, eps: Fraction, classes: tuple[str, ...]) -> None:
        """Show the image in a row of the results; -1 shows that nothing is listed."""
        self.on_resize()  # under load a screen has been seen that was shown in the layout of another width
        certificates = state.results.certificates
        about, at = (certificates, state.images, state.answer), (row, eps)
        if at == self._at and same(about, self._about):
            return
        other = self._at is None or self._at[0] != row or not same(about, self._about)
        self._about, self._at = about, at
        pictures, bars = self.query_one(Pictures), self.query_one("#logit-bars", Drawn)
        facts = self.query_one("#image-facts", Static)
        if certificates is None or row < 0:
            pictures.show([], "No image passes the filters: f and n choose others.")
            facts.update("")
            bars.show(lambda width, height: Content(""))
            return
        answer = state.answer if state.answer is not None and state.answer.row == row else None
        found: Adversarial | None = answer.adversarial if answer else None
        pixels = state.pixels(row)
        if pixels is None:
            pictures.show([], missing(state))
        else:
            pictures.show(pictures_of(pixels, found, classes))
        self.set_class(pixels is not None and found is not None, "-pair")
        known = image_facts(certificates, row, eps, classes, found, answer.unkept if answer else "")
        facts.update(grid(known), layout=other)  # another eps changes a word, and no line
        if answer is not None and (logits := answer.logits) is not None:
            look = verdict_style(certificates, row, eps)
            bars.show(lambda width, height: logit_bars(logits, certificates, row, look, classes, width, height))
        else:
            bars.show(lambda width, height: Content.styled(_no_logits(state, answer), "$foreground 60%"))

    def on_resize(self) -> None:
        """Where there is no room for words beside the picture, they stand below."""
        self.set_class(self.size.width < NEEDED, "-slim")
        self.set_class(self.size.width >= ROOMY[0] and self.size.height >= ROOMY[1], "-roomy")


def missing(state: State) -> str:
    """Why there is no picture, and what to do; empty where there is one."""
    images = state.images
    if images is None or images.reading:
        return "Reading the data set …"
    if images.error is not None:
        return f"No pictures: {error_sentence(images.error)}"
    if state.other_images:
        name = harmless(f"{images.name} {images.split}", 60)
        return (
            f"No pictures: the images of {name} that were found are not those that the results are about (their "
            "fingerprints differ), so none is shown. Next: name the right folder with --data-dir, or run "
            "`lipscope certify --force`."
        )
    return ""


def _no_logits(state: State, answer: Answer | None) -> str:
    if missing(state) and not (state.images is None or state.images.reading):
        return "Logits need the pixels of the image."
    if answer is None:
        return "Computing the logits …"
    if answer.failure is not None:
        return f"No logits: {error_sentence(answer.failure)}"
    return "No logits: nothing here can evaluate the model."
