"""Counts and delays in words."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.galleries.judged_series import JudgedSeries
from sightline.records.windows import FloatArray

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def duration_text(seconds: float) -> str:
    """A duration in its own unit.

    >>> [duration_text(s) for s in (0.0, 42.4, 90.0, 5_400.0, 200_000.0)]
    ['0 s', '42 s', '1.5 min', '1.5 h', '2.3 d']
    """
    for size, unit in _UNITS[:-1]:
        if seconds >= size:
            return (
                f"{seconds / size:.3g} {unit}"
                if seconds >= 10 * size
                else (f"{seconds / size:.2g} {unit}")
            )
    return f"{seconds:.0f} s"


def delay_text(series: JudgedSeries, label: int) -> str:
    """How long after its beginning one label was found.

    Empty for a miss and for a label of one row. Of an event that began earlier it says so.
    """
    start, end = int(series.labels.start_ns[label]), int(series.labels.end_ns[label])
    if not series.is_hit[label] or start == end:
        return ""
    began, ended = series.events.start_ns, series.events.end_ns
    if np.any((began < start) & (ended >= start)):
        return "(began before)"
    seconds, rows = float(series.delay_s[label]), float(series.delay_rows[label])
    return f"+{rows:.0f} rows" if math.isnan(seconds) else f"+{duration_text(seconds)}"


def median_delay_text(delay_s: FloatArray, delay_rows: FloatArray) -> str:
    """The median over what was found, in seconds where all have times; a dash without any."""
    known = np.isfinite(delay_rows)
    if not known.any():
        return "–"
    if np.isfinite(delay_s[known]).all():
        return duration_text(float(np.median(delay_s[known])))
    return f"{np.median(delay_rows[known]):.0f} rows"


def counts_text(series: JudgedSeries) -> str:
    """Labels, hits, misses and false alarms of one series."""
    unseen = f" ({series.unseen_labels} learnt from)" if series.unseen_labels else ""
    return (
        f"{_many(len(series.labels), 'label')}: {_many(series.hits, 'hit')}, "
        f"{series.misses} missed{unseen}; {_many(series.false_alarms, 'false alarm')}"
    )


def _many(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
