"""A plain scorer of the Numenta Anomaly Benchmark, row by row: what the fast one must equal."""

import math
import os
from pathlib import Path

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))
DAY_NS = 86_400_000_000_000


def sigmoid(y):
    return -1.0 if y > 3 else 2 / (1 + math.exp(5 * y)) - 1


def plain_nab_raw(files, threshold, profile):
    """Raw score of (scores, windows) files when rows at or above ``threshold`` are detections."""
    total = 0.0
    for scores, windows in files:
        n = len(scores)
        probation = min(math.floor(0.15 * n), 750)
        best = {}
        for i in range(probation, n):
            here = next((w for w in windows if w[0] <= i <= w[1]), None)
            if here is not None:
                best.setdefault(here, -profile.false_negative)
            if scores[i] < threshold:
                continue
            if here is not None:
                worth = sigmoid(-(here[1] - i + 1) / (here[1] - here[0] + 1)) / sigmoid(-1)
                best[here] = max(best[here], worth * profile.true_positive)
            else:
                before = [w for w in windows if w[1] < i]
                worth = -1.0
                if before:
                    first, last = before[-1]
                    worth = sigmoid((i - last) / (last - first)) if last > first else -1.0
                total += worth * profile.false_positive
        total += sum(best.values())
    return total
