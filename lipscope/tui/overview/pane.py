"""Overview: is it 1-Lipschitz, and what does that prove?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Digits, Static

from lipscope.tui.keys.bindings import bindings_of
from lipscope.tui.numerals import rate_text
from lipscope.tui.overview import answers
from lipscope.tui.overview.facts import sources, unknowable
from lipscope.tui.panes import Cells, Goto, Sheet
from lipscope.tui.plots.bands import CERTIFIED, NOT, WRONG, band_bar, counts, sure_style
from lipscope.tui.results import results_notice, verdict_words
from lipscope.tui.widgets.at_eps import EpsPane
from lipscope.tui.widgets.drawn import Drawn
from lipscope.tui.widgets.eps_line import EpsLine
from lipscope.tui.widgets.eps_table import EpsTable
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.notice import Notice, error_facts
from lipscope.tui.widgets.panel import Panel
from lipscope.tui.work.state import State
from lipscope.units import format_eps
from lipscope.visible import counted, harmless

if TYPE_CHECKING:
    from lipscope.records.certificates import Certificates

NEXT = (
    "[@click=app.show_tab('layers')][b]2[/b] Layers[/]  [@click=app.show_tab('radii')][b]4[/b] Radii[/]  "
    "[@click=app.help][b]?[/b] help[/]"
)

CHAIN = (
    "● is proved: the most that a change can grow on the way from one place to the next. "
    "~ is an estimate: the share of its bound that the layer losing most passes back of a gradient's norm."
)

HUGE = 48
"""Lines from which on the shares at every eps and of every class are drawn too."""


def chain_lines(state: State, width: int) -> Content:
    """From pixels to logits in one line, and under it the layers one by one in one or two."""
    places = answers.chain(state)
    if not places:
        return Content.styled("the chain is known when the bounds are proved", "$foreground 60%")
    cells = max(min((width - 60) // 2, 40), 8)
    bars, said = answers.bound_strip(state, cells)
    kept, told = answers.gradient_strip(state, cells)
    layers = Content.assemble(("per layer ", "$foreground 60%"), *bars, f" {said}   ")
    gradient = Content.assemble(("gradient kept ", "$foreground 60%"), *kept, f" {told}") if kept else Content("")
    first = Content.styled(answers.places_line(places, width), "bold")
    if layers.cell_length + gradient.cell_length <= width:
        return Content("\n").join([first, Content.assemble(layers, gradient)])
    return Content("\n").join([first, layers, gradient])


def shares_bar(certificates: Certificates, eps: Fraction, width: int) -> Content:
    """The three shares at eps as a bar over the width there is, and in words under it."""
    shares, total = counts(certificates, eps), len(certificates)
    word, style = verdict_words(certificates)
    gap = "  " if width >= 43 else " "
    words = Content.assemble(
        (f"{CERTIFIED} {word if width >= 40 else 'cert.'}{gap}", style),
        (f"{NOT} {rate_text(shares[1], total)} not{gap}", "$text-warning"),
        (f"{WRONG} {rate_text(shares[2], total)} wrong", "$text-error"),
    )
    bar = band_bar(*shares, max(width, 10), sure_style(certificates))
    return Content("\n").join([Content.assemble(*bar), words])


class OverviewPane(EpsPane):
    """The first screen."""

    BINDINGS = bindings_of("Overview")

    MOVING = "#overview-scroll"

    _warnings: Sequence[tuple[str, Goto | None]] = ()
    _labels: Sequence[int] = ()  # of the classes that are listed

    def compose(self) -> ComposeResult:
        """Two answers, the chain between them, the radii of the literature, what to worry about; last the file."""
        with VerticalScroll(id="overview-scroll", can_focus=False):
            yield Notice("the analysis failed", id="overview-failure")
            with Container(id="answers"):
                with Panel(id="is-it", title="IS IT 1-LIPSCHITZ?"):
                    yield Static(id="verdict", markup=False)
                with Panel(id="proves", title="WHAT DOES IT PROVE?"):
                    yield EpsLine(self.choose_eps, id="overview-eps")
                    yield Digits(id="overview-digits")
                    yield Drawn(id="overview-bar")
                    yield Notice("", id="overview-results")
            strip = Drawn(id="chain-strip")
            strip.tooltip = CHAIN
            yield Panel(strip, id="chain", title="pixels to logits")
            yield Notice("what cannot be known", id="unknowable")
            with Container(id="overview-below"):
                with Panel(id="overview-table"):
                    yield EpsTable(self.choose_eps, id="overview-accuracy")
                with Vertical(id="overview-worries", classes="panel"):
                    yield LongList(id="overview-warnings")
                    yield Static(NEXT, id="overview-next")
            with Container(id="overview-file"):
                with Vertical():
                    yield Notice("recomputed by lipscope", id="recomputed")
                    yield Notice("file", id="file")
                yield Notice("claimed by the file, not verified", id="claims")

    def show(self, state: State) -> None:
        """Show another state."""
        said = answers.answer(state)
        self.query_one("#overview-failure", Notice).show(error_facts(state.failure))
        box = self.query_one("#is-it")
        for status in answers.SIGNS:
            box.set_class(status == said.status, f"-{status}")
        words, style = f" {answers.SIGNS[said.status]} {said.words} ", answers.STYLES[said.status]
        lines = [Content.styled(words, f"bold {style} reverse")]
        lines += [Content(text) for text in (said.sentence,) if text]
        lines += [Content.styled(said.reason, "$foreground 60%")] if said.reason else []
        self.query_one("#verdict", Static).update(Content("\n").join(lines))
        self.query_one("#chain-strip", Drawn).show(lambda width, height: chain_lines(state, width), layout=True)
        self.query_one("#chain").display = bool(answers.chain(state)) or state.modelled
        for notice, facts in zip(
            self.query("#overview-file Notice").results(Notice), sources(state).values(), strict=True
        ):
            notice.show(facts)
        self.query_one("#unknowable", Notice).show(unknowable(state))
        self.query_one("#overview-results", Notice).show(results_notice(state))
        found = answers.warnings(state)
        if [text for text, _ in found] != [text for text, _ in self._warnings] or not self._warnings:
            self._warnings = found
            heading, sign = counted(len(found), "warning"), ("! ", "$text-warning bold")
            self.query_one(LongList).show(
                len(found), lambda place, width: [sign, (harmless(found[place][0], width - 2), "")],
                lambda width: [(heading if found else "no warnings", "$text-warning" if found else "$foreground 60%")],
            )  # fmt: skip
            self.query_one(LongList).can_focus = bool(found)
        self.show_eps()

    def show_eps(self) -> None:
        """What is certified at the radius chosen."""
        certificates = self.certificates
        # Not on the pane: a class costs a look at the styles of everything below it.
        self.query_one("#answers").set_class(certificates is None, "-unknown")
        self.query_one("#overview-table").display = certificates is not None
        if certificates is None:
            return
        shares = counts(certificates, self.eps)
        total = len(certificates)
        rate = rate_text(shares[0], total)
        word, style = verdict_words(certificates)
        digits = self.query_one(Digits)
        digits.update(rate)
        digits.set_class(word == "claimed", "-claimed")
        self.query_one(EpsLine).say(self.eps, f"{rate} {word}", style=style)
        eps = self.eps
        self.query_one("#overview-bar", Drawn).show(lambda width, height: shares_bar(certificates, eps, width))
        self.query_one(EpsTable).show(certificates, self.eps, self.listed)
        self._draw_more(certificates)
        about = " of ANOTHER model" if self.state.stale else ", per cent"
        self.query_one("#overview-table").border_title = f"{word} accuracy{about}"

    def _draw_more(self, certificates: Certificates) -> None:
        """Where there is much room: the shares at every eps, and those of every class, the least certified first."""
        if not self.has_class("-huge"):
            return
        from lipscope.tui.radii.area import area_drawing  # numpy, which the first paint does without
        from lipscope.tui.radii.classes import class_heading, class_line, class_rows
        from lipscope.tui.widgets.chart import Chart

        if not self.query("#overview-area"):
            self.query_one("#overview-worries").mount(LongList(id="overview-classes"), before="#overview-next")
            self.query_one("#overview-table").mount(
                Chart(id="overview-area", pick=self.pick_eps, turn=self.action_move)
            )
        self.query_one("#overview-area", Chart).show(area_drawing(certificates, self.eps))
        rows = sorted(class_rows(certificates, self.eps), key=lambda row: row.certified / row.images)
        sure, word = sure_style(certificates), verdict_words(certificates)[0]
        self._labels = [row.label for row in rows]
        self.query_one("#overview-classes", LongList).show(
            len(rows), lambda place, width: class_line(rows[place], width, sure),
            lambda width: class_heading(width, word),
        )  # fmt: skip

    @on(LongList.Entered, "#overview-classes")
    def _class_pressed(self, message: LongList.Entered) -> None:
        """The images of a class."""
        from lipscope.tui.images.choice import Choice

        self.post_message(Goto("images", Choice(label=self._labels[message.place], eps=self.eps)))

    def on_resize(self, event: events.Resize) -> None:
        """There may be more room."""
        self.set_class(event.size.height >= HUGE, "-huge")
        self.show_eps()

    def on_click(self, event: events.Click) -> None:
        """Where what is in the panel under the mouse comes from."""
        inside = event.widget.ancestors_with_self if event.widget is not None else ()
        panel = next((one.id for one in inside if isinstance(one, Panel)), None)
        if panel in ("is-it", "proves", "chain"):
            self._lead(panel)

    def _lead(self, panel: str | None) -> None:
        """Where what is in a panel comes from."""
        self.post_message(
            Goto({"proves": "radii", "overview-table": "radii", "chain": "gradients"}.get(panel or "", "layers"))
        )

    @on(LongList.Entered, "#overview-warnings")
    def action_cause(self) -> None:
        """The row that a warning is about, or what the panel in focus comes from; without either, the layers."""
        place, focused = self.query_one(LongList).place, self.app.focused
        if isinstance(focused, Panel) or not 0 <= place < len(self._warnings):
            self._lead(focused.id if isinstance(focused, Panel) else None)
        elif (cause := self._warnings[place][1]) is not None:
            self.post_message(Goto(cause.screen, cause.to))

    def sheet(self) -> Sheet:
        """The facts: who says them, their label and their text."""
        state, line = self.state, answers.answer(self.state)
        said = {"verdict": [(line.text, line.reason)], **sources(state)}
        return Sheet(
            [{"source": who, "fact": fact, "value": value} for who, facts in said.items() for fact, value in facts]
        )

    def cells(self) -> Cells:
        """The verdict, what tells one file from another, and what is certified at eps."""
        state, certificates = self.state, self.certificates
        line, verdict = answers.answer(state), state.verdict
        proof = None
        if certificates is not None:
            rate = rate_text(certificates.certified_count(self.eps), len(certificates))
            proof = f"{rate} {verdict_words(certificates)[0]} at {format_eps(self.eps)}"
        known = verdict is not None and line.status in ("proved", "bounded")
        return {
            "verdict": line.text, "reason": line.reason,
            "lipschitz (proved upper bound)": verdict.lipschitz if verdict is not None and known else None,
            "sha256": state.sha256, "path": str(state.header.path), "proof": proof,
        }  # fmt: skip
