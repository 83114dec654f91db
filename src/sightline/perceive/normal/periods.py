"""Which periods several series have in common, found in the data alone."""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray

_HARMONICS = 4
_FINER = 8
"""Zero padding of the spectrum."""
_BINS = 24
_REFINED = 4
_NEARLY = 0.95
_CLIP = 4.0
_COHERENT = 0.8


def standardised(values: FloatArray) -> FloatArray:
    """float64[n, c]: each column less its median, in robust deviations, pulled in; 0 for NaN.

    >>> standardised(np.array([[1.0], [2.0], [3.0], [np.nan]])).ravel().round(2).tolist()
    [-0.67, 0.0, 0.67, 0.0]
    """
    known = np.isfinite(values)
    filled = np.where(known, values, np.nan)
    some = known.any(axis=0)
    found = np.zeros_like(filled)
    if not some.any():
        return found
    part = filled[:, some]
    middle = np.nanmedian(part, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(part - middle), axis=0)
    flat = spread <= 0
    spread[flat] = np.nanstd(part[:, flat], axis=0) if flat.any() else 0
    spread[spread <= 0] = 1.0
    found[:, some] = np.nan_to_num(np.clip((part - middle) / spread, -_CLIP, _CLIP))
    return found


def found_period(
    values: FloatArray, *, step_s: float, shortest_s: float, longest_s: float
) -> tuple[float, FloatArray]:
    """The period that explains most of several series together, and how much of each.

    The sum of the spectra at a frequency and its first harmonics says where to look (a harmonic
    sum, as for pulsars); the share of variance that the mean over each phase explains decides, so
    that the shape does not matter. Of a period and its multiples it is the shortest that explains
    as much.

    Args:
        values: float64[n, c], evenly spaced; NaN is missing.
        step_s: distance of rows.
        shortest_s, longest_s: bounds of the period; two and a half of it must fit into the rows.

    Returns:
        Period in seconds, and float64[c], share of the variance that it explains, less what chance
        would; ``(nan, zeros)`` where none explains a tenth of any series.

    >>> t = np.arange(3000.0)
    >>> wave = np.stack([np.abs(np.sin(np.pi * t / 95.3)), t % 95.3 < 30], axis=1).astype(float)
    >>> period, share = found_period(wave, step_s=1.0, shortest_s=10, longest_s=1000)
    >>> round(period, 1), bool((share > 0.9).all())
    (95.3, True)
    """
    n, columns = values.shape
    longest_s = min(longest_s, n * step_s / 2.5)
    none = (float("nan"), np.zeros(columns))
    if n < 4 * _BINS or longest_s <= shortest_s or shortest_s < 2 * step_s:
        return none
    x = standardised(values)
    x -= x.mean(axis=0)
    energy = (x**2).sum(axis=0)
    x = x[:, energy > 0]
    if not x.shape[1]:
        return none
    size = _FINER * (1 << (n - 1).bit_length())
    spectrum = (np.abs(np.fft.rfft(x, size, axis=0)) ** 2 / (x**2).sum(axis=0)).mean(axis=1)
    spacing = 1 / (size * step_s)
    first = max(int(1 / (longest_s * spacing)), 1)
    last = min(int(1 / (shortest_s * spacing)), len(spectrum) - 1)
    at = np.arange(first, last + 1)
    total = np.zeros(len(at))
    for h in range(1, _HARMONICS + 1):
        total += spectrum[np.minimum(h * at, len(spectrum) - 1)] * (h * at < len(spectrum))
    strongest = _peaks(total, 8)
    candidates = {1 / (at[k] * spacing) for k in strongest}
    candidates |= {p * m for p in candidates for m in (2, 3) if p * m <= longest_s}
    candidates |= {p / m for p in candidates for m in (2, 3) if p / m >= shortest_s}
    promising = sorted(candidates, key=lambda p: -_rough_share(x, step_s, p))[:_REFINED]
    rated = sorted(refined(x, step_s, p) for p in promising)
    best = max(share for _, share in rated)
    period = next(p for p, share in rated if share >= _NEARLY * best)
    if halves_share(x, step_s, period) < _COHERENT * folded_share(x, step_s, period).max():
        return none
    share = np.zeros(columns)
    share[energy > 0] = folded_share(x, step_s, period)
    return (period, share) if share.max() > 0.1 else none


