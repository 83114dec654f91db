"""Judged series by rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.alert_scores import Intervals
from benchmarks.galleries import JudgedSeries

ROWS = 1000
Spans = Sequence[tuple[int, int]]


def judged(
    name: str = "a",
    *,
    labels: Spans = (),
    events: Spans = (),
    category: str = "some",
    rows: int = ROWS,
    **changes: object,
) -> JudgedSeries:
    """A wave with a score that is high in its events."""
    score = np.ones(rows)
    for start, end in events:
        score[start : end + 1] = 9.0
    plain: dict[str, object] = {
        "channels": {"value": np.sin(np.arange(rows) / 9)},
        "score": score,
        "threshold": 4.0,
    }
    return JudgedSeries.of(
        name=name,
        category=category,
        labels=Intervals.of(list(labels)),
        events=Intervals.of(list(events)),
        **(plain | changes),
    )
