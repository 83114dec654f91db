"""Probability of detection as non-destructive testing states it: a90, a90/95, false calls.

Source of the methods: MIL-HDBK-1823A (2009), appendices G and H. *Hit/miss*: the log-odds of a
detection are a line in the size (or its logarithm), fitted by maximum likelihood; bounds come from
the likelihood ratio, which holds for few flaws, too (R. C. H. Cheng and T. C. Iles, 1983). *Signal
against size* (â against a): the logarithm of the signal is a line in that of the size with normal
scatter; signals below a decision threshold are misses. Nothing is said beyond the sizes that were
tried: where they do not bracket a90, it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import chi2, f, norm

from sightline.errors import UsageError
from sightline.evidence.bounds import binomial_lower, binomial_upper
from sightline.records.shown_text import markup
from sightline.records.windows import FloatArray

LEAST_FLAWS = 20
"""Fewer say nothing; the handbook asks for 60 with hit/miss and 40 with signals."""
ADVISED_FLAWS = {"hit_miss": 60, "signal": 40}
CURVE_POINTS = 60
_ODDS_OF_90 = math.log(0.9 / 0.1)
_FURTHEST = 50.0
"""Widths of the spread of sizes within which a bound is looked for."""

Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found.

    Attributes:
        method: ``hit_miss`` or ``signal``.
        is_log: the fit is over the logarithm of the size.
        centre, slope: of the line in the size (or its logarithm), through zero at ``centre``; a
            probability of one half is there.
        a50, a90: sizes found with probability 0.5 and 0.9.
        a90_95: size found with probability 0.9 at 95 % confidence; None where there is no such.
        flaws, found: how many flaws there were, and how many of them were found.
        sizes: least and greatest size that was tried.
        curve: float64[n, 3]: size, probability, its lower 95 % bound.
        notes: what a reader must know.
    """

    method: str
    is_log: bool
    centre: float
    slope: float
    a50: float
    a90: float
    a90_95: float | None
    flaws: int
    found: int
    sizes: tuple[float, float]
    curve: FloatArray
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseCalls:
    """Calls where there was no flaw, with exact bounds of the rate.

    Attributes:
        calls, opportunities: counted.
        rate: their quotient, NaN without opportunities.
        low, high: two-sided 95 %.
    """

    calls: int
    opportunities: int
    rate: float
    low: float
    high: float


def false_calls(calls: int, opportunities: int) -> FalseCalls:
    """Exact bounds of Clopper and Pearson.

    >>> one = false_calls(0, 100)
    >>> round(one.low, 4), round(one.high, 4)
    (0.0, 0.0362)
    """
    return FalseCalls(
        calls=calls,
        opportunities=opportunities,
        rate=calls / opportunities if opportunities else math.nan,
        low=binomial_lower(calls, opportunities, confidence=0.975),
        high=binomial_upper(calls, opportunities, confidence=0.975),
    )


def fit_hit_miss(
    size: FloatArray, is_hit: Hits, *, is_log: bool = True, points: int = CURVE_POINTS
) -> Detection:
    """Probability of detection from flaws that were found or missed.

    Args:
        size: float64[n], of flaws, above 0 where ``is_log``.
        is_hit: bool[n].
        is_log: fit over the logarithm of the size.
        points: of the curve; its bound takes most of the time.

    Raises:
        UsageError: there are too few flaws, sizes do not overlap, larger flaws are found less
            often, or the sizes do not bracket a90.
    """
    where = "hit/miss data"
    x = _scale(size, is_log, where)
    _check_count(len(x), where)
    if is_hit.all() or not is_hit.any():
        raise _refused(
            "flaws that were found and flaws that were missed",
            "all found" if is_hit.all() else "all missed",
            where,
            "add smaller and larger flaws",
        )
    if x[is_hit].min() > x[~is_hit].max():
        raise _refused(
            "sizes at which some flaws are found and some missed",
            "every flaw above a size found, every one below it missed",
            where,
            "add flaws of sizes between; the slope has no bound without them",
        )
    line = _Logit(x, is_hit)
    if line.slope <= 0:
        raise _refused(
            "larger flaws found more often",
            f"a slope of {line.slope:.4g}",
            where,
            "check sizes and answers; another cause than size decides",
        )
    at_90 = line.at(_ODDS_OF_90)
    _check_bracket(at_90, x, is_log, where)
    bound = line.upper(_ODDS_OF_90)
    a = _unscale(is_log)
    grid = np.linspace(x.min(), x.max(), points)
    probability = _share(line.intercept + line.slope * grid)
    lower = np.array([_share(line.lower_odds(v)) for v in grid])
    notes = _count_notes("hit_miss", len(x))
    if bound is None:
        notes.append("no size is found with probability 0.9 at 95 % confidence: add flaws")
    elif bound > x.max():
        notes.append("a90/95 lies beyond the largest flaw: it is an extrapolation")
    return Detection(
        method="hit_miss",
        is_log=is_log,
        centre=-line.intercept / line.slope,
        slope=line.slope,
        a50=a(line.at(0.0)),
        a90=a(at_90),
        a90_95=None if bound is None else a(bound),
        flaws=len(x),
        found=int(is_hit.sum()),
        sizes=(float(size.min()), float(size.max())),
        curve=np.column_stack([np.exp(grid) if is_log else grid, probability, lower]),
        notes=tuple(notes),
    )


