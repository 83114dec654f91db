"""The detector alone, on series from anybody's file: scores, events, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sightline.errors import UsageError
from sightline.evidence.series_file import Series
from sightline.evidence.tables import for_spreadsheets
from sightline.evidence.telemetry_drawing import MAX_STRIPS, LabelledSpan, draw_telemetry
from sightline.perceive.normal import (
    EventRule,
    NormalSettings,
    SeriesDetector,
    learning_rows,
    score_events,
)
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

_UNEVEN = 1.5  # a step of so many medians is a gap
_DRAWN_SHARE = 0.004  # of the picture's width: narrower events would not be seen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectedSeries:
    """One series and what was found in it.

    Attributes:
        series: as it was read.
        learnt_rows: at its beginning, not scored.
        widths: of the windows that could be learnt, in samples; empty: too little to learn from.
        score: float64[n]; NaN while learning and where nothing is known.
        events: int64[e, 2], first and last row, both included.
        uneven_steps: steps of time more than 1.5 times the median one.
    """

    series: Series
    learnt_rows: int
    widths: tuple[int, ...]
    score: FloatArray
    events: IntArray
    uneven_steps: int

    def greatest_scores(self) -> list[float]:
        """The greatest score of each event; rows amid it may have none."""
        return [float(np.nanmax(self.score[a : b + 1])) for a, b in self.events]

    def as_mapping(self, *, most_events: int = 100) -> dict[str, Any]:
        """JSON-ready."""
        time_ns = self.series.time_ns
        return {
            "key": self.series.key,
            "rows": len(self.score),
            "missing": int(np.isnan(self.series.values).sum()),
            "learnt_rows": self.learnt_rows,
            "widths": list(self.widths),
            "uneven_steps": self.uneven_steps,
            "events": len(self.events),
            "first_events": [
                {
                    "first_row": int(self.series.row[a]),
                    "last_row": int(self.series.row[b]),
                    "start_ns": None if time_ns is None else int(time_ns[a]),
                    "end_ns": None if time_ns is None else int(time_ns[b]),
                    "greatest_score": round(greatest, 3),
                }
                for (a, b), greatest in zip(
                    self.events[:most_events], self.greatest_scores(), strict=False
                )
            ],
        }


def detect_series(
    series: Series,
    *,
    train: int | None = None,
    train_until_ns: int | None = None,
    settings: NormalSettings | None = None,
    rule: EventRule | None = None,
) -> DetectedSeries:
    """Score one series.

    Args:
        series: evenly spaced in time.
        train: rows at its beginning to learn from; default: 15 %, at most 750.
        train_until_ns: or the time until which to learn.
        settings, rule: of the detector.
    """
    settings, rule = settings or NormalSettings(), rule or EventRule()
    n = len(series.values)
    if train_until_ns is not None and series.time_ns is not None:
        train = int(np.searchsorted(series.time_ns, train_until_ns))
    begin = learning_rows(n) if train is None else min(train, n)
    score = np.full(n, np.nan)
    widths: tuple[int, ...] = ()
    try:
        detector = SeriesDetector.learn(series.values[:begin], settings)
    except UsageError:
        pass  # too little to learn from: no widths, no scores, and the summary says so
    else:
        score[begin:] = detector.follow(series.values[begin:])[0]
        widths = detector.widths
    return DetectedSeries(
        series=series,
        learnt_rows=begin,
        widths=widths,
        score=score,
        events=score_events(score, rule),
        uneven_steps=_uneven_steps(series.time_ns),
    )


def write_detections(path: Path, found: Sequence[DetectedSeries]) -> None:
    """A CSV row for each row of the file that has a time: row, key, time, value, score, event.

    ``event`` numbers the events of a key from 1; 0 outside.

    Raises:
        OSError: the file cannot be written.
    """
    tables = []
    for one in found:
        event = np.zeros(len(one.score), np.int64)
        for number, (first, last) in enumerate(one.events, start=1):
            event[first : last + 1] = number
        times = one.series.time_ns
        tables.append(
            pl.DataFrame(
                {
                    "row": one.series.row,
                    "key": pl.Series([one.series.key]).new_from_index(0, len(event)),
                    "time": pl.Series(
                        one.series.row if times is None else times, dtype=pl.Int64
                    ).cast(pl.Int64 if times is None else pl.Datetime("ns")),
                    "value": pl.Series(one.series.values).fill_nan(None),
                    "score": pl.Series(one.score).fill_nan(None),
                    "event": event,
                }
            )
        )
    for_spreadsheets(pl.concat(tables).sort("row")).write_csv(path)


def draw_detections(path: Path, found: Sequence[DetectedSeries], *, title: str) -> int:
    """Draw the series that have events first, and their scores; how many series were left out.

    Raises:
        UsageError: see :func:`.draw_telemetry`.
    """
    most = MAX_STRIPS // 2
    chosen = sorted(found, key=lambda one: -len(one.events))[:most]
    # One picture has one axis of time: series of other times are left out with the rest.
    lead = chosen[0].series
    chosen = [one for one in chosen if _same_times(one.series, lead)]
    n = len(lead.values)
    time_ns = np.arange(n) * NS_PER_S if lead.time_ns is None else lead.time_ns
    channels: dict[str, FloatArray] = {}
    spans: list[LabelledSpan] = []
    least_ns = int((int(time_ns[-1]) - int(time_ns[0])) * _DRAWN_SHARE) if n else 0
    for one in chosen:
        name = one.series.key or "value"
        channels[name] = one.series.values
        channels[f"{name}: log10(1 + score)"] = np.log10(1.0 + one.score)
        spans += [
            LabelledSpan(
                channel=name,
                start_ns=int(time_ns[a]),
                end_ns=max(int(time_ns[b]), int(time_ns[a]) + least_ns),
                label=f"{greatest:.3g}",
            )
            for (a, b), greatest in zip(one.events, one.greatest_scores(), strict=True)
        ]
    draw_telemetry(path, time_ns=time_ns, channels=channels, spans=spans, title=title)
    return len(found) - len(chosen)


def _same_times(one: Series, other: Series) -> bool:
    if one.time_ns is None or other.time_ns is None:
        return len(one.values) == len(other.values)
    return np.array_equal(one.time_ns, other.time_ns)


def _uneven_steps(time_ns: IntArray | None) -> int:
    if time_ns is None or len(time_ns) < 3:
        return 0
    steps = np.diff(time_ns)
    return int((steps > _UNEVEN * np.median(steps)).sum())
