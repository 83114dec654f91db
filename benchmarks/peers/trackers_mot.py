"""The five trackers of Roboflow's ``trackers`` on one file of detections, at their defaults.

``python -m benchmarks.peers.trackers_mot DETECTIONS.txt FOLDER`` writes one MOTChallenge file for
each into the folder and prints one JSON object. The only setting is that BoT-SORT does without its
camera-motion compensation: it would need the images. Rows without an id (not yet confirmed) are
left out. Times are those of ``update`` alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
_QUANTILES = {"p50": 50, "p95": 95, "p99": 99, "worst": 100}


def main(detections: Path, folder: Path) -> None:
    rows = np.loadtxt(detections, delimiter=",", ndmin=2)
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: run(make(), rows, folder / f"{name}.txt") for name, make in peers().items()}
    facts = {"version": importlib.metadata.version("trackers"), "trackers": found}
    sys.stdout.write(json.dumps(facts) + "\n")


def peers() -> dict[str, Callable[[], Any]]:
    """What makes each tracker."""
    # Only .venv-peers has this package, and test collection reads every module.
    import trackers  # type: ignore[import-not-found]  # noqa: PLC0415

    return {
        "sort": trackers.SORTTracker,
        "bytetrack": trackers.ByteTrackTracker,
        "ocsort": trackers.OCSORTTracker,
        "botsort": lambda: trackers.BoTSORTTracker(enable_cmc=False),
        "cbiou": trackers.CBIoUTracker,
    }


def run(tracker: Any, rows: Rows, path: Path) -> dict[str, Any]:
    """Feed one tracker every frame from 1 to the last, and write what it says."""
    import supervision  # type: ignore[import-not-found]  # noqa: PLC0415 - as above

    written, update_ms = [], []
    ids: set[int] = set()
    for frame in range(1, int(rows[:, 0].max(initial=0)) + 1):
        seen = rows[rows[:, 0] == frame]
        boxes = np.concatenate([seen[:, 2:4], seen[:, 2:4] + seen[:, 4:6]], axis=1)
        detections = supervision.Detections(
            xyxy=boxes, confidence=seen[:, 6], class_id=np.zeros(len(seen), int)
        )
        start_s = time.perf_counter()
        tracked = tracker.update(detections)
        update_ms.append(1000 * (time.perf_counter() - start_s))
        for (left, top, right, bottom), identity, score in zip(
            tracked.xyxy, tracked.tracker_id, tracked.confidence, strict=True
        ):
            if identity >= 0:
                ids.add(int(identity))
                size = f"{right - left:.3f},{bottom - top:.3f},{score:.6f}"
                written.append(f"{frame},{identity},{left:.3f},{top:.3f},{size},-1,-1,-1\n")
    path.write_text("".join(written))
    return {
        "file": str(path),
        "updates": len(update_ms),
        "rows": len(written),
        "tracks": len(ids),
        "update_ms": {
            name: float(np.percentile(update_ms or [0.0], q)) for name, q in _QUANTILES.items()
        },
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