class _Logit:
    """Log-odds as a line in x, by maximum likelihood, with likelihood-ratio bounds."""

    def __init__(self, x: FloatArray, is_hit: Hits) -> None:
        # Two numbers for each size: whoever tried one size many times pays for it once.
        self._x, place = np.unique(x, return_inverse=True)
        self._hits = np.bincount(place, weights=is_hit.astype(float))
        self._trials = np.bincount(place).astype(float)
        self._middle, self._width = float(x.mean()), max(float(x.std()), 1e-12)
        self.intercept, self.slope = self._fitted()
        self._best = self._likelihood(self.intercept, self.slope)
        self._drop = float(chi2.ppf(0.90, 1)) / 2  # one-sided 95 %

    def at(self, odds: float) -> float:
        return (odds - self.intercept) / self.slope

    def _likelihood(self, intercept: float, slope: float) -> float:
        odds = intercept + slope * self._x
        return float((self._hits * odds - self._trials * np.logaddexp(0, odds)).sum())

    def _fitted(self) -> tuple[float, float]:
        """Newton's steps, halved where they would lose."""
        z = (self._x - self._middle) / self._width
        beta = np.zeros(2)
        rows = np.column_stack([np.ones_like(z), z])

        def value(b: FloatArray) -> float:
            odds = rows @ b
            return float((self._hits * odds - self._trials * np.logaddexp(0, odds)).sum())

        for _ in range(100):
            share = _share(rows @ beta)
            gradient = rows.T @ (self._hits - self._trials * share)
            weight = np.maximum(self._trials * share * (1 - share), 1e-12)
            step = np.linalg.solve(rows.T @ (rows * weight[:, None]), gradient)
            while value(beta + step) < value(beta) and np.abs(step).max() > 1e-12:
                step = step / 2
            beta = beta + step
            if np.abs(step).max() < 1e-10:
                break
        slope = float(beta[1]) / self._width
        return float(beta[0]) - slope * self._middle, slope

    def _profile(self, x: float, odds: float) -> float:
        """Greatest likelihood of all lines through (x, odds), by Newton's steps in the slope."""
        gap = self._x - x
        slope = self.slope

        def value(s: float) -> float:
            line = odds + s * gap
            return float((self._hits * line - self._trials * np.logaddexp(0, line)).sum())

        for _ in range(100):
            share = _share(odds + slope * gap)
            gradient = float((gap * (self._hits - self._trials * share)).sum())
            curvature = float((gap * gap * self._trials * share * (1 - share)).sum())
            step = gradient / max(curvature, 1e-12)
            while value(slope + step) < value(slope) and abs(step) > 1e-12:
                step /= 2
            slope += step
            if abs(step) < 1e-9 * max(abs(slope), 1.0):
                break
        return value(slope)

    def _beyond(self, x: float, odds: float) -> float:
        """Above 0 where a line through (x, odds) is refuted."""
        return self._best - self._profile(x, odds) - self._drop

    def upper(self, odds: float) -> float | None:
        """The least x from which on it is refuted that the odds are reached no sooner."""
        return _root(lambda x: self._beyond(x, odds), self.at(odds), self._width)

    def lower_odds(self, x: float) -> float:
        """Lower bound of the odds at x."""
        best = self.intercept + self.slope * x
        found = _root(lambda down: self._beyond(x, best - down), 0.0, 1.0)
        return -math.inf if found is None else best - found


def _root(refuted: Callable[[float], float], begin: float, width: float) -> float | None:
    """Where what is not refuted at ``begin`` becomes so, further up; None if it never does."""
    step = 0.25 * width
    last = begin
    while step < _FURTHEST * width:
        reached = begin + step
        if refuted(reached) > 0:
            return float(brentq(refuted, last, reached, xtol=1e-9 * width))
        last, step = reached, step * 1.5
    return None


