"""Did a new version change what it should not have? A test over all who run it, and since when.

One satellite cannot tell: its channels age, and follow seasons of their own. Many can. For each
subject the days around *its own* update are compared by a second difference,

    contrast = (after - before) - (before - earlier) * (days from before to after) /
                                                       (days from earlier to before),

each the mean of w days, which is 0 for a constant and for any steady trend (ageing), s for a step
of s, and about r w / 2 for a ramp of r a day that begins with the update. What is left of a
subject's season has either sign, as seasons have phases of their own. Under "nothing changed" the
contrasts of the subjects are thus independent and symmetric about 0, whatever the correlation of
days within a subject, and Wilcoxon's signed-rank test (1945, "Individual comparisons by ranking
methods") gives a p-value without permutations and without a guess at that correlation: an exact one
up to 50 subjects without ties, its normal approximation beyond.

*Since when* is a least-squares change point of the median course over the subjects by day since
the update: a step or a ramp (Bai 1994, "Least squares estimation of a shift in linear processes";
Hinkley 1971, "Inference in two-phase regression"), after a common trend.

When not to use it: with fewer than 6 subjects (no evidence can then reach 0.05), where all got the
version on the same day (a fleet-wide event of that day looks the same; roll out over days), and for
changes far quicker than a day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

_TRIM = 4.0
_ROOT_6 = math.sqrt(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredChange:
    """What a version changes in a channel on purpose: new = old * gain + offset.

    Attributes:
        gain: above 0.
        offset: in the channel's unit.
        quantum_before: step of the converter before; 0 if unknown.
        quantum_after: and after it.
    """

    gain: float = 1.0
    offset: float = 0.0
    quantum_before: float = 0.0
    quantum_after: float = 0.0

    def level_as_before(self, level: FloatArray) -> FloatArray:
        """Levels measured after the change, as they would have been before it.

        >>> DeclaredChange(gain=2.0, offset=1.0).level_as_before(np.array([5.0]))
        array([2.])
        """
        return (level - self.offset) / self.gain

    def spread_as_before(self, spread: FloatArray) -> FloatArray:
        """Spreads measured after the change, as they would have been before it.

        A step q adds q² / 12 to the variance (Sheppard's correction; Widrow & Kollár 2008,
        "Quantization noise"), good while the noise is half a step or more.
        """
        added = (self.quantum_after**2 - (self.gain * self.quantum_before) ** 2) / 12
        return np.sqrt(np.maximum(spread**2 - added, 0.0)) / self.gain


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """What the test found for one version, channel and statistic. It is true if it changed.

    Attributes:
        p_value: probability of contrasts at least so lopsided if nothing had changed, 0 to 1.
        false_alarm_probability: the level it was tested at.
        effect: median contrast (Hodges and Lehmann's estimate), in the statistic's unit.
        onset_day: since when, in days from that of the update; NaN if nothing changed.
        is_ramp: whether it grows day by day rather than having stepped once.
        subjects: how many had enough days.
    """

    p_value: float
    false_alarm_probability: float
    effect: float
    onset_day: float
    is_ramp: bool
    subjects: int

    def __bool__(self) -> bool:
        return self.p_value < self.false_alarm_probability


def daily_level_and_spread(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Level and noise of each channel over one day.

    The level is the median. The noise is the root mean square of second differences over √6, which
    an orbit's slow swing does not enter (von Neumann et al. 1941, "The mean square successive
    difference", one order higher), with values beyond 4 times their median size drawn in to there,
    so that a command's jump counts no more than noise.

    Args:
        values: float64[n, c], evenly sampled; NaN is "no value".

    Returns:
        float64[c] each, in the channels' units; NaN for a channel without 3 values in a row.

    >>> level, spread = daily_level_and_spread(np.tile([[0.0], [1.0]], (50, 1)))
    >>> float(level[0]), round(float(spread[0]), 2)
    (0.5, 0.82)
    """
    level, spread = np.full((2, values.shape[1]), np.nan)
    bend = np.abs(np.diff(values, n=2, axis=0))
    for k in range(values.shape[1]):
        known = bend[:, k][np.isfinite(bend[:, k])]
        if len(known):
            level[k] = np.median(values[:, k][np.isfinite(values[:, k])])
            # A mean size, not a median: of coarse steps the median is 0 or a whole one.
            bound = _TRIM * max(float(np.median(known)), float(known.mean()))
            spread[k] = math.sqrt(float(np.square(np.minimum(known, bound)).mean())) / _ROOT_6
    return level, spread


def version_change(
    daily: FloatArray,
    first_day: IntArray,
    *,
    days: int,
    false_alarm_probability: float,
    skip_days: int = 1,
) -> VersionChange:
    """Whether a daily statistic changed with a version, over all subjects that got it.

    With m versions, channels and statistics tested, or m looks, give each the m-th part of the
    false-alarm probability (Bonferroni).

    Args:
        daily: float64[n, d], one row for each subject, one column for each day in order; declared
            changes already undone (:class:`DeclaredChange`); NaN is "no value".
        first_day: int64[n], column of the day of each subject's update.
        days: w, days compared after the update; twice as many before it are needed. At least 3.
        false_alarm_probability: 0 to 1, exclusive.
        skip_days: days left out from the update's on, which are partly before it; 0 or more.

    Returns:
        What was found. Subjects without half of each stretch of days are left out; with fewer than
        6 left the p-value is 1.

    Raises:
        UsageError: shapes that do not fit, fewer than 3 days or a probability outside 0 to 1.

    >>> rng = np.random.default_rng(0)
    >>> daily = rng.normal(20, 1, (30, 40))
    >>> daily[:, 25:] += 0.2 * np.arange(1, 16)
    >>> found = version_change(daily, np.full(30, 24), days=12, false_alarm_probability=0.001)
    >>> bool(found), found.is_ramp
    (True, True)
    """
    _check(daily, first_day, days, false_alarm_probability, skip_days)
    relative = np.concatenate([np.arange(-2 * days, 0), np.arange(days) + skip_days])
    course = _by_day_since(daily, first_day, relative)
    known = np.isfinite(course).reshape(len(course), 3, days).sum(axis=2)
    course = course[(known >= (days + 1) // 2).all(axis=1)]
    if len(course) < 6:
        return _nothing(len(course), false_alarm_probability)
    stretches = course.reshape(-1, 3, days)
    earlier, before, after = np.nanmean(stretches, axis=2).T
    # Days without a value shift the middle of a stretch, so each subject has its own distances.
    day = np.where(np.isfinite(stretches), relative.reshape(3, days), np.nan)
    to_earlier, to_before, to_after = np.nanmean(day, axis=2).T
    lengthening = (to_after - to_before) / (to_before - to_earlier)
    contrast = (after - before) - (before - earlier) * lengthening
    if not contrast.any():
        return _nothing(len(course), false_alarm_probability)
    p_value = float(stats.wilcoxon(contrast, zero_method="pratt").pvalue)
    onset_day, is_ramp = math.nan, False
    if p_value < false_alarm_probability:
        median_course = np.nanmedian(course - before[:, None], axis=0)
        onset, is_ramp = _since(median_course, relative.astype(np.float64), days)
        onset_day = float(onset)
    return VersionChange(
        p_value=p_value,
        false_alarm_probability=false_alarm_probability,
        effect=_pseudo_median(contrast),
        onset_day=onset_day,
        is_ramp=is_ramp,
        subjects=len(course),
    )


def _by_day_since(daily: FloatArray, first_day: IntArray, relative: IntArray) -> FloatArray:
    """float64[n, k]: the values on ``relative`` days from each update, NaN outside the table."""
    column = first_day[:, None] + relative
    is_inside = (column >= 0) & (column < daily.shape[1])
    inside = np.take_along_axis(daily, np.clip(column, 0, daily.shape[1] - 1), axis=1)
    return np.where(is_inside, inside, np.nan)


def _since(course: FloatArray, day: FloatArray, days: int) -> tuple[int, bool]:
    """First day of a step or ramp on top of a trend, from the update, and whether it is a ramp."""
    known = np.isfinite(course)
    best = (math.inf, 0, False)
    for onset in range(-days, int(day[-1])):
        for is_ramp in (False, True):
            change = np.maximum(day - onset + 1, 0.0) if is_ramp else (day >= onset) * 1.0
            terms = np.stack([np.ones_like(day), day, change], axis=1)[known]
            fit = np.linalg.lstsq(terms, course[known], rcond=None)[0]
            left = float(np.square(course[known] - terms @ fit).sum())
            best = min(best, (left, onset, is_ramp))
    return best[1], best[2]


def _pseudo_median(contrast: FloatArray) -> float:
    """Median of all pairwise means. Beyond 2,000 subjects, of the first 2,000."""
    some = contrast[:2000]
    first, second = np.triu_indices(len(some))
    return float(np.median((some[first] + some[second]) / 2))


def _nothing(subjects: int, false_alarm_probability: float) -> VersionChange:
    return VersionChange(
        p_value=1.0,
        false_alarm_probability=false_alarm_probability,
        effect=0.0,
        onset_day=math.nan,
        is_ramp=False,
        subjects=subjects,
    )


def _check(
    daily: FloatArray, first_day: IntArray, days: int, probability: float, skip_days: int
) -> None:
    if daily.ndim == 2 and first_day.shape == daily.shape[:1] and days >= 3 and skip_days >= 0:
        if 0 < probability < 1:
            return
        expected, got = "a false_alarm_probability between 0 and 1", str(probability)
    else:
        expected = "daily[n, d], first_day[n], days of 3 or more and skip_days of 0 or more"
        got = f"{daily.shape}, {first_day.shape}, {days} and {skip_days}"
    raise UsageError(expected=expected, got=got, where="version_change", action="mend the argument")
