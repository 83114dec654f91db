"""Makes ``console.png``: the page of a run of the gateway on a simulated constellation.

    python docs/pictures/make_console_picture.py [OUT.png]

Needs the extra ``dev`` and chromium. The run has ended; so that the picture has the buttons of one
that goes on, its folder is marked as one that takes operator inputs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from sightline.apps.gateway import PIPELINE, simulate, watched_scene
from sightline.console.access import Access
from sightline.console.console import Console
from sightline.console.serving import ConsoleServer
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.sense import MemorySource

SIZE_PX = {"width": 1120, "height": 1000}


def main(out: Path) -> None:
    """Simulate, run, serve, look."""
    frames = simulate(watched_scene(seed=0, n_satellites=16, duration_s=855))
    contacts = {
        "control": "contacts",
        "source": "telemetry",
        "contacts": frames.contacts.to_dicts(),
    }
    with tempfile.TemporaryDirectory() as folder:
        run_pipeline(
            load_plan(PIPELINE),
            {
                "telemetry": MemorySource("telemetry", {"t": frames.telemetry}),
                "logs": MemorySource("logs", {"l": frames.logs}),
            },
            Path(folder) / "run",
            options=RunOptions(controls=(contacts,)),
        )
        (Path(folder) / "run" / "controls" / ".open").touch()
        console = Console(RunDirectory.open(Path(folder) / "run"), refresh_s=60)
        access = Access.of(host="127.0.0.1", token=None)
        with ConsoleServer(console, access) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport=SIZE_PX)  # type: ignore[arg-type]
            page.goto(server.url)
            page.screenshot(path=str(out))
            browser.close()


if __name__ == "__main__":
    default = Path(__file__).with_name("console.png")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
