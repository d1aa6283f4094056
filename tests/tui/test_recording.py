"""The script that records the app for the README."""

from __future__ import annotations

import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

from lipscope.tui.app import InspectApp
from tests.tui.conftest import write_radii

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "recording.py"))
SVG = "{http://www.w3.org/2000/svg}"


async def test_every_screen_is_seen_once_and_lines_are_stored_once(model, script):
    write_radii(model)
    found = await SCRIPT["record"](InspectApp(model, analyse=script), "$ lipscope inspect", (100, 30))
    drawn = SCRIPT["animated"](found)
    root = ET.fromstring(drawn)
    lines = {f"#{group.get('id')}": "".join(group.itertext()) for group in root.findall(f"{SVG}defs/{SVG}g")}
    assert len(set(map(ET.tostring, root.findall(f"{SVG}defs/{SVG}g")))) == len(lines)
    frames = [
        "\n".join(lines[use.get("href")] for use in group.findall(f"{SVG}use")).replace("\xa0", " ")
        for group in root.findall(f"{SVG}g")
    ]
    assert len(frames) == len(found.frames)
    assert all(frame.count("\n") == 29 for frame in frames)
    assert "YES, PROVED" in frames[found.still]
    assert any("36/255" in frame for frame in frames[found.still :])
    # Each picture is visible from where the one before it ends.
    parts = re.findall(r"@keyframes k\d+\{.*?([\d.]+)%\{visibility:visible\}([\d.]+)%", drawn)
    assert [start for start, _ in parts[1:]] == [end for _, end in parts[:-1]]
    assert (float(parts[0][0]), float(parts[-1][1])) == (0, 100)
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
