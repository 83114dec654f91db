"""Makes ``review.png``: the review view of a run of the simulated line.

    python docs/pictures/make_review_picture.py [OUT.png]

Needs the extra ``dev`` and chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from sightline.apps.inspection import LineFaults, LineScene, write_line
from sightline.apps.inspection.line_scene import STATIONS, LineCamera
from sightline.console.access import Access
from sightline.console.console import Console
from sightline.console.reviewing import ReviewView
from sightline.console.serving import ConsoleServer
from sightline.evidence.inspection.training import open_backbone, train_inspector
from sightline.perceive.inspection.learning import InspectionSettings
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.sense import MemorySource
from sightline.sense.frames.part_pictures import find_part_pictures

SIZE_PX = {"width": 1120, "height": 720}


def main(out: Path) -> None:
    """Simulate, train, run, serve, look."""
    scene = LineScene(parts=40, seed=3, faults=LineFaults(defects=0.15))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_line(scene, folder, training=200)
        train_inspector(
            find_part_pictures(folder / "train"),
            folder / "inspector",
            backbone=open_backbone("handcrafted"),
            settings=InspectionSettings(simulated_per_picture=1),
            labels="none",
            false_reject_rate=0.05,
            data_licence="simulated",
        )
        run = folder / "run"
        run_pipeline(
            load_plan(folder / "line.yaml"),
            {
                "process": MemorySource("process", {"process": scene.rows}),
                **{camera: LineCamera(scene, camera) for camera in STATIONS},
            },
            run,
            options=RunOptions(),
        )
        view = ReviewView(lambda: RunDirectory.open(run))
        console = Console(RunDirectory.open(run), refresh_s=60, review=view)
        access = Access.of(host="127.0.0.1", token=None)
        with ConsoleServer(console, access) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport=SIZE_PX)  # type: ignore[arg-type]
            page.goto(f"{server.url}review")
            page.get_by_label("Your name").fill("Ana")
            page.get_by_role("button", name="Answer as this").click()
            page.wait_for_load_state("networkidle")
            page.keyboard.press("p")
            box = page.locator(".review canvas").first.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 90, box["y"] + 90)
            page.mouse.down()
            page.mouse.move(box["x"] + 140, box["y"] + 120, steps=8)
            page.mouse.up()
            page.screenshot(path=str(out))
            browser.close()
        view.close()


if __name__ == "__main__":
    default = Path(__file__).with_name("review.png")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
