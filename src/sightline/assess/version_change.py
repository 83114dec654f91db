"""Did a version change what it should not have? A test over all subjects, to be looked at daily.

One subject cannot tell: its channels age, and follow seasons of their own. Many can, if some get
the version while others wait. On each day on which a version goes out, the subjects that ran the
same version the day before are the *risk set*; those among them that are updated that day are drawn
from it. If the version changes nothing, they are any of them: their own change over the next days
has a rank among the changes of all, and each rank is as likely as another. What is common to all, a
season or an outage, moves no rank. So for scores ``s`` of the ranks and any ``λ``

    e = exp(λ Σ_updated (s - mean s)) / (mean over the risk set of exp(λ (s - mean s))) ^ updated

has an expectation of at most 1, because drawing without replacement is no wilder than drawing with
it (Hoeffding 1963, "Probability inequalities for sums of bounded random variables", theorem 4).
Days are drawn one after the other, as in the log-rank test, so the product over days is a
supermartingale, and the probability that it ever reaches 1 / a is at most a (Ville 1939): whoever
looks at it daily loses nothing. That is so whatever the days of a subject have to do with each
other, without a guess at its noise; an average of such products over several λ has the same
property.

The change of a subject is taken twice: as ``after - before``, the means of ``h`` days each, and as
that less the same change of before, ``(after - before) - (before - earlier) (h + 1) / h``, in which
no steady ageing is left.

The size of the effect turns the test around: it is the shift which, taken off the days with the
version, leaves the ranks of the updated in the middle (Hodges & Lehmann 1963), and the interval
holds all shifts that the same test does not reject, so that it too may be looked at daily (Robbins
1970).

The day of an update is left out for whoever is updated, as one restarts then. So that a day left
out, or lost, is no change by itself where all follow one season, the middle of the risk set is
taken off each day first.

What it cannot tell: anything where all subjects are updated on one day, or where who is updated
when depends on what its channels are doing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

CHANGES = 2
"""Ways in which the change of a subject is taken: plain, and without its steady ageing."""
_STAKES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
BETS = CHANGES * len(_STAKES)
"""Products that are followed side by side for each metric and number of days."""
_ROOT_12 = math.sqrt(12.0)
_OUTWARD = 40
_HALVINGS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDay:
    """One day on which a version went out, and what changed since in those that might have got it.

    Attributes:
        change: float64[n, CHANGES, c], of n subjects of the risk set, in the units of the c
            metrics; NaN where there are too few days.
        share: float64[n], share of the days after on which a subject ran the version, 0 to 1.
        is_updated: bool[n], who got it that day.
    """

    change: FloatArray
    share: FloatArray
    is_updated: BoolArray


def changes(daily: FloatArray, *, days: int) -> FloatArray:
    """What changed in each subject between the days before an update and those after it.

    Args:
        daily: float64[n, 3 days + 1, c], the days of ``n`` subjects around an update, of which the
            last but ``days`` is that of the update itself and is left out; NaN is "no value".
        days: in each of the three stretches; at least 1.

    Returns:
        float64[n, CHANGES, c]; NaN where half of a stretch has no value.

    >>> daily = np.array([[[0.0], [1.0], [9.0], [8.0]]])
    >>> changes(daily, days=1)[0, :, 0].tolist()
    [7.0, 5.0]
    """
    earlier, before, after = (
        _stretch_mean(daily[:, begin : begin + days]) for begin in (0, days, 2 * days + 1)
    )
    plain = after - before
    return np.stack([plain, plain - (before - earlier) * (days + 1) / days], axis=1)


def comparable(daily: FloatArray, version: IntArray) -> FloatArray:
    """Daily values of a risk set, less its middle of each day, without days of an update.

    Args:
        daily: float64[n, d, c]; NaN is "no value".
        version: int64[n, d], what each subject ran at the end of each day.

    >>> daily = np.array([[[1.0], [5.0], [3.0]], [[3.0], [4.0], [5.0]]])
    >>> comparable(daily, np.array([[0, 1, 1], [0, 0, 0]]))[:, :, 0].tolist()
    [[-1.0, nan, -1.0], [1.0, 0.0, 1.0]]
    """
    found = daily.copy()
    found[:, 1:][version[:, 1:] != version[:, :-1]] = np.nan
    is_known = np.isfinite(found).any(axis=0)
    middle = np.zeros(found.shape[1:])
    middle[is_known] = np.nanmedian(found[:, is_known], axis=0)
    return found - middle


def _stretch_mean(values: FloatArray) -> FloatArray:
    """float64[n, c]: mean over days; NaN with less than half of them."""
    is_known = np.isfinite(values)
    known = is_known.sum(axis=1)
    total = np.where(is_known, values, 0.0).sum(axis=1)
    is_enough = 2 * known >= values.shape[1]
    return np.where(is_enough, total / np.maximum(known, 1), np.nan)


def log_evidence(day: UpdateDay) -> FloatArray:
    """float64[BETS, c]: logarithm of e for one day and each bet and metric.

    0 where nobody was updated, or nobody else is in the risk set.

    >>> day = UpdateDay(change=np.arange(8.0).reshape(4, 2, 1), share=np.zeros(4),
    ...                 is_updated=np.array([False, False, False, True]))
    >>> log_evidence(day).shape, round(float(log_evidence(day).max()), 3)
    ((12, 1), 1.193)
    """
    metrics = day.change.shape[2]
    found = np.zeros((CHANGES, len(_STAKES), metrics))
    for way in range(CHANGES):
        for metric in range(metrics):
            change = day.change[:, way, metric]
            is_known = np.isfinite(change)
            score = _scores(change[is_known])
            is_updated = day.is_updated[is_known]
            updated = int(is_updated.sum())
            if 0 < updated < len(score):
                gained = float(score[is_updated].sum())
                for at, stake in enumerate(_STAKES):
                    usual = math.log(float(np.exp(stake * score).mean()))
                    found[way, at, metric] = stake * gained - updated * usual
    return found.reshape(BETS, metrics)


def _scores(change: FloatArray) -> FloatArray:
    """Ranks with mean 0 and standard deviation about 1; equal changes share theirs."""
    ordered = np.sort(change)
    rank = (np.searchsorted(ordered, change) + np.searchsorted(ordered, change, "right")) / 2
    return (rank / max(len(change), 1) - 0.5) * _ROOT_12


def together(log_products: FloatArray) -> FloatArray:
    """float64[c]: logarithm of the average over the bets, float64[BETS, c], of their products."""
    most = log_products.max(axis=0)
    return np.asarray(most + np.log(np.exp(log_products - most).mean(axis=0)), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How much a version changes a metric, in its unit.

    Attributes:
        size: best single number.
        low, high: interval that holds the true size with the asked probability, however often it
            was looked at; infinite where the days at hand do not bound it.
    """

    size: float
    low: float
    high: float


