"""Values of KPIs from admitted rows, by the functions that the stage `windows` uses.

Rows are put in their canonical order and duplicates settled before anything is computed, so a
value is the same bits whatever files the rows came in and in whatever order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from sightline.perceive.row_store import Rows
from sightline.perceive.windows import Segments, segment_expressions, segment_statistics, segments
from sightline.records.signals import KEY, SEQUENCE, TIME_NS
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime.kpis.form import VALUE_SCHEMA, Bounds, Calibration, Gates, KpiSet, Metric
from sightline.runtime.kpis.plan import Task
from sightline.sense.contract import utc_ns


def values_of_rows(
    kpis: KpiSet, signals: pl.DataFrame, tasks: Sequence[Task], *, by_sequence: bool
) -> tuple[pl.DataFrame, int]:
    """Values of the windows of ``tasks``, and how many duplicates lost.

    Args:
        kpis: the metrics.
        signals: admitted rows of these windows, and perhaps of others; in any order.
        tasks: of metrics of rows.
        by_sequence: rows are duplicates only if their sequence is equal too.

    Returns:
        A table of :data:`.VALUE_SCHEMA`, sorted by metric, subject and window.
    """
    subjects = signals[KEY].unique().sort()
    code = signals[KEY].cast(pl.Enum(subjects)).to_physical().to_numpy().astype(np.uint32)
    names = [f for f in kpis.contract.fields if f in signals.columns]
    time_ns = signals[TIME_NS].to_numpy()
    rows, superseded = Rows(
        key=code,
        group=np.zeros(len(code), np.uint32),
        time_ns=time_ns,
        sequence=signals[SEQUENCE].to_numpy(),
        values={n: signals[n].to_numpy() for n in names if kpis.contract.fields[n].is_numeric},
    ).canonical(by_sequence=by_sequence)
    values = _corrected(rows, kpis.form.calibration)
    found = []
    for width_ns in sorted({task.metric.width_ns for task in tasks}):
        at_width = [task for task in tasks if task.metric.width_ns == width_ns]
        wanted = np.unique([task.window for task in at_width])
        parts = segments(key=rows.key, time_ns=rows.time_ns, slide_ns=width_ns, width_ns=width_ns)
        keep = np.isin(parts.window, wanted)
        parts = Segments(
            key=parts.key[keep], window=parts.window[keep], lo=parts.lo[keep], hi=parts.hi[keep]
        )
        for metric in {task.metric.name: task.metric for task in at_width}.values():
            own = np.array([task.window for task in at_width if task.metric.name == metric.name])
            mask = np.isin(parts.window, own)
            column = _column(metric, rows, values, parts)
            found.append(
                pl.DataFrame(
                    {
                        "metric": pl.repeat(metric.name, int(mask.sum()), eager=True),
                        "metric_version": np.full(int(mask.sum()), metric.version, np.int64),
                        "subject": subjects.gather(parts.key[mask]),
                        "window": parts.window[mask],
                        "value": column[mask],
                        "rows": (parts.hi - parts.lo)[mask],
                    },
                    schema=VALUE_SCHEMA,
                )
            )
    table = pl.concat(found) if found else VALUE_SCHEMA.to_frame()
    return table.with_columns(pl.col("value").fill_nan(None)), superseded


def _corrected(rows: Rows, calibration: Sequence[Calibration]) -> Mapping[str, FloatArray]:
    values = dict(rows.values)
    for one in calibration:
        if one.field in values:
            held = (rows.time_ns >= utc_ns(one.start)) & (rows.time_ns < utc_ns(one.end))
            column = values[one.field]
            values[one.field] = np.where(held, one.gain * column + one.offset, column)
    return values


def _column(
    metric: Metric, rows: Rows, values: Mapping[str, FloatArray], parts: Segments
) -> FloatArray:
    if metric.expression is None:
        return segment_statistics(
            values[metric.field],
            parts.lo,
            parts.hi,
            statistics=(metric.statistic,),
            time_ns=rows.time_ns,
        )[metric.statistic]
    frame = pl.DataFrame({"_time_ns": rows.time_ns, **{n: values[n] for n in metric.reads}})
    return segment_expressions(frame, parts, {metric.name: metric.expression.expr})[metric.name]


def smoothed_values(metric: Metric, window: int, before: pl.DataFrame) -> pl.DataFrame:
    """Values of one window of a smoothed metric.

    A subject without a value in the window itself has none here: a trend does not make data.

    Args:
        metric: with ``smooth``.
        window: its number.
        before: values of the metric that it is made of, in this window and those before.

    Returns:
        A table of :data:`.VALUE_SCHEMA`, sorted by subject; ``rows``: windows that were there.
    """
    assert metric.smooth is not None
    age = window - pl.col("window")
    weight = pl.lit(0.5) ** (age / metric.smooth.half_life_windows)
    return (
        before.filter(pl.col("value").is_not_null())
        .with_columns(weight.alias("weight"))
        .sort("subject", "window")
        .group_by("subject", maintain_order=True)
        .agg(
            ((pl.col("value") * pl.col("weight")).sum() / pl.col("weight").sum()).alias("value"),
            pl.len().cast(pl.Int64).alias("rows"),
            (pl.col("window") == window).any().alias("is_there"),
        )
        .filter(pl.col("is_there"))
        .select(
            pl.lit(metric.name).alias("metric"),
            pl.lit(metric.version, pl.Int64).alias("metric_version"),
            "subject",
            pl.lit(window, pl.Int64).alias("window"),
            "value",
            "rows",
        )
    )


def admitted_rows(signals: pl.DataFrame, width_ns: int) -> dict[int, int]:
    """How many rows each window has."""
    window: IntArray = signals[TIME_NS].to_numpy() // width_ns
    numbers, counts = np.unique(window, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def held_because(
    gates: Gates, task: Task, values: pl.DataFrame, *, refused: int, most_subjects: int
) -> list[str]:
    """Why a window must not be published; empty: it may be.

    Args:
        gates: what a window must be like.
        task: the window.
        values: of it.
        refused: rows of it that break the contract.
        most_subjects: largest number of subjects in a window published before.
    """
    found = []
    if task.metric.smooth is None:
        if task.rows < gates.rows_least:
            found.append(f"{task.rows} rows, fewer than {gates.rows_least}")
        share = refused / max(task.rows, 1)
        if share > gates.refused_share_most:
            found.append(
                f"{refused} of {task.rows} rows break the contract "
                f"({share:.3g} > {gates.refused_share_most:g})"
            )
        if values.height < gates.subjects_share_least * most_subjects:
            found.append(
                f"{values.height} subjects, after {most_subjects} before "
                f"(least {gates.subjects_share_least:g})"
            )
    bounds = gates.metrics.get(task.metric.name)
    if bounds is not None and values.height:
        outside = _outside(bounds, values["value"])
        if outside > bounds.outside_share_most * values.height:
            found.append(
                f"{outside} of {values.height} subjects outside {bounds.least} to {bounds.most}"
            )
    return found


def _outside(bounds: Bounds, value: pl.Series) -> int:
    low = value.is_null() & False if bounds.least is None else value < bounds.least
    high = value.is_null() & False if bounds.most is None else value > bounds.most
    return int((low | high).fill_null(value=False).sum())
