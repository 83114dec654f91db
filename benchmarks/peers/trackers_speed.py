"""ByteTrack of Roboflow's ``trackers`` at its defaults, timed update by update.

``python -m benchmarks.peers.trackers_speed CROWD.npz`` answers each line ``FIRST END`` on standard
input with one JSON line: times of ``update`` alone, and how many tracks it gave.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main(path: Path) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # Only .venv-peers has these packages, and test collection reads every module.
    import supervision  # type: ignore[import-not-found]  # noqa: PLC0415
    import trackers  # type: ignore[import-not-found]  # noqa: PLC0415

    tracker = trackers.ByteTrackTracker()
    with np.load(path, allow_pickle=False) as file:
        box_px, score, begins = file["box_px"], file["score"], file["begins"]
    frames = [
        supervision.Detections(
            xyxy=box_px[first:end],
            confidence=score[first:end],
            class_id=np.zeros(end - first, int),
        )
        for first, end in itertools.pairwise(begins)
    ]
    say({"version": importlib.metadata.version("trackers")})
    for line in sys.stdin:
        first, end = map(int, line.split())
        update_ms, tracks = [], []
        for detections in frames[first:end]:
            start_s = time.perf_counter()
            found = tracker.update(detections)
            update_ms.append(1000 * (time.perf_counter() - start_s))
            tracks.append(int((found.tracker_id >= 0).sum()))
        say({"update_ms": update_ms, "tracks": tracks})


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