def effect(days: Sequence[UpdateDay], metric: int, *, error: float) -> Effect:
    """How much the version changes one metric.

    Args:
        days: on which it went out, with all that changed since; at least one.
        metric: place among the metrics.
        error: probability that the interval misses the true size, 0 to 1, exclusive.

    >>> rng = np.random.default_rng(0)
    >>> many = []
    >>> for _ in range(8):
    ...     change = rng.normal(0, 1, (30, 2, 1))
    ...     change[:4] += 3.0
    ...     share = (np.arange(30) < 4) * 1.0
    ...     many.append(UpdateDay(change=change, share=share, is_updated=share > 0))
    >>> found = effect(many, 0, error=0.05)
    >>> 2.5 < found.size < 3.5, found.low < 3.0 < found.high
    (True, True)
    """
    way = _telling_way(days, metric)
    parts = [
        UpdateDay(
            change=day.change[:, way : way + 1, metric : metric + 1].repeat(CHANGES, axis=1),
            share=day.share,
            is_updated=day.is_updated,
        )
        for day in days
    ]
    size = _middle(parts)
    step = max(_spread(parts) / 8, np.finfo(np.float64).tiny)
    limit = -math.log(error)
    low, high = (_edge(parts, size, sign * step, limit) for sign in (-1.0, 1.0))
    return Effect(size=size, low=low, high=high)


def _telling_way(days: Sequence[UpdateDay], metric: int) -> int:
    """The way of taking changes that says more."""
    total = np.sum([log_evidence(_of_metric(day, metric)) for day in days], axis=0)
    best = total.reshape(CHANGES, len(_STAKES)).max(axis=1)
    return int(best.argmax())


