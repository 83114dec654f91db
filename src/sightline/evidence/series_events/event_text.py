"""An event of a series as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sightline.evidence.counterfactual import Counterfactual
from sightline.evidence.series_events.event_account import SINCE_LEVEL, SeriesAlert
from sightline.evidence.words import figure, moment, span
from sightline.perceive.normal.attribution import WidthAttribution

_SHOWN_WIDTHS = 3
_SHOWN_FEATURES = 2
_SHOWN_NEIGHBOURS = 4
_LEAST_SHARE = 0.05  # of the squared distance; features with less are not told
_MEANS = {
    "mean": "mean",
    "deviation": "deviation",
    "greatest": "greatest",
    "least": "least",
    "step": "mean step",
    "rise": "rise",
}


def series_alert_lines(alert: SeriesAlert, *, value: str = "value", of: int = 0) -> list[str]:
    """The event for a terminal, under 25 lines without colour.

    Args:
        alert: what was explained.
        value: name of what is measured, as a person knows it.
        of: events in all; 0 leaves it out.
    """
    return list(_lines(alert, value, of))


def _lines(alert: SeriesAlert, value: str, of: int) -> Iterator[str]:
    first, last = alert.rows
    key = alert.found.series.key
    name = f"{key}, {value}" if key else value
    among = f" of {of}" if of else ""
    yield f"event {alert.rank}{among}: {name}, {_span(alert, first, last)}"
    yield (
        f"  score {figure(alert.score)} at {_at(alert, alert.peak)}, "
        f"against {figure(alert.threshold)}"
    )
    if alert.why.is_stuck:
        yield (
            f"  {alert.why.equal_rows} samples in a row are equal; unusual from "
            f"{alert.why.unusual_equal_rows} on"
        )
    yield f"  above {figure(SINCE_LEVEL)} since {_at(alert, alert.since)}"
    yield "what would not have alerted (the detector and its rule run again)"
    yield f"  level   {_level(alert, value)}"
    yield from _ends(alert.level)
    yield f"  course  {_normal(alert, value)}"
    yield from _ends(alert.normal)
    yield "what is unusual: deviations of a window's distance from the past beyond what is usual"
    shown = [one for one in alert.why.widths if one.deviations > 0][:_SHOWN_WIDTHS]
    for one in shown:
        yield from _width(alert, one)
    quiet = [one.width for one in alert.why.widths if not one.deviations > 0]
    if quiet:
        yield f"  nothing unusual in windows of {', '.join(map(str, sorted(quiet)))} rows"
    if alert.neighbours_in_all:
        names = [
            f"{n.key} (score {figure(n.score)}, {_times(n.start_ns, n.end_ns)})"
            for n in alert.neighbours[:_SHOWN_NEIGHBOURS]
        ]
        yield f"at the same time: events of {alert.neighbours_in_all} other series"
        for text in names:
            yield f"  {text}"


def _width(alert: SeriesAlert, one: WidthAttribution) -> Iterator[str]:
    yield (
        f"  {one.width} rows to {_at(alert, one.row)}: {figure(one.deviations)} deviations "
        f"(distance {figure(one.distance)}, usual {figure(one.usual)} ± "
        f"{figure(one.usual_spread)})"
    )
    parts = []
    for name in one.leading()[:_SHOWN_FEATURES]:
        now, nearest, share = one.feature(name)
        if share >= _LEAST_SHARE:
            parts.append(
                f"{_MEANS[name]} {figure(now)}, normally {figure(nearest)} ({share:.0%} of it)"
            )
    if parts:
        yield f"    {'; '.join(parts)}"
    if one.normal is None:
        yield "    nearest normal window: older than what is at hand"
    else:
        first, last = one.normal.first_row, one.normal.last_row
        events = alert.found.events
        is_own = bool(((events[:, 0] <= last) & (first <= events[:, 1])).any())
        learnt = " (of an event that has lasted)" if is_own else ""
        yield f"    nearest normal window: {_span(alert, first, last)}{learnt}"


def _level(alert: SeriesAlert, value: str) -> str:
    found = alert.level
    if found.change is None:
        return found.note
    if not found.is_found:
        if found.change.verdict == "not reproduced":
            return "the alert is not raised again by the same samples: nothing can be said"
        return (
            f"no band of values: {_band(found)} it would still have alerted "
            f"(score {figure(found.reached)})"
        )
    return f"had {value} stayed {_band(found)} over {_changed(alert, found)}; {_was(found)}"


def _normal(alert: SeriesAlert, value: str) -> str:
    found, stretch = alert.normal, alert.stretch
    if not found.is_found or stretch is None:
        return found.note
    off = np.abs(alert.trial.original - stretch.values)
    first = found.first_row - alert.trial.first_row
    off = off[first : first + found.last_row - found.first_row + 1]
    like = _span(alert, found.first_row - stretch.lag_rows, found.last_row - stretch.lag_rows)
    assert found.change is not None
    return (
        f"had {value} over {_changed(alert, found)} stayed within "
        f"{figure((1 - found.change.strength) * float(np.nanmax(off)))} of its course over {like}; "
        f"was off by up to {figure(float(np.nanmax(off)))}"
    )


def _band(found: Counterfactual) -> str:
    low, high = figure(found.low, found.unit), figure(found.high, found.unit)
    if np.isfinite(found.low) and np.isfinite(found.high):
        return f"within {low} to {high}"
    return f"at most {high}" if np.isfinite(found.high) else f"at least {low}"


def _was(found: Counterfactual) -> str:
    up, down = np.isfinite(found.high), np.isfinite(found.low)
    if up and down:
        low, high = figure(found.was_low, found.unit), figure(found.was_high, found.unit)
        return f"was {low} to {high}"
    return (
        f"was up to {figure(found.was_high, found.unit)}"
        if up
        else f"was down to {figure(found.was_low, found.unit)}"
    )


def _ends(found: Counterfactual) -> Iterator[str]:
    if not found.is_found or found.change is None:
        return
    if not found.change.is_monotone:
        yield "          not monotone: a greater change may alert again"


def _changed(alert: SeriesAlert, found: Counterfactual) -> str:
    return _span(alert, found.first_row, found.last_row)


def _at(alert: SeriesAlert, row: int) -> str:
    time_ns = alert.time_ns(row)
    return f"row {alert.file_row(row)}" if time_ns is None else moment(time_ns)


def _span(alert: SeriesAlert, first: int, last: int) -> str:
    start_ns, end_ns = alert.time_ns(first), alert.time_ns(last)
    if start_ns is None or end_ns is None:
        return f"rows {alert.file_row(first)} to {alert.file_row(last)}"
    return span(start_ns, end_ns)


def _times(start_ns: int | None, end_ns: int | None) -> str:
    return "-" if start_ns is None or end_ns is None else span(start_ns, end_ns)
