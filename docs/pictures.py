"""Draw the pictures of the README: the app on a checkpoint, screen by screen, as SVG.

python docs/pictures.py checkpoints/MODEL.safetensors
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from lipscope.spectra.analysis import analyse
from lipscope.tui.app import InspectApp

SIZE = (120, 36)
SCREENS = {"2": "layers.svg", "3": "radii.svg"}
LAYER = 3
"""Rows down to the layer whose spectrum is shown."""


async def draw(model: Path, folder: Path) -> None:
    """Run the app to the end of its analysis and save each screen."""
    app = InspectApp(model, analyse=analyse)
    async with app.run_test(size=SIZE) as pilot:
        while app.state.phase.active:
            await pilot.pause(0.2)
        for key, name in SCREENS.items():
            await pilot.press(key)
            await pilot.pause(0.5)
            if name == "layers.svg":
                await pilot.press(*["down"] * LAYER)
                await pilot.pause(0.5)
            (folder / name).write_text(app.export_screenshot(title=f"lipscope inspect {model}"), encoding="utf-8")
            print(folder / name)


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]), Path(__file__).parent))
