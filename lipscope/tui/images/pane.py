"""Images: the test images as pictures, sorted and filtered by what is certified about them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import (
    KEEPS,
    SIGNS,
    SORTS,
    Choice,
    arranged,
    class_name,
    distance_text,
    images_sheet,
    offered,
    radius_cell,
    verdict_style,
    verdict_word,
)
from lipscope.tui.images.detail import ImageDetail
from lipscope.tui.images.pictures import Pictures
from lipscope.tui.images.thumbs import Thumbnails
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus
from lipscope.tui.panes import Cells, Sheet, Wanted, next_of, same
from lipscope.tui.results import results_notice
from lipscope.tui.widgets.at_eps import EpsPane
from lipscope.tui.widgets.chips import chips
from lipscope.tui.widgets.drawn import Drawn
from lipscope.tui.widgets.entry import Entry
from lipscope.tui.widgets.eps_line import EpsLine
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.work.state import State
from lipscope.units import format_eps
from lipscope.visible import counted, harmless

SHORT_WORDS = {"certified": "cert.", "claimed": "claimed", "uncertified": "not", "WRONG": "WRONG"}
"""Of the verdicts, where a list has fewer columns than ``ROOMY``: room for `automobile as airplane`."""

ROOMY = 58

ANSWER_AFTER = 0.1
"""Seconds that the cursor rests on an image before its logits are computed."""


class ImagesPane(EpsPane):
    """The fifth screen."""

    BINDINGS = bindings_of("Images")
    NEED_RADII = frozenset({"keep", "label", "sort", "reverse", "turn", "grid", "search"})

    MOVING = "#images-list"

    _shown: Certificates | None = None
    _choice = Choice()
    _before: Choice | None = None  # another screen led here: what esc, on its way back there, leaves behind
    _rows = np.zeros(0, np.int64)
    _row = -1
    _asked: tuple[object, object] = (None, None)
    _asked_row = -1

    def compose(self) -> ComposeResult:
        """A line of words and the filters on top, the picture, and the list beside it."""
        yield Notice("results", id="images-notice")
        with Vertical(id="images-content"):
            yield EpsLine(self.choose_eps, id="images-line")
            yield Drawn(id="images-chips")
            hint = "the number of an image, or a class"
            yield Entry(self._search, placeholder=hint, id="images-search", max_length=40)
            with Container(id="images-panes"):
                yield Panel(ImageDetail(id="image-detail"), id="images-picture-side")
                with Vertical(id="images-list-side", classes="panel"):
                    yield LongList(id="images-list")
                    yield Thumbnails(id="images-grid")
            yield FoldBar("#images-picture-side", "left", "picture")
            # Less has no room for it beside the picture, its facts and its logits.
            yield FoldBar("#images-list-side", "right", "list", under=116)

    # What is shown

    @property
    def _names(self) -> tuple[str, ...]:
        certificates, images = self.certificates, self.state.images
        if certificates is not None and certificates.classes:
            return certificates.classes
        return images.data.classes if images is not None and images.data is not None else ()

    def show(self, state: State) -> None:
        """Show another state."""
        before, certificates = self._shown, state.results.certificates
        self._shown = certificates
        self.query_one(Notice).show(results_notice(state, reasons=False))  # Radii has room for them
        self.set_class(certificates is None, "-empty")
        if certificates is not before:
            self.refresh_bindings()
            self._arrange()
        if self.has_class("-grid"):
            self._show_grid()
        self._ask()
        self._show_image()

    def on_show(self, _event: events.Show) -> None:
        """In front for the first time, the screen needs the data set."""
        self._ask()

    def on_hide(self, _event: events.Hide) -> None:
        """Left by a number key, the list stays, and is the user's own; the message may come after the next lead."""
        if not all(node.display for node in self.ancestors_with_self):
            self._before = None

    def _ask(self) -> None:
        """Ask for what is missing, but only while somebody looks."""
        certificates, images = self.certificates, self.state.images
        if certificates is None or not self.is_on_screen:
            return
        if images is None or (images.name, images.split) != (certificates.data_name, certificates.data_split):
            self.post_message(Wanted(lambda session: session.want_images()))
        elif not images.reading and self._row >= 0:
            about, row = (certificates, images), self._row
            if row != self._asked_row or not same(about, self._asked):
                self._asked, self._asked_row = about, row
                self.set_timer(ANSWER_AFTER, lambda: self._ask_for(row))

    def _ask_for(self, row: int) -> None:
        if row == self._row:
            self.post_message(Wanted(lambda session: session.want_answer(row)))

    def _arrange(self) -> None:
        """List the images that pass the filters, the cursor staying on its image."""
        certificates = self.certificates
        if certificates is None:
            self._rows, self._row = np.zeros(0, np.int64), -1
            return
        self._rows = arranged(certificates, self._choice)
        places = np.flatnonzero(self._rows == self._row)
        self.query_one(LongList).show(
            len(self._rows), self._line, self._heading, place=int(places[0]) if len(places) else 0
        )
        self._say()

    def _say(self) -> None:
        certificates, choice = self.certificates, self._choice
        if certificates is None:
            return
        words = KEEPS[choice.keep][1]
        if choice.label is not None:
            words += f", class {class_name(self._names, choice.label)}"
        order = SORTS[choice.sort][1 + choice.reverse]
        count = f"{len(self._rows):,} of {len(certificates):,}"
        room = self.size.width - len(f"  ◀ eps {format_eps(choice.eps)} ▶   {count}: {words}; {order} ")
        self.query_one(EpsLine).say(choice.eps, f"{count}: {words}", f"; {order}" if room >= 0 else "")
        kinds = [(f"'only', '{keep}'", KEEPS[keep][0], keep == choice.keep) for keep in offered(KEEPS, certificates)]
        label = "any class" if choice.label is None else class_name(self._names, choice.label, 12)
        others = [("'label', 1", f"{label} ▸", choice.label is not None),
                  ("'sort'", f"by {SORTS[choice.sort][0]} ▸", False)]  # fmt: skip
        self.query_one("#images-chips", Drawn).show(
            lambda width, height: chips([*kinds, *others], width), layout=True
        )  # fmt: skip
        side = self.query_one("#images-list-side")
        side.border_title = f"{len(self._rows):,} of {counted(len(certificates), 'image')}"
        side.border_subtitle = order
        self.say_folded(right=f"{count}, {order}")

    def _line(self, place: int, width: int) -> list[tuple[str, str]]:
        """One image in one line, its verdict in the colour of its band."""
        certificates = self.certificates
        assert certificates is not None
        row, names = int(self._rows[place]), self._names
        distance = None if certificates.attack_distance is None else float(certificates.attack_distance[row])
        attack = "–" if distance is None or not math.isfinite(distance) else distance_text(distance)
        word = verdict_word(certificates, row, self.eps)
        label = class_name(names, int(certificates.label[row]))
        if not certificates.correct[row]:
            label += f" as {class_name(names, int(certificates.predicted[row]))}"
        said = f"{SIGNS[word]} {word if width >= ROOMY else SHORT_WORDS[word]}"
        number, radius = f"{int(certificates.index[row])}", radius_cell(certificates, row)
        start, verdict = _cells(certificates, width, number, radius, attack, said)
        room = max(width - len(start + verdict), 1)
        style = verdict_style(certificates, row, self.eps).replace("$", "$text-")
        return [(start, ""), (verdict, style), (harmless(label, room), "")]

    def _heading(self, width: int) -> str:
        assert self.certificates is not None
        names = _cells(self.certificates, width, "image", "radius", "attack", "  at eps")
        return harmless("".join([*names, "class"]), width)

    def _show_image(self) -> None:
        if self.certificates is not None:
            self.query_one(ImageDetail).show(self.state, self._row, self.eps, self._names)

    def _show_grid(self) -> None:
        """The pictures of the list, each with its number and verdict."""
        state, certificates, rows = self.state, self.certificates, self._rows
        if certificates is None:
            return

        def words(place: int) -> str:
            row = int(rows[place])
            word = verdict_word(certificates, row, self.eps)
            return f"{SIGNS[word]} {int(certificates.index[row])} {radius_cell(certificates, row)}"

        place = self.query_one("#images-list", LongList).place
        self.query_one(Thumbnails).show(len(rows), place, lambda at: state.pixels(int(rows[at])), words)

    @on(LongList.Chosen)
    def _chosen(self, message: LongList.Chosen) -> None:
        message.stop()
        if isinstance(message.of, Thumbnails):
            self.query_one("#images-list", LongList).choose(message.place)
            return
        if self.has_class("-grid"):
            self._show_grid()
        at = self.query_one(LongList).place
        self._row = int(self._rows[at]) if 0 <= at < len(self._rows) else -1
        self._show_image()
        self._ask()

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work, also while the list is folded."""
        focus(self.query_one(Thumbnails) if self.has_class("-grid") else self)

    def action_grid(self) -> None:
        """Thumbnails instead of the list, or the list again."""
        self.toggle_class("-grid")
        self._show_grid()
        self.focus_main()

    def action_search(self) -> None:
        """Type a number or a class."""
        self.query_one("#images-search", Entry).open()

    def _search(self, typed: str) -> None:
        wanted, names = typed.strip(), self._names
        labels = [number for number, name in enumerate(names) if name.casefold().startswith(wanted.casefold())]
        found = wanted.isdecimal() and self._seek(int(wanted))
        if labels and wanted and not found:
            self._choose(replace(self._choice, label=labels[0]))
        elif not found:
            self.notify(f"no image and no class {harmless(wanted, 30)!r}", severity="warning", markup=False)
        super().step_back()

    def action_only(self, keep: str) -> None:
        """A filter."""
        self._choose(replace(self._choice, keep=keep))

    # Actions

    def _choose(self, choice: Choice) -> None:
        self._choice = choice
        self._arrange()
        self._show_image()

    def action_keep(self, step: int) -> None:
        """The next filter."""
        if self.certificates is not None:
            keep = next_of(offered(KEEPS, self.certificates), self._choice.keep, step)
            self._choose(replace(self._choice, keep=keep))

    def action_label(self, step: int) -> None:
        """The next class, or all again."""
        if self.certificates is not None:
            labels = [None, *np.unique(self.certificates.label).tolist()]
            self._choose(replace(self._choice, label=next_of(labels, self._choice.label, step)))

    def action_sort(self) -> None:
        """The next order."""
        if self.certificates is not None:
            sort = next_of(offered(SORTS, self.certificates), self._choice.sort)
            self._choose(replace(self._choice, sort=sort, reverse=False))

    def action_reverse(self) -> None:
        """The order turned round."""
        self._choose(replace(self._choice, reverse=not self._choice.reverse))

    def action_turn(self) -> None:
        """The next picture, where not all fit; words where there is only one."""
        if not self.query_one(Pictures).turn():
            self.notify("there is one picture: no attack kept another of this image", timeout=3)

    def lead(self, to: object) -> None:
        """The images of a choice, or the one of a number."""
        self._before = self._before or self._choice
        if isinstance(to, Choice):
            self._row = -1
            self._choose(to)
        elif isinstance(to, int):
            self._seek(to)

    def _seek(self, number: int) -> bool:
        """Put the cursor on the image of a number among all; False, and nothing else, where there is none."""
        if self.certificates is None or number not in self.certificates.index:
            return False
        self._row = int(np.argmax(self.certificates.index == number))
        self._choose(replace(self._choice, keep="all", label=None))
        return True

    def show_eps(self) -> None:
        """What is certified at the radius chosen."""
        self._choose(replace(self._choice, eps=self.eps))

    def step_back(self) -> bool:
        """Close the entry, then leave the filters; False when another screen led here, or nothing is to undo."""
        if super().step_back():
            return True
        if self._before is not None:
            before, self._before = self._before, None
            self._choose(replace(before, eps=self.eps))
            return False
        if self.has_class("-grid"):
            self.action_grid()
            return True
        if (self._choice.keep, self._choice.label) != ("all", None):
            self._choose(replace(self._choice, keep="all", label=None))
            return True
        return False

    # Export

    def sheet(self) -> Sheet:
        """The images that are listed, in their order."""
        certificates = self.certificates
        if certificates is None:
            return Sheet(facts={"notice": results_notice(self.state)})
        return images_sheet(certificates, self._rows, self._choice, self._names)

    def cells(self) -> Cells:
        """The numbers of the image under the cursor."""
        certificates = self.certificates
        if certificates is None or self._row < 0:
            return {}
        return images_sheet(certificates, np.array([self._row]), self._choice, self._names).rows[0]


def _cells(certificates: Certificates, width: int, *words: str) -> tuple[str, str]:
    """Number, radius, attack distance and verdict in the columns of a list; less between them where it is narrow."""
    number, radius, attack, verdict = words
    roomy, attacked = width >= ROOMY, certificates.attack_distance is not None and width >= 44
    gap = "  " if roomy else " "
    start = f"{number:>{5 + roomy}}{gap}{radius:>6}{gap}" + (f"{attack:>7}{gap}" if attacked else "")
    return start, f"{verdict:{13 if roomy else 9 if certificates.standing == 'claimed' else 7}}{gap}"