def _peaks(total: FloatArray, most: int) -> list[int]:
    """Places of the greatest local maxima."""
    if len(total) < 3:
        return [int(np.argmax(total))]
    inner = np.flatnonzero((total[1:-1] >= total[:-2]) & (total[1:-1] >= total[2:])) + 1
    inner = np.append(inner, [0, len(total) - 1])
    return [int(k) for k in inner[np.argsort(-total[inner], kind="stable")][:most]]


def _rough_share(x: FloatArray, step_s: float, period_s: float) -> float:
    """The greatest mean share at a period and just beside it."""
    beside = 0.3 * period_s * period_s / (len(x) * step_s)
    return max(
        float(folded_share(x, step_s, period_s + shift).mean()) for shift in (-beside, 0.0, beside)
    )


def refined(x: FloatArray, step_s: float, period_s: float) -> tuple[float, float]:
    """The period near ``period_s`` that explains most, and the mean share that it explains."""
    span = len(x) * step_s
    width = 0.6 * period_s / max(span / period_s, 1)
    best = (period_s, float(folded_share(x, step_s, period_s).mean()))
    while width > period_s * period_s / span / (4 * _BINS):
        for period in best[0] + np.linspace(-width, width, 9):
            share = float(folded_share(x, step_s, period).mean())
            if share > best[1]:
                best = (float(period), share)
        width /= 4
    return best


def halves_share(x: FloatArray, step_s: float, period_s: float) -> float:
    """The greatest share of variance that the second half has in common with the first, by phase.

    A cycle that nothing keeps in step returns from one turn to the next, and is gone after many.
    """
    half = len(x) // 2
    turn = np.arange(len(x)) * step_s / period_s
    bin_of = np.minimum(((turn % 1.0) * _BINS).astype(np.int64), _BINS - 1)
    means = []
    for rows in (slice(0, half), slice(half, None)):
        count = np.bincount(bin_of[rows], minlength=_BINS)
        sums = np.stack(
            [np.bincount(bin_of[rows], weights=column, minlength=_BINS) for column in x[rows].T],
            axis=1,
        )
        means.append(sums / np.maximum(count, 1)[:, None])
    shared = (means[0] * means[1]).mean(axis=0) / np.maximum((x**2).mean(axis=0), 1e-12)
    return float(shared.max())


def folded_share(x: FloatArray, step_s: float, period_s: float) -> FloatArray:
    """float64[c]: share of the variance that returns after a period; 0 or more.

    The mean over each bin of phase in every second cycle is compared with that in the others, so
    that what happened once explains nothing.

    Args:
        x: float64[n, c], centred.
        step_s, period_s: distance of rows, and the period.
    """
    n = len(x)
    turn = np.arange(n) * step_s / period_s
    bin_of = np.minimum(((turn % 1.0) * _BINS).astype(np.int64), _BINS - 1)
    bin_of += _BINS * (turn.astype(np.int64) % 2)
    count = np.bincount(bin_of, minlength=2 * _BINS)
    order = np.argsort(bin_of, kind="stable")
    seen = np.flatnonzero(count)
    sums = np.zeros((2 * _BINS, x.shape[1]))
    sums[seen] = np.add.reduceat(x[order], (np.cumsum(count) - count)[seen], axis=0)
    mean = sums / np.maximum(count, 1)[:, None]
    both = (count[:_BINS] > 0) & (count[_BINS:] > 0)
    weight = ((count[:_BINS] + count[_BINS:]) * both)[:, None]
    shared = (weight * mean[:_BINS] * mean[_BINS:]).sum(axis=0)
    whole = (x**2).sum(axis=0)
    found: FloatArray = np.clip(shared / np.where(whole > 0, whole, 1.0), 0.0, 1.0)
    return found
