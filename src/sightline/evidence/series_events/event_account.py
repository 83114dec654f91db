"""An event found in a series of a file, explained: what was unusual, since when, what else was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.evidence.counterfactual import Counterfactual
from sightline.evidence.series_detection import DetectedSeries
from sightline.evidence.series_events.event_counterfactual import (
    EventTrial,
    NormalStretch,
    level_counterfactual,
    normal_counterfactual,
)
from sightline.evidence.words import figure, moment, number, span
from sightline.perceive.normal import EventRule, NormalSettings, SeriesDetector, attribute_score
from sightline.perceive.normal.attribution import ScoreAttribution, WidthAttribution, unusual_since

MAX_ALERTS = 20
"""Events that are explained at once: the strongest ones. Each takes some tens of runs."""
MAX_NEIGHBOURS = 8
"""Other series that are named; all are counted."""
SINCE_LEVEL = 1.0
"""Score from which a series counts as departing: one deviation at every width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An event of another series at the same time.

    Attributes:
        key: of that series.
        start_ns, end_ns: of its event, UTC ns; None without times.
        score: its greatest.
    """

    key: str
    start_ns: int | None
    end_ns: int | None
    score: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesAlert:
    """One event, explained.

    Attributes:
        rank: 1 for the strongest event of the file.
        found: the series and all its events.
        event: which of its events.
        trial: what may be changed, and the detector before it.
        threshold: a score at or above it is unusual.
        peak: row of the greatest score.
        since: first row of the run with scores of at least ``SINCE_LEVEL`` that led to it.
        why: attribution of the greatest score.
        level, normal: what would not have alerted.
        stretch: what the samples were moved towards; None if nothing was at hand.
        neighbours: other series with an event at that time, at most ``MAX_NEIGHBOURS``.
        neighbours_in_all: how many there are.
    """

    rank: int
    found: DetectedSeries
    event: int
    trial: EventTrial
    threshold: float
    peak: int
    since: int
    why: ScoreAttribution
    level: Counterfactual
    normal: Counterfactual
    stretch: NormalStretch | None
    neighbours: tuple[Neighbour, ...]
    neighbours_in_all: int

    @property
    def rows(self) -> tuple[int, int]:
        """First and last row of the event, both included, as places in the series."""
        first, last = self.found.events[self.event]
        return int(first), int(last)

    @property
    def score(self) -> float:
        """The greatest."""
        return float(self.found.score[self.peak])

    def time_ns(self, row: int) -> int | None:
        """UTC ns of a row of the series; None without times."""
        times = self.found.series.time_ns
        return None if times is None else int(times[row])

    def file_row(self, row: int) -> int:
        """Place in the file, from 0."""
        return int(self.found.series.row[row])

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; rows are places in the series, from 0 (``file_row``: in the file)."""
        first, last = self.rows
        return {
            "rank": self.rank,
            "key": self.found.series.key,
            "first": self._at(first),
            "last": self._at(last),
            "greatest": self._at(self.peak) | {"score": number(self.score)},
            "since": self._at(self.since) | {"level": SINCE_LEVEL},
            "threshold": self.threshold,
            "learnt_rows": self.found.learnt_rows,
            "attribution": self.why.as_mapping(),
            "counterfactuals": [self.level.as_mapping(), self.normal.as_mapping()],
            "neighbours": [
                {
                    "key": n.key,
                    "start_ns": n.start_ns,
                    "end_ns": n.end_ns,
                    "score": number(n.score),
                }
                for n in self.neighbours
            ],
            "neighbours_in_all": self.neighbours_in_all,
        }

    def _at(self, row: int) -> dict[str, Any]:
        return {"row": row, "file_row": self.file_row(row), "time_ns": self.time_ns(row)}


def explain_events(
    found: Sequence[DetectedSeries],
    *,
    rule: EventRule,
    settings: NormalSettings | None = None,
    rank: int | None = None,
    at_ns: int | None = None,
) -> list[SeriesAlert]:
    """Explain events of series: the strongest ones, the one of a rank, or those at a time.

    Args:
        found: what was detected.
        rule, settings: those it was detected with.
        rank: 1 for the strongest event of all series.
        at_ns: UTC ns: events that contain it.

    Returns:
        By strength, at most ``MAX_ALERTS``.

    Raises:
        UsageError: there is no such event.
    """
    every = [
        (place, number_of, greatest)
        for place, one in enumerate(found)
        for number_of, greatest in enumerate(one.greatest_scores())
    ]
    every.sort(key=lambda item: (-item[2], item[0], item[1]))
    ranked = [(at + 1, place, event) for at, (place, event, _) in enumerate(every)]
    # A weaker event is told, too, so what did not reach the threshold is all that would not be.
    rule = replace(rule, least_share=0.0)
    chosen = ranked
    if rank is not None:
        chosen = ranked[rank - 1 : rank] if rank > 0 else []
    elif at_ns is not None:
        chosen = [one for one in ranked if _contains(found[one[1]], one[2], at_ns)]
    if not chosen and (rank is not None or at_ns is not None):
        raise UsageError(
            expected=f"an event: there are {len(ranked)}",
            got=f"number {rank}" if rank is not None else "a time at which there is none",
            where="--explain",
            action="see the list without --explain",
        )
    alerts: list[SeriesAlert] = []
    for place in sorted({place for _, place, _ in chosen[:MAX_ALERTS]}):
        mine = [(number_of, event) for number_of, p, event in chosen[:MAX_ALERTS] if p == place]
        alerts += _of_series(found, place, mine, rule, settings or NormalSettings())
    return sorted(alerts, key=lambda alert: alert.rank)


