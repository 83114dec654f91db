"""What ``sightline lab evaluate`` found in the published benchmarks, as series to draw.

Nothing is detected here: scores, events, alarms and thresholds are those of the results of
:mod:`benchmarks.published`. Only the values are read again where a result does not
hold them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.alert_scores import Intervals
from benchmarks.galleries.judged_series import JudgedSeries
from benchmarks.published.nab import NabResult
from benchmarks.published.nab_score import probationary_rows
from benchmarks.published.nasa import LABELS, NasaResult
from benchmarks.published.opssat import DATASET, OpssatResult
from benchmarks.published.skab import THRESHOLD, TRAINING_ROWS, SkabResult
from sightline.errors import SourceError
from sightline.perceive.normal import EventRule, learning_rows
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

_SPREAD_LEAST = 1e-12


def nasa_series(folder: Path, result: NasaResult) -> list[JudgedSeries]:
    """Channels that have labels, in rows of ``test``; the category is the type of the channel.

    The first letter of a channel's name is its type (README of telemanom: P for power, R for
    radiation and so on). Channels without labels cannot be judged and are left out.

    Raises:
        SourceError: no channel has labels, or one cannot be read.
    """
    if not result.labels:
        raise SourceError(
            expected="labels of some channel",
            got="none",
            where=str(folder / LABELS),
            action="without labels nothing is a hit or a miss: put the file beside the channels",
        )
    rule = EventRule()
    return [
        JudgedSeries.of(
            name=name,
            category=name[:1],
            channels={"value": _test_column(folder / f"{name}.npz", rows=len(result.scores[name]))},
            score=result.scores[name],
            # What an event has to reach: the rule also drops what is little beside the greatest.
            threshold=max(rule.threshold, rule.least_share * _most(result.scores[name])),
            labels=labels,
            events=result.events[name],
            learnt_rows=learning_rows(len(result.scores[name])),
        )
        for name, labels in sorted(result.labels.items())
    ]


def nab_series(result: NabResult) -> list[JudgedSeries]:
    """Files with their windows; an event is a run of rows at or above the standard threshold.

    The first 15 % (at most 750 rows) are not scored by the benchmark, nor shown as events.
    """
    threshold = result.scores["standard"].threshold
    found = []
    for name, one in sorted(result.series.items()):
        n = len(one.anomaly_score)
        learnt = probationary_rows(n)
        is_event = (one.anomaly_score >= threshold) & (np.arange(n) >= learnt)
        found.append(
            JudgedSeries.of(
                name=name,
                category=Path(name).parts[0],
                channels={"value": one.rows["value"].to_numpy().astype(np.float64)},
                score=one.anomaly_score,
                threshold=threshold,
                labels=Intervals.of(one.windows),
                events=Intervals.of_flags(is_event),
                learnt_rows=learnt,
                time_ns=_times(one.rows["timestamp"]),
            )
        )
    return found


def skab_series(result: SkabResult) -> list[JudgedSeries]:
    """Runs with their sensors; an event is a run of rows with an alarm.

    The benchmark counts rows, these are events: a long alarm over a short label is one hit here.
    """
    return [
        JudgedSeries.of(
            name=name,
            category=Path(name).parent.name or "runs",
            channels={
                sensor: run.rows[sensor].cast(pl.Float64).to_numpy()
                for sensor in run.rows.columns
                if sensor not in ("datetime", "anomaly", "changepoint")
            },
            score=run.score,
            threshold=THRESHOLD,
            labels=Intervals.of_flags(run.label),
            events=Intervals.of_flags(run.alarm),
            learnt_rows=TRAINING_ROWS,
            time_ns=_times(run.rows["datetime"]),
        )
        for name, run in sorted(result.runs.items())
    ]


def opssat_series(folder: Path, result: OpssatResult) -> list[JudgedSeries]:
    """Channels, of which each row is a segment and each feature is drawn in deviations.

    A label is an anomalous segment, an event an alarm of the scores without labels. The threshold
    drawn is the least score that is an alarm.
    """
    table = result.table
    names = _feature_names(folder / DATASET, table.values.shape[1])
    threshold = float(result.score[result.alarm].min()) if result.alarm.any() else np.inf
    found = []
    for channel in np.unique(table.channel).tolist():
        rows = np.flatnonzero(table.channel == channel)
        rows = rows[np.argsort(table.segment[rows], kind="stable")]
        scaled = _deviations(table.values[rows])
        found.append(
            JudgedSeries.of(
                name=str(channel),
                category="segments",
                channels=dict(zip(names, scaled.T, strict=True)),
                # A segment of a channel that nobody has seen scores infinity.
                score=np.nan_to_num(result.score[rows], posinf=_most(result.score)),
                threshold=threshold,
                labels=_each(table.label[rows]),
                events=_each(result.alarm[rows]),
            )
        )
    return found


def _each(flag: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Intervals:
    rows = np.flatnonzero(flag).astype(np.int64)
    return Intervals(rows, rows.copy())


def _most(score: FloatArray) -> float:
    known = score[np.isfinite(score)]
    return float(known.max()) if len(known) else 0.0


def _deviations(values: FloatArray) -> FloatArray:
    """float64[n, d]: robust deviations of signed logarithms, 0 in the middle of the channel."""
    middle = np.median(values, axis=0)
    spread = np.median(np.abs(values - middle), axis=0)
    # Where more than half of a feature's values are equal the median says nothing.
    spread = np.where(spread > 0, spread, values.std(axis=0))
    found: FloatArray = (values - middle) / np.maximum(spread, _SPREAD_LEAST)
    return np.sign(found) * np.log1p(np.abs(found))


def _feature_names(path: Path, count: int) -> list[str]:
    columns = pl.scan_csv(path).collect_schema().names()
    names = [name for name in columns if name not in ("segment", "anomaly", "train", "channel")]
    return names if len(names) == count else [f"feature {k + 1}" for k in range(count)]


def _times(column: pl.Series) -> IntArray | None:
    """int64[n], UTC ns; None where they cannot be read or do not ascend: rows are shown then."""
    try:
        times = column.str.to_datetime(time_unit="us").to_physical()
    except pl.exceptions.PolarsError:
        return None
    if times.null_count():
        return None
    found: IntArray = times.to_numpy().astype(np.int64) * (NS_PER_S // 1_000_000)
    return found if np.all(np.diff(found) >= 0) else None


def _test_column(path: Path, *, rows: int) -> FloatArray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            test = archive["test"]
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(
            expected="the archive that was scored",
            got=f"{type(error).__name__}: {error}",
            where=str(path),
            action="leave the folder alone while it is read",
        ) from error
    values = test[:, 0] if test.ndim == 2 else test
    if values.shape != (rows,):
        raise SourceError(
            expected=f"the {rows} rows that were scored",
            got=str(list(test.shape)),
            where=str(path),
            action="leave the folder alone while it is read",
        )
    return np.ascontiguousarray(values, np.float64)
