"""The detector alone, on series from anybody's file: scores, events, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_STILL_ROWS = 128
"""Rows by which an event begins earlier at most because the value had not moved since."""
MAX_BEFORE_ROWS = 4096
"""Rows before an event that its peak is measured against."""
_AS_FAR = 0.9
_UNEVEN = 1.5  # a step of so many medians is a gap
_DRAWN_SHARE = 0.004  # of the picture's width: narrower events would not be seen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectedSeries:
    """One series and what was found in it.

    Attributes:
        series: as it was read; without the rows that have no value where no window would
            be whole.
        learnt_rows: at its beginning, not scored.
        widths: of the windows that could be learnt, in samples; empty: too little to learn from.
        score: float64[n]; NaN while learning and where nothing is known.
        events: int64[e, 2], first and last row of all that reached the threshold, both included.
        is_weaker: bool[e], those with less than ``least_share`` of the greatest score of the
            series: told, and marked, because beside a strong event a weak one is often noise.
        left_out: events that were weaker and left out, because the caller wants only the others.
        uneven_steps: steps of time more than 1.5 times the median one.
        without_value: rows that are not in ``series`` because they have no value.
    """

    series: Series
    learnt_rows: int
    widths: tuple[int, ...]
    score: FloatArray
    events: IntArray
    is_weaker: BoolArray
    left_out: int
    uneven_steps: int
    without_value: int = 0

    def peaks(self) -> list[int]:
        """Of each event the row whose sample is furthest from what the series did before it."""
        return [_peak(self.series.values, self.score, int(a), int(b)) for a, b in self.events]

    def greatest_scores(self) -> list[float]:
        """The greatest score of each event; rows amid it may have none."""
        return [float(np.nanmax(self.score[a : b + 1])) for a, b in self.events]

    def as_mapping(self, *, most_events: int = 100) -> dict[str, Any]:
        """JSON-ready."""
        time_ns = self.series.time_ns
        return {
            "key": self.series.key,
            "rows": len(self.score),
            "missing": self.without_value + int(np.isnan(self.series.values).sum()),
            "learnt_rows": self.learnt_rows,
            "widths": list(self.widths),
            "uneven_steps": self.uneven_steps,
            "events": len(self.events),
            "weaker_events": int(self.is_weaker.sum()),
            "weaker_events_left_out": self.left_out,
            "first_events": [
                {
                    "first_row": int(self.series.row[a]),
                    "last_row": int(self.series.row[b]),
                    "start_ns": None if time_ns is None else int(time_ns[a]),
                    "end_ns": None if time_ns is None else int(time_ns[b]),
                    "peak_row": int(self.series.row[peak]),
                    "peak_ns": None if time_ns is None else int(time_ns[peak]),
                    "greatest_score": round(greatest, 3),
                    "is_weaker": is_weaker,
                }
                for (a, b), peak, greatest, is_weaker in zip(
                    self.events[:most_events],
                    self.peaks(),
                    self.greatest_scores(),
                    self.is_weaker.tolist(),
                    strict=False,
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
    strong_only: bool = False,
) -> DetectedSeries:
    """Score one series.

    Args:
        series: evenly spaced in time.
        train: rows at its beginning to learn from; default: 15 %, at most 750.
        train_until_ns: or the time until which to learn.
        settings, rule: of the detector.
        strong_only: leave out, and count, the events that are weaker than ``rule.least_share`` of
            the strongest.
    """
    settings, rule = settings or NormalSettings(), rule or EventRule()
    whole = series
    begin, detector = _learnt(whole, train, train_until_ns, settings)
    if detector is None and np.isnan(whole.values).any():
        # A row for each sensor that has something to say: the others have no value in it.
        dense = _with_values(whole)
        dense_begin, detector = _learnt(dense, train, train_until_ns, settings)
        if detector is not None:
            series, begin = dense, dense_begin
    n = len(series.values)
    score = np.full(n, np.nan)
    widths: tuple[int, ...] = ()
    if detector is not None:
        score[begin:] = detector.follow(series.values[begin:])[0]
        widths = detector.widths
    events = score_events(score, replace(rule, least_share=0.0))
    events[:, 0] = _with_equal_samples(series.values, events, begin)
    greatest = np.array([np.nanmax(score[a : b + 1]) for a, b in events])
    is_weaker = greatest < rule.least_share * greatest.max(initial=0.0)
    left_out = int(is_weaker.sum()) if strong_only else 0
    if strong_only:
        events, is_weaker = events[~is_weaker], is_weaker[~is_weaker]
    return DetectedSeries(
        series=series,
        learnt_rows=begin,
        widths=widths,
        score=score,
        events=events,
        is_weaker=is_weaker,
        left_out=left_out,
        uneven_steps=_uneven_steps(series.time_ns),
        without_value=len(whole.values) - n,
    )


def _learnt(
    series: Series, train: int | None, train_until_ns: int | None, settings: NormalSettings
) -> tuple[int, SeriesDetector | None]:
    """Rows to learn from, and what was learnt; None: they are too few, and the summary says so."""
    n = len(series.values)
    if train_until_ns is not None and series.time_ns is not None:
        train = int(np.searchsorted(series.time_ns, train_until_ns))
    begin = learning_rows(n) if train is None else min(train, n)
    try:
        return begin, SeriesDetector.learn(series.values[:begin], settings)
    except UsageError:
        return begin, None


def _with_values(series: Series) -> Series:
    has_value = ~np.isnan(series.values)
    return Series(
        key=series.key,
        time_ns=None if series.time_ns is None else series.time_ns[has_value],
        values=series.values[has_value],
        row=series.row[has_value],
    )


def _with_equal_samples(values: FloatArray, events: IntArray, begin: int) -> IntArray:
    """int64[e]: where events begin if the samples had stood still there for a while already."""
    row = np.arange(len(values))
    changed = np.append(True, values[1:] != values[:-1])
    since = np.maximum.accumulate(np.where(changed, row, 0))
    earliest = np.append(begin, events[:-1, 1] + 1)[: len(events)]
    first = events[:, 0]
    still = np.maximum(since[first], first - MAX_STILL_ROWS)
    found: IntArray = np.maximum(np.minimum(still, first), earliest)
    return found


def _peak(values: FloatArray, score: FloatArray, first: int, last: int) -> int:
    """The row within an event that is furthest from what the series did before it.

    In level or in its step from the row before, each as a share of the greatest until then. Where
    neither is greater than ever, as of a value that stands still, the row of the greatest score.
    """
    before = values[max(first - MAX_BEFORE_ROWS, 0) : first]
    if not np.isfinite(before).any():
        return first + int(np.nanargmax(score[first : last + 1]))
    middle = np.nanmedian(before)
    part = values[first - 1 : last + 1]
    level, usual_level = np.abs(part[1:] - middle), np.nanmax(np.abs(before - middle))
    step, steps = np.abs(np.diff(part)), np.abs(np.diff(before))
    usual_step = np.nanmax(steps) if np.isfinite(steps).any() else 0.0
    # What never moved before has no size: any move is further than any other multiple.
    least = np.finfo(np.float64).eps * np.nanmax(np.append(level, step[np.isfinite(step)]))
    least = max(least, np.finfo(np.float64).tiny)
    beyond = np.fmax(level / max(usual_level, least), step / max(usual_step, least))
    if not np.nanmax(np.append(beyond, 0.0)) > 1.0:
        return first + int(np.nanargmax(score[first : last + 1]))
    # A spike steps twice, to and fro: of equal ones it is the row that is further out.
    best = np.flatnonzero(beyond >= _AS_FAR * np.nanmax(beyond))
    return first + int(best[np.nanargmax(np.append(level[best], -1.0)[: len(best)])])


def write_detections(path: Path, found: Sequence[DetectedSeries]) -> None:
    """A CSV row for each row of the series: row, key, time, value, score, event, weaker.

    ``event`` numbers the events of a key from 1; 0 outside. ``weaker`` is 1 in those that are weak
    beside the strongest.

    Raises:
        OSError: the file cannot be written.
    """
    tables = []
    for one in found:
        event = np.zeros(len(one.score), np.int64)
        weaker = np.zeros(len(one.score), np.int64)
        for number, (first, last) in enumerate(one.events, start=1):
            event[first : last + 1] = number
            weaker[first : last + 1] = one.is_weaker[number - 1]
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
                    "weaker": weaker,
                }
            )
        )
    for_spreadsheets(pl.concat(tables).sort("row")).write_csv(path)


def most_severe(
    found: Sequence[DetectedSeries], *, most: int = MAX_STRIPS // 2
) -> list[DetectedSeries]:
    """The series with the greatest scores, the greatest first.

    Only such as have the same times as the first: one picture has one axis of time.
    """
    by_severity = sorted(found, key=lambda one: -_greatest(one.score))
    lead = by_severity[0].series
    return [one for one in by_severity if _same_times(one.series, lead)][:most]


def draw_detections(path: Path, found: Sequence[DetectedSeries], *, title: str) -> int:
    """Draw the most severe series and their scores; how many series were left out.

    Raises:
        UsageError: see :func:`.draw_telemetry`.
    """
    chosen = most_severe(found)
    lead = chosen[0].series
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
    draw_telemetry(
        path,
        time_ns=time_ns,
        channels=channels,
        spans=spans,
        title=title,
        undated="row" if lead.time_ns is None else "seconds",
    )
    return len(found) - len(chosen)


def _greatest(score: FloatArray) -> float:
    """The greatest finite score; -1 of a series that was not scored."""
    finite = score[np.isfinite(score)]
    return float(finite.max()) if len(finite) else -1.0


def _same_times(one: Series, other: Series) -> bool:
    if one.time_ns is None or other.time_ns is None:
        return len(one.values) == len(other.values)
    return np.array_equal(one.time_ns, other.time_ns)


def _uneven_steps(time_ns: IntArray | None) -> int:
    if time_ns is None or len(time_ns) < 3:
        return 0
    steps = np.diff(time_ns)
    return int((steps > _UNEVEN * np.median(steps)).sum())