def _contains(one: DetectedSeries, event: int, at_ns: int) -> bool:
    times = one.series.time_ns
    first, last = one.events[event]
    return times is not None and int(times[first]) <= at_ns <= int(times[last])


def _of_series(
    found: Sequence[DetectedSeries],
    place: int,
    ranked: list[tuple[int, int]],
    rule: EventRule,
    settings: NormalSettings,
) -> list[SeriesAlert]:
    one = found[place]
    values, score = one.series.values, one.score
    detector = SeriesDetector.learn(values[: one.learnt_rows], settings)
    alerts = []
    for rank, event in sorted(ranked, key=lambda item: item[1]):  # the detector only goes forward
        first, last = (int(row) for row in one.events[event])
        peak = first + int(np.nanargmax(score[first : last + 1]))
        since = unusual_since(score, row=first, level=SINCE_LEVEL)
        widths = detector.widths
        begin, until = _bounds(one, event, since, widths)
        earliest = max(min(begin, peak - settings.step(widths[-1])), one.learnt_rows)
        # An event right after another one may need looks from before it began.
        before = detector if detector.rows <= earliest else _at(one, settings, earliest)
        before = before.follow(values[before.rows : earliest])[1]
        detector = before.follow(values[before.rows : begin])[1]
        why = attribute_score(before, values, row=peak, time_ns=one.series.time_ns)
        trial = EventTrial(
            values=values,
            score=score,
            detector=detector,
            first_row=begin,
            last_row=last,
            until_row=until,
            rule=rule,
        )
        normal, stretch = normal_counterfactual(trial, why, one.events)
        neighbours = _neighbours(found, place, first, last)
        alerts.append(
            SeriesAlert(
                rank=rank,
                found=one,
                event=event,
                trial=trial,
                threshold=rule.threshold,
                peak=peak,
                since=since,
                why=why,
                level=_timed(one, level_counterfactual(trial, why)),
                normal=_timed(one, normal),
                stretch=stretch,
                neighbours=tuple(neighbours[:MAX_NEIGHBOURS]),
                neighbours_in_all=len(neighbours),
            )
        )
    return alerts


def _at(one: DetectedSeries, settings: NormalSettings, row: int) -> SeriesDetector:
    values, learnt = one.series.values, one.learnt_rows
    return SeriesDetector.learn(values[:learnt], settings).follow(values[learnt:row])[1]


def _bounds(
    one: DetectedSeries, event: int, since: int, widths: tuple[int, ...]
) -> tuple[int, int]:
    """The first row that may be changed, and the last whose score counts for the event."""
    first, last = (int(row) for row in one.events[event])
    begin = max(first - widths[-1], min(since, first - widths[0]), one.learnt_rows)
    if event > 0:
        begin = max(begin, int(one.events[event - 1, 1]) + 1)
    until = min(last + widths[-1], len(one.score) - 1)
    if event + 1 < len(one.events):
        until = min(until, int(one.events[event + 1, 0]) - 1)
    return min(begin, first), until


def _timed(one: DetectedSeries, found: Counterfactual) -> Counterfactual:
    times = one.series.time_ns
    if times is None or found.first_row < 0:
        return found
    return replace(found, start_ns=int(times[found.first_row]), end_ns=int(times[found.last_row]))


def _neighbours(
    found: Sequence[DetectedSeries], place: int, first: int, last: int
) -> list[Neighbour]:
    """Events of other series that overlap rows of this one in time, the strongest first."""
    times = found[place].series.time_ns
    edges = (first, last) if times is None else (int(times[first]), int(times[last]))
    near = []
    for other, one in enumerate(found):
        theirs = one.series.time_ns
        if other == place or (theirs is None) != (times is None):
            continue
        for (a, b), greatest in zip(one.events, one.greatest_scores(), strict=True):
            begin, end = (int(a), int(b)) if theirs is None else (int(theirs[a]), int(theirs[b]))
            if begin <= edges[1] and end >= edges[0]:
                is_timed = theirs is not None
                near.append(
                    Neighbour(
                        key=one.series.key,
                        start_ns=begin if is_timed else None,
                        end_ns=end if is_timed else None,
                        score=greatest,
                    )
                )
    return sorted(near, key=lambda n: (-n.score, n.key))


# --- as text --------------------------------------------------------------------------------------

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
        f"  score {figure(alert.score)} at {_when_at(alert, alert.peak)}, "
        f"against {figure(alert.threshold)}"
    )
    if alert.why.is_stuck:
        yield (
            f"  {alert.why.equal_rows} samples in a row are equal; unusual from "
            f"{alert.why.unusual_equal_rows} on"
        )
    yield f"  above {figure(SINCE_LEVEL)} since {_when_at(alert, alert.since)}"
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
        f"  {one.width} rows to {_when_at(alert, one.row)}: {figure(one.deviations)} deviations "
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


def _when_at(alert: SeriesAlert, row: int) -> str:
    time_ns = alert.time_ns(row)
    return f"row {alert.file_row(row)}" if time_ns is None else moment(time_ns)


def _span(alert: SeriesAlert, first: int, last: int) -> str:
    start_ns, end_ns = alert.time_ns(first), alert.time_ns(last)
    if start_ns is None or end_ns is None:
        return f"rows {alert.file_row(first)} to {alert.file_row(last)}"
    return span(start_ns, end_ns)


def _times(start_ns: int | None, end_ns: int | None) -> str:
    return "-" if start_ns is None or end_ns is None else span(start_ns, end_ns)
