"""``python -m`` this: the process of one isolated detector of a site pipeline."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from sightline.runtime.frames.detecting import Detecting
from sightline.runtime.frames.detector_process import serve
from sightline.runtime.frames.site_detectors import built_detector
from sightline.runtime.frames.site_plan import make_site_plan


def build(recipe: Mapping[str, Any]) -> Detecting:
    """The detector that ``site_detectors`` describes, built as it would be without a process."""
    plan = make_site_plan(recipe["site"], where="pipeline", folder=Path(recipe["folder"]))
    return built_detector(plan, plan.cameras[recipe["camera"]], recipe["detector"])


if __name__ == "__main__":
    cv2.setNumThreads(1)  # further threads are set in the environment, before any import
    serve(int(sys.argv[1]), int(sys.argv[2]), build=build)
