"""A whole report of one model: every number that the screens show, as Markdown, and with their pictures as HTML."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipscope.tui.dialogs.formats import free_path, write
from lipscope.tui.numerals import rate_text
from lipscope.tui.overview.answers import answer, chain, places_line, warnings
from lipscope.tui.panes import Sheet
from lipscope.tui.registry import SCREENS
from lipscope.tui.results import verdict_words
from lipscope.tui.work.state import State
from lipscope.units import DEFAULT_EPS, format_eps
from lipscope.version import __version__
from lipscope.visible import counted, harmless

if TYPE_CHECKING:
    from textual.screen import Screen

    from lipscope.tui.dialogs.app import DialogApp

LAID_OUT = 3
"""Rounds in which every widget works off what it was told: its new size, what it shows then, and what that moves."""

LONGEST_WAIT = 10.0
"""Seconds for a round, in case that a widget is removed meanwhile."""

MOST_ROWS = 200
"""Of a table; the images of a test set are not listed one by one."""

STYLE = (
    "body{font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;font-size:.85em}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}"
    "svg{max-width:100%;height:auto}pre{white-space:pre-wrap}"
)


@dataclass(frozen=True)
class Part:
    """One screen."""

    title: str  # of it
    sheet: Sheet  # its numbers
    picture: str  # of it, as SVG


def head(state: State) -> list[str]:
    """The two answers, the chain, what to worry about; a line each."""
    said = answer(state)
    lines = [f"verdict: {said.words}", said.sentence, said.reason, places_line(chain(state), 200)]
    certificates = state.results.certificates
    if certificates is not None:
        total = len(certificates)
        shares = (f"{format_eps(eps)}: {rate_text(certificates.certified_count(eps), total)}" for eps in DEFAULT_EPS)
        stale = "OF ANOTHER MODEL " if state.stale else ""
        lines.append(
            f"{verdict_words(certificates)[0]} {stale}beyond " + ", ".join(shares) + f" of {counted(total, 'image')}"
        )
    lines += [f"warning: {text}" for text, _ in warnings(state)]
    return [line for line in lines if line]


def table_rows(sheet: Sheet) -> list[tuple[str, ...]]:
    """Column names and rows, without columns in which nothing is known; every digit: fewer could break a bound."""
    rows = sheet.rows[:MOST_ROWS]
    names = tuple(name for name in sheet.columns if any(row[name] is not None for row in rows))
    return [names, *(tuple("" if row[name] is None else harmless(row[name], 1000) for name in names) for row in rows)]


def markdown_row(cells: Sequence[str]) -> str:
    r"""One line of a table.

    >>> markdown_row(("a", "b|c"))
    '| a | b\\|c |'
    """
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"


def latex_row(cells: Sequence[str]) -> str:
    r"""One line of a tabular.

    >>> latex_row(("a_1", "50%"))
    'a\\_1 & 50\\% \\\\'
    """
    return " & ".join(re.sub(r"([&%$#_{}])", r"\\\1", cell) for cell in cells) + r" \\"


def as_markdown(state: State, parts: Sequence[Part]) -> str:
    """Words and tables."""
    lines = [
        f"# {harmless(state.header.path.name)}",
        "",
        f"lipscope {__version__}, SHA-256 {state.sha256 or 'unknown'}",
    ]
    lines += ["", *(f"- {line}" for line in head(state))]
    for part in parts:
        if part.sheet.rows:
            names, *rows = table_rows(part.sheet)
            lines += ["", f"## {part.title}", "", markdown_row(names), markdown_row(["---"] * len(names))]
            lines += [markdown_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def as_html(state: State, parts: Sequence[Part]) -> str:
    """Words, pictures and tables in one file that needs no other."""
    name = html.escape(harmless(state.header.path.name))
    out = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title><style>{STYLE}</style><h1>{name}</h1>"
    ]
    out.append(f"<p>lipscope {__version__}, SHA-256 <code>{state.sha256 or 'unknown'}</code></p><ul>")
    out += [f"<li>{html.escape(line)}</li>" for line in head(state)]
    out.append("</ul>")
    for part in parts:
        # The pictures name a font on the web; without it they are drawn in the reader's own.
        picture = re.sub(r"@font-face\s*\{[^}]*\}", "", part.picture)
        out += [f"<h2>{html.escape(part.title)}</h2>", picture]
        if part.sheet.rows:
            names, *rows = table_rows(part.sheet)
            out.append("<details><summary>numbers</summary><table><tr>")
            out += [f"<th>{html.escape(name)}</th>" for name in names]
            out += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
            out.append("</table></details>")
    return "\n".join([*out, "</html>"]) + "\n"


async def laid_out(screen: Screen[object]) -> None:
    """Wait until everything on a screen has its place and shows what it was told to show."""
    for _ in range(LAID_OUT):
        told = []
        for widget in (screen, *screen.walk_children()):
            done = asyncio.Event()
            if widget.call_after_refresh(done.set):
                told.append(asyncio.create_task(done.wait()))
        await asyncio.wait(told, timeout=LONGEST_WAIT)


async def report_parts(app: DialogApp) -> list[Part]:
    """What the screens show that have something to show, the test images apart; the one in front stays."""
    front, parts = app.front_id, []
    for screen in SCREENS:
        if screen.id not in ("images", *(one for one in ("training", "compare") if app.absent(one))):
            await app.action_show_tab(screen.id)
            await laid_out(app.screen)
            pane = app.front
            sheet = pane.sheet() if pane is not None else Sheet()
            parts.append(Part(screen.title, sheet, app.export_screenshot(title=screen.title)))
    await app.action_show_tab(front)
    return parts


async def write_report(app: DialogApp) -> None:
    """Write a whole report into the working directory, as Markdown and as HTML, and say where."""
    parts = await report_parts(app)
    for ending, text in (("md", as_markdown(app.state, parts)), ("html", as_html(app.state, parts))):
        path = free_path(Path(), app.state.header.path, "report", ending)
        if complaint := write(path, text):
            app.notify(complaint, title="report", severity="error", markup=False)
            return
        app.notify(harmless(path.absolute(), 120, keep="end"), title="report", markup=False)
