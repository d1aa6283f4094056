"""Record the app in use as one animated SVG: the pictures that the app itself exports, one after another.

python docs/recording.py MODEL.safetensors

Lines that stay the same are stored once; only CSS moves, so that it plays where an SVG is shown as an image.
"""

from __future__ import annotations

import asyncio
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from lipscope.analysis.analysis import analyse
from lipscope.tui.app import InspectApp
from lipscope.tui.picture import quiet
from lipscope.tui.registry import SCREENS
from lipscope.tui.work.worker import Means

SIZE = (100, 30)
WIDTH, HEIGHT, BASELINE = 12.2, 24.4, 18.5
"""Of a character, in units of the pictures that Textual exports."""

FONTS = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"

KEYS: dict[str, tuple[str, ...]] = {"layers": ("v", "v"), "radii": ("right", "right", "y"), "gradients": ("down",)}
"""What is pressed on each screen, after its own key."""

SECONDS, FIRST, LONG = 1.3, 0.7, 2.8
"""How long a picture is shown: most of them, those of an app that has just begun, and a screen that has just come."""

MOST_OF_THE_ANALYSIS = 6
"""Pictures of it, however slow the machine is."""


@dataclass
class Recording:
    """Pictures with what was pressed before each; ``still`` is the one for readers that do not move."""

    frames: list[tuple[str, float, str]] = field(default_factory=list)
    still: int = 0

    def add(self, app: InspectApp, seconds: float, caption: str) -> None:
        """The app as it looks now."""
        self.frames.append((app.export_screenshot(), seconds, caption))


async def record(app: InspectApp, command: str, size: tuple[int, int] = SIZE) -> Recording:
    """Open the app, wait for the proofs, and walk through the screens that need no test images."""
    found = Recording()
    async with app.run_test(size=size) as pilot:
        found.add(app, FIRST, command)
        while app.state.verdict is None:
            await pilot.pause(FIRST)
            if len(found.frames) < MOST_OF_THE_ANALYSIS:
                found.add(app, FIRST, "every layer is bounded from the stored bytes")
        await quiet(app, pilot)
        for screen in SCREENS:
            if screen.id not in ("overview", *KEYS):
                continue
            await pilot.press(screen.key)
            await quiet(app, pilot)
            found.add(app, LONG, f"{screen.key}: {screen.tooltip}")
            if screen.id == "overview":
                found.still = len(found.frames) - 1
            for key in KEYS.get(screen.id, ()):
                await pilot.press(key)
                await quiet(app, pilot)
                found.add(app, SECONDS, f"{key}: {screen.tooltip}")
    return found


class Lines:
    """Every different line of the pictures, once."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.styles: dict[str, str] = {}

    def of(self, picture: str) -> list[str]:
        """The names of a picture's lines, from the top."""
        styles = dict(re.findall(r"\.terminal-\d+-(r\d+) \{ ([^}]*)\}", picture))
        boxes: dict[tuple[int, str], list[str]] = {}
        rows: dict[int, list[str]] = {}
        for element in ET.fromstring(picture).iter():
            place = float(element.get("y", -1))
            kind = element.tag.rpartition("}")[2]
            if kind == "rect" and element.get("shape-rendering"):
                box = f"M{element.get('x')} 0h{element.get('width')}v24.9h-{element.get('width')}z"
                boxes.setdefault((int(place / HEIGHT), element.get("fill", "")), []).append(box)
            elif kind == "text" and element.get("textLength") and element.text:
                style = styles[element.get("class", "").rpartition("-")[2]].replace("fill: #c5c8c6;", "").strip(" ;")
                # Blanks at either end become places: not every reader keeps them.
                text = element.text if "underline" in style else element.text.strip("\n\xa0")
                if text.strip("\n"):
                    length = float(element.get("textLength", 0)) - WIDTH * (len(element.text) - len(text))
                    start = float(element.get("x", 0)) + WIDTH * element.text.index(text)
                    rows.setdefault(int(place / HEIGHT), []).append(
                        f'<text class="{self._style(style)}" x="{start:.5g}" y="{BASELINE}" '
                        f'textLength="{length:.5g}">{escape(text)}</text>'
                    )
        for (row, fill), paths in boxes.items():
            rows.setdefault(row, []).insert(0, f'<path fill="{fill}" d="{"".join(paths)}"/>')
        return [self.names.setdefault("".join(rows[row]), f"l{len(self.names)}") for row in sorted(rows)]

    def _style(self, style: str) -> str:
        return self.styles.setdefault(style, f"s{len(self.styles)}")


def animated(recording: Recording, size: tuple[int, int] = SIZE) -> str:
    """One SVG of all pictures: each visible in its share of the time, over and over."""
    lines = Lines()
    total = sum(seconds for _, seconds, _ in recording.frames)
    groups, moves, start = [], [], 0.0
    for number, (picture, seconds, caption) in enumerate(recording.frames):
        before, after = (100 * moment / total for moment in (start, start + seconds))
        start += seconds
        shown = f"{before:.2f}%{{visibility:visible}}{after:.2f}%{{visibility:hidden}}"
        moves.append(f"@keyframes k{number}{{{'0%{visibility:hidden}' if before else ''}{shown}}}")
        moves.append(f"#f{number}{{animation-name:k{number}}}")
        uses = "".join(f'<use href="#{name}" y="{n * HEIGHT:.5g}"/>' for n, name in enumerate(lines.of(picture)))
        said = f'<text class="c" x="8" y="{(size[1] + 1) * HEIGHT + 4:.5g}">{escape(caption)}</text>'
        groups.append(f'<g id="f{number}" class="f">{uses}{said}</g>')
    width, height = size[0] * WIDTH, (size[1] + 1) * HEIGHT + 16
    styles = "".join(f".{name}{{{style.replace(': ', ':')}}}" for style, name in lines.styles.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 {width + 20:.5g} {height + 20:.5g}" role="img">'
        f"<title>lipscope in use</title><style>text{{font:20px {FONTS};white-space:pre}}{styles}"
        f".c{{fill:#ffc473}}.f{{visibility:hidden;animation:{total:.5g}s step-end infinite}}"
        f"#f{recording.still}{{visibility:visible}}{''.join(moves)}"
        "@media(prefers-reduced-motion:reduce){.f{animation:none}}</style>"
        f'<defs>{"".join(f"""<g id="{name}">{line}</g>""" for line, name in lines.names.items())}</defs>'
        f'<rect x="-10" y="-10" width="100%" height="100%" rx="10" fill="#0c0c0c"/>{"".join(groups)}</svg>\n'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    model = Path(sys.argv[1])
    target = Path(__file__).with_name("recording.svg")
    app = InspectApp(model, analyse=Means(analyse))
    target.write_text(animated(asyncio.run(record(app, f"$ lipscope inspect {model}"))), encoding="utf-8")
    print(target)
