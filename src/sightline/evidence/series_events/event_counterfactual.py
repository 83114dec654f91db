"""What would not have alerted, of an event in a series: tried on the detector itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from sightline.evidence.counterfactual import Counterfactual, least_change
from sightline.evidence.words import figure
from sightline.perceive.normal import EventRule, SeriesDetector, score_events
from sightline.perceive.normal.attribution import ScoreAttribution
from sightline.perceive.normal.features import STATISTICS
from sightline.records.windows import FloatArray, IntArray

MAX_AFTER_ROWS = 1 << 17
"""Rows after an event that are scored again; later ones keep their scores."""
MAX_LAGS = 1 << 18
"""Rows back within which a stretch of the past is looked for."""
MAX_STRETCHES = 4
"""Stretches of the past that are tried for one event."""
_GREATEST, _LEAST = STATISTICS.index("greatest"), STATISTICS.index("least")
_QUIET = 3.0  # deviations of the misfit before the event within which a sample is as normal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventTrial:
    """A series and one of its events, ready to be scored again with other samples.

    Attributes:
        values: float64[n], the series.
        score: float64[n], as it was.
        detector: as it was before ``first_row``.
        first_row, last_row: what may be changed, both included: the event, and what led to it.
        until_row: the last row at which an unusual score counts for this event.
        rule: of events.
    """

    values: FloatArray
    score: FloatArray
    detector: SeriesDetector
    first_row: int
    last_row: int
    until_row: int
    rule: EventRule

    def scores(self, changed: FloatArray) -> FloatArray:
        """float64[n]: the scores with other samples from ``first_row`` to ``last_row``."""
        stop = min(len(self.values), self.until_row + 1 + MAX_AFTER_ROWS)
        rest = self.values[self.last_row + 1 : stop]
        found = self.score.copy()
        again, _ = self.detector.follow(np.concatenate([changed, rest]))
        found[self.first_row : stop] = again
        return found

    def alerts(self, score: FloatArray) -> bool:
        """Whether the rule still makes an event of any row that belongs to this one."""
        events = score_events(score, self.rule)
        mine = score[self.first_row : self.until_row + 1] >= self.rule.threshold
        rows = np.flatnonzero(mine) + self.first_row
        if not len(rows) or not len(events):
            return False
        return bool(((events[:, :1] <= rows) & (rows <= events[:, 1:])).any())

    def greatest(self, score: FloatArray) -> float:
        """The greatest score of the rows that belong to this event; NaN without any."""
        mine = score[self.first_row : self.until_row + 1]
        return float(np.nanmax(mine)) if np.isfinite(mine).any() else np.nan

    @property
    def original(self) -> FloatArray:
        """float64[k], the samples that may be changed."""
        return self.values[self.first_row : self.last_row + 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalStretch:
    """A stretch of the past laid over an event, in phase with what came before it.

    Attributes:
        lag_rows: how far back it lies.
        values: float64[k], its samples, in place of those of the event.
        misfit: root mean square of the difference of what came before each.
    """

    lag_rows: int
    values: FloatArray
    misfit: float


def level_counterfactual(trial: EventTrial, why: ScoreAttribution) -> Counterfactual:
    """Clip the samples to a band that narrows to the range of the nearest normal windows.

    An event whose values stay within all that was remembered as normal before it is not one of
    level, and is not searched.

    Args:
        trial: the event.
        why: attribution of its greatest score.
    """
    known = [
        one
        for one in why.widths
        # What lasts is learnt: a window of the event itself is no measure of it.
        if one.normal is None or one.normal.last_row < trial.first_row
        if np.isfinite(one.nearest).all()
    ]
    samples = trial.original
    finite = samples[np.isfinite(samples)]
    if not known or not len(finite):
        return Counterfactual(family="level", change=None, note="no window to compare with")
    was = float(finite.min()), float(finite.max())
    normal = (
        min(one.feature("least")[1] for one in known),
        max(one.feature("greatest")[1] for one in known),
    )
    remembered = _remembered_range(trial.detector)
    if remembered[0] <= was[0] and was[1] <= remembered[1]:
        return Counterfactual(
            family="level",
            change=None,
            was_low=was[0],
            was_high=was[1],
            note="the values stayed within what is remembered as normal: "
            "not their level is unusual but their course",
        )

    def band(strength: float) -> tuple[float, float]:
        low = was[0] + strength * max(normal[0] - was[0], 0.0)
        high = was[1] + strength * min(normal[1] - was[1], 0.0)
        return low, max(low, high)

    change = least_change(lambda s: trial.alerts(trial.scores(np.clip(samples, *band(s)))))
    end = change.strength if change.is_found else 1.0
    low, high = band(end)
    clipped = np.clip(samples, low, high)
    score, rows = trial.scores(clipped), _changed(trial, clipped)
    return Counterfactual(
        family="level",
        change=change,
        low=low if low > was[0] else np.nan,
        high=high if high < was[1] else np.nan,
        was_low=was[0],
        was_high=was[1],
        reached=trial.greatest(score),
        first_row=rows[0],
        last_row=rows[1],
        changed=rows[2],
    )


def _remembered_range(detector: SeriesDetector) -> tuple[float, float]:
    """The least and the greatest sample of all windows that are remembered."""
    low, high = np.inf, -np.inf
    for one in detector.known():
        low = min(low, float(one.vectors[:, _LEAST].min() * one.spread[_LEAST]))
        high = max(high, float(one.vectors[:, _GREATEST].max() * one.spread[_GREATEST]))
    return low, high


def normal_counterfactual(
    trial: EventTrial, why: ScoreAttribution, events: IntArray
) -> tuple[Counterfactual, NormalStretch | None]:
    """Move the samples towards a stretch of the past, laid over them in phase.

    Candidates are the stretch before which the past was most like what came before the event, and
    those at the nearest normal windows, each shifted to where it fits best. In the order of their
    misfit, the first that does not alert in the place of the event is moved towards.

    Args:
        trial: the event.
        why: attribution of its greatest score.
        events: int64[e, 2], all events of the series: no stretch of normal overlaps one.
    """
    samples = trial.original
    first: NormalStretch | None = None
    for stretch in _stretches(trial, why, events):
        first = first or stretch
        for target in _targets(samples, stretch):
            if trial.alerts(trial.scores(target)):
                continue
            change = least_change(
                lambda s, target=target: trial.alerts(  # type: ignore[misc]
                    trial.scores(samples + s * (target - samples))
                )
            )
            if not change.is_found:
                break
            moved = samples + change.strength * (target - samples)
            score = trial.scores(moved)
            rows = _changed(trial, moved)
            a, b = rows[0] - trial.first_row, rows[1] - trial.first_row
            after, before = moved[a : b + 1], samples[a : b + 1]
            off = np.abs(before - target[a : b + 1])
            note = (
                f"within {figure((1 - change.strength) * float(np.nanmax(off)))} of what it was "
                f"{stretch.lag_rows} rows earlier; was off by up to {figure(float(np.nanmax(off)))}"
            )
            return (
                Counterfactual(
                    family="normal",
                    change=change,
                    low=float(np.nanmin(after)),
                    high=float(np.nanmax(after)),
                    was_low=float(np.nanmin(before)),
                    was_high=float(np.nanmax(before)),
                    reached=trial.greatest(score),
                    note=note,
                    first_row=rows[0],
                    last_row=rows[1],
                    changed=rows[2],
                ),
                stretch,
            )
    note = (
        "no stretch of the past is at hand that is as long"
        if first is None
        else "with a stretch of the past in its place it would have alerted too"
    )
    return Counterfactual(family="normal", change=None, note=note), first


def _targets(samples: FloatArray, stretch: NormalStretch) -> Iterator[FloatArray]:
    """What to move towards: where the event is off what is usual, then all of the stretch."""
    off = np.abs(samples - stretch.values)
    rows = np.flatnonzero(off > _QUIET * stretch.misfit)
    if len(rows):
        trimmed = samples.copy()
        trimmed[rows[0] : rows[-1] + 1] = stretch.values[rows[0] : rows[-1] + 1]
        yield trimmed
    yield stretch.values


def _stretches(
    trial: EventTrial, why: ScoreAttribution, events: IntArray
) -> Iterator[NormalStretch]:
    lags, square = _misfits(trial, events)
    if not len(lags):
        return
    chosen: list[int] = []
    for one in why.widths:
        if one.normal is None:
            continue
        near = np.flatnonzero(np.abs(lags - (one.row - one.normal.last_row)) <= one.width // 2)
        if len(near):
            chosen.append(int(near[np.argmin(square[near])]))
    chosen = [int(np.argmin(square)), *chosen]
    for at in sorted(dict.fromkeys(chosen), key=lambda at: square[at])[:MAX_STRETCHES]:
        lag = int(lags[at])
        values = trial.values[trial.first_row - lag : trial.last_row + 1 - lag]
        if np.isfinite(values).any():
            filled = np.where(np.isfinite(values), values, trial.original)
            yield NormalStretch(lag_rows=lag, values=filled, misfit=float(np.sqrt(square[at])))


def _misfits(trial: EventTrial, events: IntArray) -> tuple[IntArray, FloatArray]:
    """Lags at which the past is whole, normal and before the event, and how well each fits.

    The misfit is the mean square of the differences over the widest window before the event.
    """
    first, length = trial.first_row, trial.last_row + 1 - trial.first_row
    context = min(trial.detector.settings.widths[-1], first)
    lags = np.arange(length, min(first - context, MAX_LAGS) + 1)
    if context < 2 or not len(lags):
        return np.empty(0, np.int64), np.empty(0)
    # Nothing of an event in the stretch, nor so short before it that its windows held some.
    is_event = np.zeros(len(trial.values) + 1, np.int64)
    for a, b in events:
        is_event[max(a - context, 0) : b + 1] = 1
    total = np.concatenate([[0], np.cumsum(is_event)])
    lags = lags[total[first + length - lags] == total[first - context - lags]]
    if not len(lags):
        return lags, np.empty(0)
    oldest = first - context - int(lags.max())
    past = trial.values[oldest:first]
    middle = float(np.nanmedian(past)) if np.isfinite(past).any() else 0.0
    past = np.where(np.isfinite(past), past, middle) - middle
    recent = past[-context:]
    squares = np.concatenate([[0.0], np.cumsum(past**2)])
    product = fftconvolve(past, recent[::-1], mode="valid")
    at = first - context - lags - oldest
    mean = (squares[at + context] - squares[at] - 2 * product[at] + (recent**2).sum()) / context
    return lags, np.maximum(mean, 0.0)


def _changed(trial: EventTrial, after: FloatArray) -> tuple[int, int, int]:
    """First and last row that differ, and how many do."""
    rows = np.flatnonzero(np.isfinite(trial.original) & (after != trial.original))
    if not len(rows):
        return trial.first_row, trial.last_row, 0
    return trial.first_row + int(rows[0]), trial.first_row + int(rows[-1]), len(rows)