def fit_signal(
    size: FloatArray, signal: FloatArray, *, threshold: float, is_log: bool = True
) -> Detection:
    """Probability of detection from the size of signals, where one of ``threshold`` is a call.

    The lower bound of the probability is that of a point on the regression line with its scatter,
    by the joint (Wald) ellipse of the two parameters of the curve, as the handbook does.

    Args:
        size: float64[n], of flaws, above 0 where ``is_log``.
        signal: float64[n], above 0.
        threshold: signal from which a flaw is called.
        is_log: the line is in the logarithm of the size; signals are always taken as logarithms.

    Raises:
        UsageError: there are too few flaws, a signal is none, signals do not grow with the size, or
            the sizes do not bracket a90.
    """
    where = "signals against sizes"
    x = _scale(size, is_log, where)
    _check_count(len(x), where)
    if not (np.isfinite(signal).all() and (signal > 0).all() and threshold > 0):
        raise _refused("signals and a threshold above 0", "others", where, "give them as measured")
    y = np.log(signal)
    middle = float(x.mean())
    spread = float(((x - middle) ** 2).sum())
    slope = float(((x - middle) * y).sum()) / spread if spread > 0 else 0.0
    if slope <= 0:
        raise _refused(
            "signals that grow with the size",
            f"a slope of {slope:.4g}",
            where,
            "check sizes and signals; another cause than size decides",
        )
    intercept = float(y.mean()) - slope * middle
    residual = y - intercept - slope * x
    scatter = math.sqrt(float((residual**2).sum()) / (len(x) - 2))
    centre, width = (math.log(threshold) - intercept) / slope, scatter / slope
    z = float(norm.ppf(0.9))
    at_90 = centre + z * width
    _check_bracket(at_90, x, is_log, where)
    covariance = _curve_covariance(len(x), spread, middle, centre, width, scatter, slope)

    def margin(quantile: FloatArray) -> FloatArray:
        (of_centre, both), (_, of_width) = covariance
        variance = of_centre + 2 * quantile * both + quantile**2 * of_width
        return np.asarray(norm.ppf(0.95) * np.sqrt(variance))

    bound = at_90 + float(margin(np.array(z)))
    a = _unscale(is_log)
    quantiles = np.linspace(-3.5, 3.5, 4 * CURVE_POINTS)
    shifted = centre + quantiles * width + margin(quantiles)
    grid = np.linspace(x.min(), x.max(), CURVE_POINTS)
    lower = norm.cdf(np.interp(grid, np.maximum.accumulate(shifted), quantiles))
    notes = _count_notes("signal", len(x))
    if (p := _lack_of_fit(x, y, residual)) is not None and p < 0.05:
        notes.append(f"the line does not fit (lack of fit, p = {p:.3g}): a90 may be wrong")
    return Detection(
        method="signal",
        is_log=is_log,
        centre=centre,
        slope=1 / width,
        a50=a(centre),
        a90=a(at_90),
        a90_95=a(bound),
        flaws=len(x),
        found=int((signal >= threshold).sum()),
        sizes=(float(size.min()), float(size.max())),
        curve=np.column_stack(
            [np.exp(grid) if is_log else grid, norm.cdf((grid - centre) / width), lower]
        ),
        notes=tuple(notes),
    )


def _curve_covariance(  # noqa: PLR0917 - the letters of the handbook, in its order
    n: int, spread: float, middle: float, centre: float, width: float, scatter: float, slope: float
) -> FloatArray:
    """Of centre and width of the curve, by the delta method (MIL-HDBK-1823A, G.4.3)."""
    of_line = scatter**2 * np.array(
        [[1 / n + middle**2 / spread, -middle / spread], [-middle / spread, 1 / spread]]
    )
    whole = np.zeros((3, 3))
    whole[:2, :2] = of_line
    whole[2, 2] = scatter**2 / (2 * n)
    by = np.array([[1.0, centre, 0.0], [0.0, width, -1.0]]) / -slope
    return np.asarray(by @ whole @ by.T, np.float64)


def _lack_of_fit(x: FloatArray, y: FloatArray, residual: FloatArray) -> float | None:
    """P of the F test of the line against means of ten groups of sizes; None with few flaws."""
    groups = np.array_split(np.argsort(x, kind="stable"), 10)
    if len(x) < 5 * len(groups):
        return None
    within = sum(float((residual[g] - residual[g].mean()) @ residual[g]) for g in groups)
    between = float(residual @ residual) - within
    free = (len(groups) - 2, len(x) - len(groups))
    return float(f.sf(between / free[0] / max(within / free[1], 1e-300), *free))


