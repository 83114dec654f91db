"""The scorer of Roboflow's ``trackers`` (checked against TrackEval by its authors).

``python -m benchmarks.peers.trackers_score TRUTH TRACKS [TRUTH TRACKS …]`` prints one JSON list
with the measures of each pair. It reads the eighth column of any truth as a class and scores class
1 alone, so that the ten columns of MOT15 would leave nothing to score: such truth is given it with
its first seven columns.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

_CLASS_LAYOUTS = (8, 9)
_SEVEN = 7


def main(files: list[Path]) -> None:
    pairs = zip(files[::2], files[1::2], strict=True)
    sys.stdout.write(json.dumps([scores(truth, tracks) for truth, tracks in pairs]) + "\n")


def scores(truth: Path, tracks: Path) -> dict[str, Any]:
    # Only .venv-peers has this package, and test collection reads every module.
    from trackers.eval import evaluate_mot_sequence  # type: ignore[import-not-found] # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        rows = np.loadtxt(truth, delimiter=",", ndmin=2)
        if rows.shape[1] not in _CLASS_LAYOUTS:
            truth = Path(folder) / "truth.txt"
            np.savetxt(truth, rows[:, :_SEVEN], delimiter=",", fmt="%.17g")
        found = evaluate_mot_sequence(truth, tracks, metrics=["CLEAR", "HOTA", "Identity"])
    return {**found.CLEAR.to_dict(), **found.HOTA.to_dict(), **found.Identity.to_dict()}


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
