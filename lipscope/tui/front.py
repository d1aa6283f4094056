"""The part of the app that brings screens to the front: each is made when it first is, and shown what it missed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import islice

from textual import on
from textual.app import App
from textual.widgets import TabbedContent, TabPane

from lipscope.tui.panes import Goto, Pane
from lipscope.tui.registry import SCREENS, ScreenEntry, entry
from lipscope.tui.settings import Remembered
from lipscope.tui.widgets.fold import FoldBar
from lipscope.tui.widgets.tabs import ScreenTabs
from lipscope.tui.work.pauses import Precedence
from lipscope.tui.work.session import Session
from lipscope.tui.work.state import State
from lipscope.units import DEFAULT_EPS


class FrontApp(App[None]):
    """What the screens need of the app."""

    session: Session
    other: Session | None
    _precedence: Precedence
    _remembered: Remembered

    def __init__(self) -> None:
        super().__init__()
        self._screen_id = SCREENS[0].id  # what the next session begins with
        self._came_from: list[str] = []
        self._folds: dict[str, bool] = {}
        self._making = asyncio.Lock()
        self._behind: set[Pane] = set()  # that were not shown the newest state

    @property
    def state(self) -> State:
        """What is known of the file."""
        return self.session.state

    @property
    def _open(self) -> bool:
        """Whether there is a screen to work on: a timer or a callback may come after the user has quit."""
        return bool(self.screen_stack) and self.screen_stack[0].is_attached

    @property
    def _radii(self) -> tuple[Fraction, ...]:
        """What tables list: the radii of the literature and those that were typed."""
        return tuple(sorted({*DEFAULT_EPS, *self._remembered.radii}))

    def _show_front(self) -> None:
        """Let the screen in front show what it does not show yet; keys wait for none of the others."""
        front = self.front
        if front is not None:
            front.take_eps(self._remembered.eps, self._radii)
        if front is not None and front in self._behind:
            self._behind.remove(front)
            front.state, front.other = self.state, self.other.state if self.other is not None else None
            with self._precedence.first():
                front.show(front.state)

    def _panes(self) -> Iterable[Pane]:
        """The screens that are complete."""
        tabs = self.screen_stack[0].query(TabPane)
        return (pane for tab in tabs for pane in tab.children if isinstance(pane, Pane) and pane.is_mounted)

    @property
    def front_id(self) -> str:
        """The id of the screen in front."""
        return self._tabs.active

    @property
    def _tabs(self) -> ScreenTabs:
        return self.screen_stack[0].query_one(ScreenTabs)

    @property
    def front(self) -> Pane | None:
        """The screen in front, once it is complete."""
        tab = self._tabs.active_pane
        return next((pane for pane in self._panes() if pane.parent is tab), None)

    def _focus_main(self) -> None:
        if (front := self.front) is not None:
            front.focus_main()

    def _made(self, screen: ScreenEntry) -> Pane:
        return screen.load()(self.state, id=f"{screen.id}-pane", eps_moved=self._eps_moved)

    async def _make_front(self) -> None:
        """Make the screen in front, where it was never there before."""
        async with self._making:
            tab = self._tabs.active_pane
            if tab is None or tab.id is None or not self._open or self.front is not None:
                return
            pane = self._made(entry(tab.id))
            await tab.mount(pane)
            self._behind.add(pane)
            for name, folded in {**self._remembered.folds, **self._folds}.items():
                for bar in pane.query(FoldBar):
                    if name == f"{pane.id}.{bar.side}":
                        bar.fold(folded)
            self._show_front()

    def _eps_moved(self, by: Pane, eps: Fraction, listed: bool | None) -> None:
        """The screen takes it at once, another one when it comes to the front."""
        left = replace(self._remembered, eps=eps)
        self._remembered = left if listed is None else left.listed(eps, there=listed)
        by.take_eps(eps, self._radii)

    @on(Goto)
    async def _goto(self, message: Goto) -> None:
        came_from = [*self._came_from, self._tabs.active]
        await self.action_show_tab(message.screen)
        self._came_from = came_from
        if (front := self.front) is not None:
            front.lead(message.to)
            front.focus_main()

    @on(TabbedContent.TabActivated)
    async def _tab_activated(self) -> None:
        if self._open:
            self._screen_id = self._tabs.active
            self._tabs.label(self.size.width)
            await self._make_front()
            self._show_front()
            front = self.front
            if self.focused is None or front not in self.focused.ancestors:  # an entry may be open in there by now
                self._focus_main()

    async def action_show_tab(self, tab: str) -> None:
        """Bring a screen to the front."""
        self._came_from = []
        self._tabs.active = tab
        await self._make_front()
        self._show_front()
        self._focus_main()  # not when the message of the change arrives: the next key may come before it

    async def action_front(self, name: str, *parameters: object) -> None:
        """An action of the screen in front: what is pressed with the mouse asks for it."""
        if self.front is not None:
            await self.run_action(("", name, parameters), self.front)

    async def action_back(self) -> None:
        """Step out: first inside the screen in front, then to the one that led here, then to the first."""
        front = self.front
        if front is not None and front.step_back():
            return
        came_from = self._came_from
        await self.action_show_tab(came_from.pop() if came_from else SCREENS[0].id)
        self._came_from = came_from

    def action_fold(self, side: str) -> None:
        """Fold a pane of the screen in front, or unfold it; the other one unfolds rather than leave nothing to see."""
        front = self.front
        if front is not None:
            bars = list(front.query(FoldBar))
            for bar in bars:
                if bar.side == side:
                    bar.fold(not bar.folded)
            for bar in bars if all(bar.folded for bar in bars) else ():
                bar.fold(bar.side == side)
            self._folds |= {f"{front.id}.{bar.side}": bar.by_hand for bar in bars if bar.by_hand is not None}

    def absent(self, screen: str) -> bool:
        """Whether a screen has nothing to show yet: no layer, no second model, no run, no radii."""
        state = self.state
        layers = state.layers or state.header.tensors
        measured = any(report.gradient_norm for report in islice(state.layers.values(), 64))  # of up to 100,000
        radii = state.results.certificates is not None
        known = {"layers": layers, "gradients": measured, "radii": radii, "images": radii, "training": state.run}
        return not ({**known, "compare": self.other}.get(screen, True))