def _scale(size: FloatArray, is_log: bool, where: str) -> FloatArray:
    if not np.isfinite(size).all() or (is_log and (size <= 0).any()):
        raise _refused("sizes above 0", "others", where, "give sizes as measured, in one unit")
    return np.log(size) if is_log else size.astype(np.float64)


def _unscale(is_log: bool) -> Callable[[float], float]:
    return math.exp if is_log else float


def _check_count(flaws: int, where: str) -> None:
    if flaws < LEAST_FLAWS:
        raise _refused(f"at least {LEAST_FLAWS} flaws", f"{flaws}", where, "inspect more flaws")


def _check_bracket(at_90: float, x: FloatArray, is_log: bool, where: str) -> None:
    """MIL-HDBK-1823A, 4.5.2: the sizes must reach to both sides of what is asked."""
    if x.min() < at_90 < x.max():
        return
    a = _unscale(is_log)
    raise _refused(
        "sizes that bracket a90",
        f"a90 of {a(at_90):.4g} with sizes from {a(float(x.min())):.4g} to {a(float(x.max())):.4g}",
        where,
        "add larger flaws" if at_90 >= x.max() else "add smaller flaws",
    )


def _count_notes(method: str, flaws: int) -> list[str]:
    advised = ADVISED_FLAWS[method]
    if flaws >= advised:
        return []
    return [f"{flaws} flaws; MIL-HDBK-1823A asks for at least {advised}"]


def _share(odds: FloatArray | float) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -700, 700))))


def _refused(expected: str, got: str, where: str, action: str) -> UsageError:
    return UsageError(expected=expected, got=got, where=where, action=action)


# --- the curve ------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 440, 60, 40, 20, 60
_INK, _BEST, _BOUND, _MISS = "#2d3748", "#2b6cb0", "#c53030", "#a0aec0"
_TICKS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def draw_detection(found: Detection, size: FloatArray, is_hit: Hits, *, unit: str) -> str:
    """Probability against size, its lower 95 % bound, each flaw, a90 and a90/95.

    Args:
        found: the fit.
        size, is_hit: float64[n] and bool[n] of the flaws.
        unit: of the sizes.
    """
    scale = np.log if found.is_log else np.asarray
    low, high = (float(scale(v)) for v in found.sizes)

    def x(value: float) -> float:
        share = (float(scale(value)) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(probability: float) -> float:
        return _TOP + (1 - probability) * (_HEIGHT - _TOP - _BOTTOM)

    def line(column: int, colour: str, dash: str) -> str:
        points = " ".join(f"{x(row[0]):.1f},{y(row[column]):.1f}" for row in found.curve.tolist())
        return (
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{markup(_said(found, unit))}</text>',
    ]
    for tick in _TICKS:
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="#e2e8f0"/><text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick:g}</text>'
        )
    for value in _size_ticks(found):
        parts.append(
            f'<text x="{x(value):.1f}" y="{_HEIGHT - _BOTTOM + 32}" '
            f'text-anchor="middle">{value:.3g}</text>'
        )
    for value, hit in zip(size.tolist(), is_hit.tolist(), strict=True):
        at = y(1.0) - 6 if hit else y(0.0) + 6
        colour = _BEST if hit else _MISS
        parts.append(f'<circle cx="{x(value):.1f}" cy="{at:.1f}" r="3" fill="{colour}"/>')
    parts += [line(1, _BEST, ""), line(2, _BOUND, "6 4")]
    for a, colour in ((found.a90, _BEST), (found.a90_95, _BOUND)):
        if a is not None and found.sizes[0] <= a <= found.sizes[1]:
            parts.append(
                f'<path d="M{_LEFT} {y(0.9):.1f}H{x(a):.1f}V{y(0.0):.1f}" fill="none" '
                f'stroke="{colour}" stroke-dasharray="2 3"/>'
            )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">'
        f"size a ({markup(unit)}){', logarithmic' if found.is_log else ''}</text></svg>\n"
    )
    return "".join(parts)


def _said(found: Detection, unit: str) -> str:
    bound = "none" if found.a90_95 is None else f"{found.a90_95:.3g} {unit}"
    return (
        f"POD ({found.method.replace('_', '/')}): a90 {found.a90:.3g} {unit}, a90/95 {bound}, "
        f"{found.found} of {found.flaws} flaws found"
    )


def _size_ticks(found: Detection) -> list[float]:
    low, high = found.sizes
    if not found.is_log:
        return [float(v) for v in np.linspace(low, high, 6)]
    return [math.exp(v) for v in np.linspace(math.log(low), math.log(high), 6)]
