"""The picture of an event of a series, and the files of explained events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import writing
from sightline.evidence.figures import (
    GOOD,
    INK,
    MARK,
    PALE,
    axis_time,
    name_times,
    new_figure,
    plain_text,
    save,
    tidy,
)
from sightline.evidence.series_events.event_account import SINCE_LEVEL, SeriesAlert
from sightline.evidence.words import figure, moment
from sightline.perceive.normal.attribution import WidthAttribution
from sightline.records.windows import FloatArray

MAX_DRAWN = 4000
"""Points of one line; of a longer stretch the least and the greatest of each part are drawn."""
_AROUND = 2  # windows of the widest width that are drawn before and after
_PANELS = 3


def draw_series_alert(path: Path, alert: SeriesAlert, *, value: str = "value") -> None:
    """Draw an event into a PNG, 960 by 720 pixels.

    Above: the series around the event, the event shaded, what would not have alerted in blue.
    In the middle: the windows that scored, in red, over the nearest normal ones, in blue, shifted
    to where they fit best. Below: the score.

    Args:
        path: of the PNG; its folder exists.
        alert: what was explained.
        value: name of what is measured.

    Raises:
        UsageError: the extra ``report`` is not installed, or the file cannot be written.
    """
    drawn = new_figure(height_px=720)
    grid = drawn.add_gridspec(_PANELS, 3, height_ratios=(2.2, 1.5, 1.2))
    _draw_series(drawn.add_subplot(grid[0, :]), alert, value)
    shown = [one for one in alert.why.widths if np.isfinite(one.deviations)][:3]
    for column, one in enumerate(shown):
        _draw_window(drawn.add_subplot(grid[1, column]), alert, one)
    _draw_score(drawn.add_subplot(grid[2, :]), alert)
    key = alert.found.series.key
    first, last = alert.rows
    title = f"{key + ', ' if key else ''}{value}: event {alert.rank}, {_at(alert, first)} to "
    save(drawn, path, title=f"{title}{_at(alert, last)}, score {figure(alert.score)}")


def _draw_series(axis: Any, alert: SeriesAlert, value: str) -> None:
    first, last = alert.rows
    begin, end = _range(alert)
    values = alert.found.series.values
    x, y = _thin(_x(alert, begin, end), values[begin:end])
    axis.axvspan(*_edges(alert, first, last), color=MARK, alpha=0.13, linewidth=0)
    axis.plot(x, y, color=INK, linewidth=0.9, label="measured")
    if alert.stretch is not None:
        trial = alert.trial
        axis.plot(
            *_thin(_x(alert, trial.first_row, trial.last_row + 1), alert.stretch.values),
            color=PALE, linewidth=0.9, linestyle="--",
            label=f"as {alert.stretch.lag_rows} rows earlier",
        )  # fmt: skip
    found = alert.level
    if found.is_found:
        edges = _edges(alert, found.first_row, found.last_row)
        for bound in (found.low, found.high):
            if np.isfinite(bound):
                axis.plot(edges, (bound, bound), color=GOOD, linewidth=1.6)
        low = found.low if np.isfinite(found.low) else float(np.nanmin(values[begin:end]))
        high = found.high if np.isfinite(found.high) else float(np.nanmax(values[begin:end]))
        axis.fill_between(
            edges, (low, low), (high, high), color=GOOD, alpha=0.15, linewidth=0,
            label="would not have alerted within",
        )  # fmt: skip
    if alert.normal.is_found and alert.stretch is not None and alert.normal.change is not None:
        rows = slice(alert.normal.first_row, alert.normal.last_row + 1)
        now = values[rows]
        at = slice(rows.start - alert.trial.first_row, rows.stop - alert.trial.first_row)
        moved = now + alert.normal.change.strength * (alert.stretch.values[at] - now)
        axis.plot(
            *_thin(_x(alert, rows.start, rows.stop), moved), color=GOOD, linewidth=1.1,
            label="this course would not have alerted",
        )  # fmt: skip
    axis.legend(fontsize=7, loc="best", frameon=False)
    _finish(axis, alert, value)


def _draw_window(axis: Any, alert: SeriesAlert, one: WidthAttribution) -> None:
    values = alert.found.series.values
    rows = np.arange(one.width)
    axis.plot(rows, values[one.row - one.width + 1 : one.row + 1], color=MARK, linewidth=1.0)
    where = "older than what is at hand"
    if one.normal is not None:
        shift = _phase(values, one.row, one.normal.last_row, one.width)
        last = one.normal.last_row + shift
        axis.plot(rows, values[last - one.width + 1 : last + 1], color=GOOD, linewidth=1.0)
        where = _at(alert, one.normal.last_row) + (f" {shift:+d} rows" if shift else "")
    axis.set_title(
        plain_text(f"{one.width} rows: {figure(one.deviations)} deviations; normal to {where}"),
        fontsize=7, loc="left",
    )  # fmt: skip
    tidy(axis, "")


def _phase(values: FloatArray, row: int, normal: int, width: int) -> int:
    """Rows by which a normal window is shifted, to half its width, to lie best over another."""
    window = values[row - width + 1 : row + 1]
    best, least = 0, np.inf
    for shift in sorted(range(-width // 2, width // 2 + 1), key=abs):
        last = normal + shift
        if last - width + 1 < 0 or last > row - width:
            continue
        square = (window - values[last - width + 1 : last + 1]) ** 2
        # A tie goes to the smaller shift.
        if np.isfinite(square).any() and (mean := float(np.nanmean(square))) < least:
            best, least = shift, mean
    return best


def _draw_score(axis: Any, alert: SeriesAlert) -> None:
    begin, end = _range(alert)
    x, y = _thin(_x(alert, begin, end), alert.found.score[begin:end])
    axis.plot(x, y, color=INK, linewidth=0.9)
    axis.axhline(alert.threshold, color=MARK, linewidth=0.9, linestyle="--")
    axis.text(1.0, alert.threshold, f" {figure(alert.threshold)}", color=MARK, fontsize=7,
              transform=axis.get_yaxis_transform(), va="center")  # fmt: skip
    since = _x(alert, alert.since, alert.since + 1)[0]
    axis.axvline(since, color=PALE, linewidth=0.9)
    axis.text(since, 1.0, f"above {figure(SINCE_LEVEL)} since {_at(alert, alert.since)}",
              fontsize=7, color=INK, ha="center", va="bottom",
              transform=axis.get_xaxis_transform())  # fmt: skip
    axis.set_yscale("symlog", linthresh=1.0)
    axis.set_ylim(bottom=0)
    _finish(axis, alert, "score")


def _finish(axis: Any, alert: SeriesAlert, label: str) -> None:
    begin, end = _range(alert)
    edges = _x(alert, begin, end)
    axis.set_xlim(edges[0], max(edges[-1], edges[0] + 1e-9))
    tidy(axis, label)
    time_ns = alert.time_ns(begin)
    name_times(
        axis,
        start_ns=0 if time_ns is None else time_ns,
        undated="row" if time_ns is None else "seconds",
    )


def _range(alert: SeriesAlert) -> tuple[int, int]:
    first, last = alert.rows
    around = _AROUND * max(alert.found.widths) + (last - first) // 2
    return max(alert.trial.first_row - around, 0), min(last + around, len(alert.found.score))


def _x(alert: SeriesAlert, begin: int, end: int) -> FloatArray:
    times = alert.found.series.time_ns
    if times is None:
        rows: FloatArray = alert.found.series.row[begin:end].astype(np.float64)
        return rows
    return axis_time(times[begin:end], start_ns=int(times[_range(alert)[0]]))


def _edges(alert: SeriesAlert, first: int, last: int) -> tuple[float, float]:
    """Where the rows begin and end on the axis, half a row beyond each."""
    x = _x(alert, first, last + 1)
    begin, end = _range(alert)
    axis = _x(alert, begin, end)
    half = (axis[-1] - axis[0]) / max(2 * (len(axis) - 1), 1)
    return float(x[0]) - half, float(x[-1]) + half


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most ``MAX_DRAWN`` points: the least and the greatest of each part."""
    if len(x) <= MAX_DRAWN:
        return x, y
    parts = np.linspace(0, len(x), MAX_DRAWN // 2 + 1).astype(np.int64)
    filled = np.where(np.isfinite(y), y, np.nan)
    kept = []
    for a, b in pairwise(parts):
        part = filled[a:b]
        if np.isfinite(part).any():
            kept += sorted({a + int(np.nanargmin(part)), a + int(np.nanargmax(part))})
    rows = np.array(kept, np.int64)
    return x[rows], y[rows]


def _at(alert: SeriesAlert, row: int) -> str:
    time_ns = alert.time_ns(row)
    return f"row {alert.file_row(row)}" if time_ns is None else moment(time_ns)


def write_series_alerts(
    folder: Path, alerts: Sequence[SeriesAlert], *, value: str = "value"
) -> list[Path]:
    """Write ``event-N.json`` and ``event-N.png`` for each event, N its rank.

    Args:
        folder: made if it is not there; files of these names are replaced.
        alerts: what was explained.
        value: name of what is measured.

    Returns:
        Paths of the files.

    Raises:
        StorageError: the folder or a file cannot be written.
        UsageError: a picture cannot be drawn, see :func:`.draw_series_alert`.
    """
    written = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for alert in alerts:
            path = folder / f"event-{alert.rank}.json"
            plain = {"value": value} | alert.as_mapping()
            path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", "utf-8")
            written += [path, path.with_suffix(".png")]
            draw_series_alert(path.with_suffix(".png"), alert, value=value)
    return written