def _of_metric(day: UpdateDay, metric: int) -> UpdateDay:
    change = day.change[:, :, metric : metric + 1]
    return UpdateDay(change=change, share=day.share, is_updated=day.is_updated)


def _shifted(days: Sequence[UpdateDay], shift: float) -> list[UpdateDay]:
    """As if the version had changed the metric by ``shift`` less."""
    return [
        UpdateDay(
            change=day.change - shift * day.share[:, None, None],
            share=day.share,
            is_updated=day.is_updated,
        )
        for day in days
    ]


def _lean(days: Sequence[UpdateDay], shift: float) -> float:
    """Sum of the scores of the updated: above 0 where they changed more than the others."""
    total = 0.0
    for day in _shifted(days, shift):
        change = day.change[:, 0, 0]
        is_known = np.isfinite(change)
        total += float(_scores(change[is_known])[day.is_updated[is_known]].sum())
    return total


def _spread(days: Sequence[UpdateDay]) -> float:
    """Half the distance between the quarters of the changes."""
    known = np.concatenate([day.change[:, 0, 0] for day in days])
    known = known[np.isfinite(known)]
    if not len(known):
        return 0.0
    low, high = np.percentile(known, (25, 75))
    return float(high - low) / 2 or float(np.abs(known).max())


def _middle(days: Sequence[UpdateDay]) -> float:
    """The shift at which the updated lean to neither side."""
    known = np.concatenate([day.change[:, 0, 0] for day in days])
    known = known[np.isfinite(known)]
    reach = float(known.max() - known.min()) if len(known) else 0.0
    low, high = -reach, reach
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _lean(days, middle) > 0 else (low, middle)
    return (low + high) / 2


def _edge(days: Sequence[UpdateDay], size: float, step: float, limit: float) -> float:
    """The shift beyond ``size``, in the direction of ``step``, from which on it is rejected."""

    def is_rejected(shift: float) -> bool:
        total = np.sum([log_evidence(day) for day in _shifted(days, shift)], axis=0)
        return bool(together(total)[0] >= limit)

    inside, reach = size, step
    for _ in range(_OUTWARD):
        if is_rejected(size + reach):
            break
        inside, reach = size + reach, 2 * reach
    else:
        return math.copysign(math.inf, step)
    outside = size + reach
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if is_rejected(middle) else (middle, outside)
    return outside


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSet:
    """Those who might have been updated on one day, and those who were.

    Attributes:
        version: that went out, by number.
        before: which all of them ran till then, by number.
        has: bool[n], the subjects of the set.
        is_updated: bool[n], who got it that day.
        share: float64[n], share of the days after on which a subject ran the version, 0 to 1.
    """

    version: int
    before: int
    has: BoolArray
    is_updated: BoolArray
    share: FloatArray


def risk_sets(version: IntArray, *, days: int, known_from: int = 0) -> list[RiskSet]:
    """The risk sets of one day, in which somebody was updated and somebody was not.

    Args:
        version: int64[n, 3 days + 1], what each subject ran at the end of each day around that of
            the update, which is the last but ``days``; below ``known_from`` where nobody has said.
        days: in each of the stretches that are compared.
        known_from: least number of a version that somebody has named.

    >>> version = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 2, 2], [0, 0, 0, 2]])
    >>> [(one.version, one.has.tolist(), one.is_updated.tolist())
    ...  for one in risk_sets(version, days=1)]
    [(1, [True, True, False, False], [True, False, False, False]), \
(2, [False, True, True, True], [False, False, True, False])]
    """
    at = 2 * days
    before, got = version[:, at - 1], version[:, at]
    is_steady = (version[:, :at] == before[:, None]).all(axis=1)
    is_new = (got != before) & (got >= known_from)
    later = version[:, at:]
    found = []
    for to in np.unique(got[is_new]).tolist():
        is_it = later == to
        # Whoever goes to a third version meanwhile may have changed for that reason.
        stays = is_steady & (is_it | (later == before[:, None])).all(axis=1)
        share = is_it[:, :-1].sum(axis=1) / days
        for begin in np.unique(before[is_new & (got == to)]).tolist():
            has = stays & (before == begin)
            is_updated = has & (got == to)
            if is_updated.any() and (has & ~is_updated).any():
                found.append(
                    RiskSet(
                        version=int(to), before=int(begin), has=has, is_updated=is_updated,
                        share=share,
                    )
                )  # fmt: skip
    return found
