"""Compare: two models layer by layer, and the images that one of them alone certifies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from lipscope.analysis.comparison import LayerPair, Shared, objection, shared
from lipscope.records.certificates import Certificates
from lipscope.tui.compare import lines
from lipscope.tui.compare.curves import drawings
from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.keys.motion import focus, is_focused
from lipscope.tui.panes import Cells, Goto, Sheet, next_of, same
from lipscope.tui.results import radius_column, verdict_words
from lipscope.tui.widgets.at_eps import EpsPane
from lipscope.tui.widgets.chart import Chart
from lipscope.tui.widgets.drawn import Drawn
from lipscope.tui.widgets.eps_line import EpsLine
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.work.state import State
from lipscope.visible import counted, harmless

ALONE = (
    "One model is open. o, then b on another, opens two (so does `lipscope inspect a.safetensors b.safetensors`) and "
    "compares them here: their layers, both curves of certified accuracy, and the images that one certifies and the "
    "other does not."
)


class ComparePane(EpsPane):
    """The seventh screen."""

    BINDINGS = bindings_of("Compare")
    NEED_RADII = frozenset({"which", "enlarge"})

    MOVING = "#compare-layers"

    _quantity: str | None = None  # the only one that is compared
    _sorted = False
    _which = "either"
    _every: tuple[LayerPair, ...] = ()
    _lines: Sequence[lines.Difference] = ()
    _unfolded = False
    _certificates: tuple[Certificates | None, Certificates | None] = (None, None)
    _common: Shared | None = None
    _only = np.zeros(0, np.int64)

    def compose(self) -> ComposeResult:
        """Words on top, the layers, and what is certified beside them."""
        yield Notice("compare", id="compare-alone")
        with Vertical(id="compare-content"):
            yield Drawn(id="compare-files")
            yield Static(id="compare-warnings", markup=False)
            with Container(id="compare-panes"):
                with Vertical(id="compare-certified"):
                    yield Notice("not compared", id="compare-obstacle")
                    yield EpsLine(self.choose_eps, id="compare-line")
                    with Container(id="compare-rates"):
                        yield Static(id="compare-accuracy", markup=False)
                        charts = (
                            Chart(id=name, pick=self.pick_eps, turn=self.action_move)
                            for name in ("compare-curve", "compare-gap")
                        )
                        yield Panel(*charts, id="compare-curve-panel")
                with Container(id="compare-lists"):
                    with Vertical(id="compare-layers-side", classes="panel"):
                        yield LongList(id="compare-layers")
                    with Vertical(id="compare-images-panel", classes="panel"):
                        yield LongList(id="compare-images")
            yield FoldBar("#compare-lists", "left", "layers")
            yield FoldBar("#compare-certified", "right", "certified")

    # What is shown

    def show(self, state: State) -> None:
        """Show another state of the first model, or of the second."""
        other = self.other
        self.query_one("#compare-alone", Notice).show(ALONE if other is None else "")
        self.query_one("#compare-content").display = other is not None
        if other is None:
            return
        self.query_one("#compare-files", Drawn).show(
            lambda width, height: Content("\n").join(
                lines.verdict_line(letter, one, width) for letter, one in (("A", state), ("B", other))
            )
        )
        said = lines.warnings(state, other)
        words = self.query_one("#compare-warnings", Static)
        words.update(said)
        words.display = bool(said)
        self.query_one("#compare-obstacle", Notice).show(lines.obstacle(state, other))
        pairs = lines.pairs_of(state, other)
        if pairs != self._every or not pairs:
            self._every = pairs
            self._again()
        certificates = (state.results.certificates, other.results.certificates)
        if not same(certificates, self._certificates):
            self._certificates = certificates
            a, b = certificates
            comparable = a is not None and b is not None and not objection(a, b)
            self._common = shared(a, b) if comparable and a is not None and b is not None else None
            self.refresh_bindings()
            self.show_eps()

    def _again(self) -> None:
        found = lines.differences(self._every, self._quantity, alike=self._unfolded)
        self._lines = found = sorted(found, key=lambda line: line.rank) if self._sorted else found
        layers = self.query_one("#compare-layers", LongList)
        layers.show(
            len(found),
            lambda place, width: lines.difference_line(found[place], width),
            lines.heading,
            place=max(layers.place, 0),
        )
        side, every = self.query_one("#compare-layers-side"), self._every
        alone = sum(pair.first is None or pair.second is None for pair in every)
        also = f", {alone:,} in one model only" if alone else ""
        differ = sum(map(lines.differs, every))
        title = f"{differ:,} of {counted(len(every), 'layer')} differ{also}"
        side.border_title = title if every else "layers, once both models have their bounds"
        what = "" if self._quantity is None else f"{lines.LABELS[self._quantity]} alone, "
        side.border_subtitle = what + ("largest difference first" if self._sorted else "forward order")
        self.say_folded(left=f"{differ:,} differ")

    def show_eps(self) -> None:
        """Counts and plots at the radius chosen."""
        first, second = self._certificates
        common = self._common
        accuracy = self.query_one("#compare-accuracy", Static)
        said = lines.accuracy_lines(first, second, self.eps, self.listed)
        accuracy.set_class(first is None and second is None, "-absent")
        self.set_class(common is None, "-apart")
        if common is None or first is None or second is None:
            accuracy.update("\n".join(said))
            self.remove_class("-enlarged")
            self.say_folded(right="not compared")
            return
        word = verdict_words(first, second)[0]
        accuracy.update("\n".join([*said, *lines.shared_lines(common, self.eps, word)]))
        counts = common.counts(self.eps)
        alone = f"only A {counts.only_first:,}, only B {counts.only_second:,}"
        self.say_folded(right=alone)
        self.query_one(EpsLine).say(self.eps, alone)
        self.query_one("#compare-curve-panel").border_title = f"{word} at every eps"
        for chart, drawing in zip(self.query(Chart), drawings(first, second, self.eps), strict=True):
            chart.show(drawing)
        self._only = only = common.only(self.eps, self._which)
        names = first.classes or second.classes
        self.query_one("#compare-images", LongList).show(
            len(only), lambda place, width: lines.image_line(common, int(only[place]), names, width),
            lambda width: harmless(lines.IMAGE_HEADING, width),
        )  # fmt: skip
        panel = self.query_one("#compare-images-panel")
        panel.border_title = f"{len(only):,} {word} {lines.WHICH[self._which]}"
        panel.border_subtitle = "largest difference of radii first"

    @property
    def certificates(self) -> Certificates | None:
        """The radii of the first model, where they can be held against those of the second."""
        return self._certificates[0] if self._common is not None else None

    def focus_main(self) -> None:
        """Put the focus where the keys of this screen work."""
        focus(next((one for one in self.query(LongList) if one.is_on_screen and one.size.height), self))

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a second model there is nothing to compare; without common radii there is no eps."""
        if action in {"quantity", "sort", "unfold"} and self.other is None:
            return False
        return super().check_action(action, parameters)

    def action_quantity(self) -> None:
        """Compare the next quantity alone; after the last one all."""
        self._quantity = next_of([None, *lines.LABELS], self._quantity)
        self._again()

    def action_sort(self) -> None:
        """The largest difference first, or the forward order again."""
        self._sorted = not self._sorted
        self._again()

    def action_unfold(self) -> None:
        """List the layers that are alike as well, or only those that differ."""
        self._unfolded = not self._unfolded
        self._again()

    def action_which(self) -> None:
        """List the images that the other model alone certifies."""
        self._which = next_of(list(lines.WHICH), self._which)
        self.show_eps()

    @on(LongList.Entered)
    def action_enter(self) -> None:
        """The image or, as A has it, the layer under the cursor; where the focus is on no list, the curves in full."""
        images, layers = self.query_one("#compare-images", LongList), self.query_one("#compare-layers", LongList)
        line = layers.under(self._lines)
        if is_focused(images) and self._common is not None and 0 <= images.place < len(self._only):
            self.post_message(Goto("images", int(self._common.index[self._only[images.place]])))
        elif is_focused(layers) and line is not None and line.pair.first is not None:
            self.post_message(Goto("layers", line.pair.name))
        elif not is_focused(images) and not is_focused(layers):
            self.action_enlarge()

    def action_enlarge(self) -> None:
        """Give both curves the whole screen, or take it back."""
        if self._common is None:
            return
        self.toggle_class("-enlarged")
        self.call_after_refresh(self.focus_main)

    def step_back(self) -> bool:
        """Close the entry, or take the screen back from the curves; False when there is nothing to undo."""
        if super().step_back():
            return True
        if enlarged := self.has_class("-enlarged"):
            self.action_enlarge()
        return enlarged

    # Export

    def sheet(self) -> Sheet:
        """The layers as shown, and what is certified."""
        if self.other is None:
            return Sheet(facts={"notice": ALONE})
        shown = {line.pair.name: line.pair for line in self._lines}
        return lines.compare_sheet(self.state, self.other, shown.values(), self.eps)

    def cells(self) -> Cells:
        """The numbers of the line under the cursor of the list in focus."""
        images = self.query_one("#compare-images", LongList)
        common = self._common
        if is_focused(images) and common is not None and 0 <= images.place < len(self._only):
            row = int(self._only[images.place])
            radii = (float(radius) if radius >= 0 else "wrong" for radius in (common.first[row], common.second[row]))
            a, b = (radius_column(one, f"radius by {name}") for one, name in zip(self._certificates, "ab", strict=True))
            found = dict(zip((a, b), radii, strict=True))
            return {"image": int(common.index[row]), **found, "label": int(common.label[row])}
        line = self.query_one("#compare-layers", LongList).under(self._lines)
        if self.other is None or line is None:
            return {}
        return lines.compare_sheet(self.state, self.other, [line.pair], self.eps).rows[0]
