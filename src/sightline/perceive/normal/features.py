"""Features of telemetry: what the last few, and the last many, samples were like.

Six statistics of the windows that end at a sample. A window of 2w samples is made of the two
windows of w before and after its middle, so each width costs one merge per sample, whatever the
width, and nothing accumulates from one sample to the next: a statistic depends on the samples of
its window alone, to the last bit, wherever a stream is cut. Means and squares are merged as in
Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample
variances".

:func:`window_features` makes them for every sample of one series that is at hand. The kernels of a
bank make them for many series, and only at the times they are looked at (a *look*): they keep the
earlier halves that later looks need instead of the samples, so a look at a width of 128 costs one
merge and not 127. Both merge in the same order, so every statistic has the same bits.
"""

from __future__ import annotations

import math
from math import gcd

import numpy as np
from numba import types

from sightline.errors import UsageError
from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

STATISTICS = ("mean", "deviation", "greatest", "least", "step", "rise")
"""The last axis of :func:`window_features`, all in the unit of the samples."""
MAX_WIDTH = 1 << 16
"""Samples in the widest window; more is a UsageError."""

GREATEST = 1e100
"""Samples further from 0 count as this: squares of what is made of them must be numbers."""

GRID, KEPT_GRID, KEPT_SHIFT, KEPT_MASK, KEPT_BEGIN, PLACE = range(6)
"""Rows of a table of levels, see :func:`level_table`."""
WINDOW_NUMBERS = 7
"""Of a window that is kept: samples known, mean, sum of squared deviations from it, greatest,
least, sum of the steps, steps known."""

_I = types.Array(types.int64, 1, "C", readonly=True)
_V = types.Array(types.float64, 1, "C", readonly=True)
_LEVELS = types.Array(types.int64, 2, "C", readonly=True)
_KEPT = types.Array(types.float64, 3, "C")
NO_LOOK = np.int64(1) << 60
_NEVER_ASKED = 1 << 60


def bounded(values: FloatArray) -> FloatArray:
    """The samples as detectors take them: infinite ones are missing, absurd ones within bounds.

    >>> bounded(np.array([1.5, np.inf, -1e300])).tolist()
    [1.5, nan, -1e+100]
    """
    return np.where(np.isfinite(values), np.clip(values, -GREATEST, GREATEST), np.nan)


def window_features(
    values: FloatArray, *, widths: tuple[int, ...], before: FloatArray | None = None
) -> FloatArray:
    """Six statistics of the windows of each width that end at each sample.

    The features of a sample depend on the samples of its windows alone, to the last bit: a stream
    may be cut anywhere if ``before`` has the ``max(widths)`` samples before the cut.

    Args:
        values: float64[n], in order of time, evenly spaced; NaN is missing.
        widths: w widths in samples, ascending powers of two from 2 to ``MAX_WIDTH``.
        before: float64[b], the samples before the first of ``values``; more than ``max(widths)``
            make no difference.

    Returns:
        float64[n, w, 6]: ``STATISTICS``, in the unit of the samples. NaN where fewer than
        ``width`` samples have come, or half of them are missing.

    Raises:
        UsageError: widths that are no ascending powers of two.

    >>> ramp = np.arange(6.0)
    >>> window_features(ramp, widths=(4,))[-1, 0].round(3).tolist()
    [3.5, 1.118, 5.0, 2.0, 1.0, 2.0]
    >>> parts = window_features(ramp[4:], widths=(4,), before=ramp[:4])
    >>> bool((parts == window_features(ramp, widths=(4,))[4:]).all())
    True
    """
    is_power = all(2 <= w <= MAX_WIDTH and w & (w - 1) == 0 for w in widths)
    if not (widths and is_power and list(widths) == sorted(set(widths))):
        raise UsageError(
            expected=f"ascending powers of two from 2 to {MAX_WIDTH}",
            got=str(widths),
            where="widths of windows",
            action="choose 8, 16, 32 and so on: each is made of two of the one before",
        )
    # One more than the widest window: the first step in it is from the sample before it.
    history = np.empty(0) if before is None else before[-max(widths) :]
    joined = np.ascontiguousarray(np.concatenate([history, values]), np.float64)
    return _window_features(joined, len(history), np.array(widths, np.int64))


@kernel(_V, types.int64, _I)
def _window_features(values: FloatArray, first: int, widths: IntArray) -> FloatArray:
    """:func:`window_features` of the samples from ``first`` on."""
    m = len(values)
    found = np.full((m - first, len(widths), 6), np.nan)
    known = np.zeros(m)
    mean = np.zeros(m)
    square = np.zeros(m)  # sum of squared deviations from the mean
    greatest = np.full(m, -math.inf)
    least = np.full(m, math.inf)
    steps = np.zeros(m)
    stepped = np.zeros(m)
    for t in range(m):
        if math.isfinite(values[t]):
            known[t] = 1.0
            mean[t] = greatest[t] = least[t] = values[t]
            if t > 0 and math.isfinite(values[t - 1]):
                steps[t] = abs(values[t] - values[t - 1])
                stepped[t] = 1.0
    half = 1
    place = 0
    while place < len(widths):
        width = 2 * half
        is_asked = widths[place] == width
        # Backwards, so that what a later window needs of an earlier one is still that of `half`.
        for t in range(m - 1, width - 2, -1):
            s = t - half
            rise = mean[t] - mean[s] if known[t] > 0.0 and known[s] > 0.0 else math.nan
            count = known[t] + known[s]
            if count > 0.0:
                gap = mean[t] - mean[s] if not math.isnan(rise) else 0.0
                square[t] += square[s] + gap * gap * known[t] * known[s] / count
                if known[t] == 0.0:
                    mean[t] = mean[s]
                elif known[s] > 0.0:
                    mean[t] -= gap * known[s] / count
            known[t] = count
            greatest[t] = max(greatest[t], greatest[s])
            least[t] = min(least[t], least[s])
            steps[t] += steps[s]
            stepped[t] += stepped[s]
            if is_asked and t >= first and 2 * count >= width:
                row = t - first
                found[row, place, 0] = mean[t]
                found[row, place, 1] = math.sqrt(square[t] / count)
                found[row, place, 2] = greatest[t]
                found[row, place, 3] = least[t]
                if stepped[t] > 0.0:
                    found[row, place, 4] = steps[t] / stepped[t]
                found[row, place, 5] = rise
        half = width
        if is_asked:
            place += 1
    return found


def level_table(widths: tuple[int, ...], steps: list[int]) -> tuple[IntArray, int]:
    """Which windows a bank has to make, and which it keeps until a later one is made of them.

    A window of 2**(l + 1) samples is made of two of 2**l, that of now and an earlier one, so of
    each level some earlier ones are kept, those that will be asked for. Times count from the first
    sample after learning; all grids are powers of two, in samples.

    Args:
        widths: samples, ascending powers of two.
        steps: samples from one look to the next, per width.

    Returns:
        int64[6, levels]. GRID: windows of 2**l samples are needed at multiples of this. KEPT_GRID:
        of those the ones at multiples of this are kept. KEPT_SHIFT: its logarithm. KEPT_MASK: how
        many are kept, less one. KEPT_BEGIN: where those of the level begin among those of all.
        PLACE: of the width 2**l among the widths, -1 for none.
        Then how many windows are kept of all levels.
    """
    levels = widths[-1].bit_length()
    place_of = {width.bit_length() - 1: place for place, width in enumerate(widths)}
    table = np.zeros((6, levels), np.int64)
    above = _NEVER_ASKED
    for level in range(levels - 1, -1, -1):
        place = place_of.get(level, -1)
        table[PLACE, level] = place
        table[KEPT_GRID, level] = gcd(above, 1 << level)
        step = steps[place] if place >= 0 else _NEVER_ASKED
        above = table[GRID, level] = gcd(int(table[KEPT_GRID, level]), step)
    kept = (1 << np.arange(levels)) // table[KEPT_GRID]
    kept[-1] = 0  # nothing is made of the widest
    table[KEPT_SHIFT] = [int(grid).bit_length() - 1 for grid in table[KEPT_GRID]]
    table[KEPT_MASK] = np.maximum(kept - 1, 0)
    table[KEPT_BEGIN] = np.cumsum(kept) - kept
    return table, int(kept.sum())


@inner_loop
def take(  # noqa: PLR0915, PLR0917 - compiled functions take no keywords, and one pass is fastest
    windows: FloatArray,
    row: int,
    value: float,
    time: int,
    levels: IntArray,
    look_steps: IntArray,
    next_look: IntArray,
    looks: FloatArray,
) -> None:
    """Take in one sample.

    Args:
        windows: float64[rows, kept, 7], those kept; written to.
        row: of the series.
        value: the sample.
        time: samples since learning, negative while learning.
        levels: of :func:`level_table`.
        look_steps: int64[w], samples from look to look.
        next_look: int64[w], time of the next look of each width, written to.
        looks: float64[w, 6], the last look of each width, written to where its time has come.
    """
    known, mean, square, steps, stepped = 0.0, 0.0, 0.0, 0.0, 0.0
    greatest, least = -math.inf, math.inf
    if math.isfinite(value):
        known = 1.0
        mean = greatest = least = value
        if windows[row, 0, 0] > 0.0:
            steps = abs(value - windows[row, 0, 1])
            stepped = 1.0
    top = levels.shape[1] - 1
    level = 0
    while True:
        earlier = levels[KEPT_BEGIN, level] + (
            (time >> levels[KEPT_SHIFT, level]) & levels[KEPT_MASK, level]
        )
        goes_on = time & (levels[GRID, level + 1] - 1) == 0
        known_b = windows[row, earlier, 0]
        mean_b = windows[row, earlier, 1]
        square_b = windows[row, earlier, 2]
        greatest_b = windows[row, earlier, 3]
        least_b = windows[row, earlier, 4]
        steps_b = windows[row, earlier, 5]
        stepped_b = windows[row, earlier, 6]
        if time & (levels[KEPT_GRID, level] - 1) == 0:
            windows[row, earlier, 0] = known
            windows[row, earlier, 1] = mean
            windows[row, earlier, 2] = square
            windows[row, earlier, 3] = greatest
            windows[row, earlier, 4] = least
            windows[row, earlier, 5] = steps
            windows[row, earlier, 6] = stepped
        if not goes_on:
            return
        level += 1
        rise = mean - mean_b if known > 0.0 and known_b > 0.0 else math.nan
        count = known + known_b
        if count > 0.0:
            gap = mean - mean_b if not math.isnan(rise) else 0.0
            square += square_b + gap * gap * known * known_b / count
            if known == 0.0:
                mean = mean_b
            elif known_b > 0.0:
                mean -= gap * known_b / count
        known = count
        greatest = max(greatest, greatest_b)
        least = min(least, least_b)
        steps += steps_b
        stepped += stepped_b
        place = levels[PLACE, level]
        if place >= 0 and next_look[place] == time:
            if 2 * count >= 1 << level:
                looks[place, 0] = mean
                looks[place, 1] = math.sqrt(square / count)
                looks[place, 2] = greatest
                looks[place, 3] = least
                looks[place, 4] = steps / stepped if stepped > 0.0 else math.nan
                looks[place, 5] = rise
            else:
                for axis in range(6):
                    looks[place, axis] = math.nan
            next_look[place] += look_steps[place]
        if level == top:
            return


@kernel(types.int64, _V, _LEVELS, types.int64, _KEPT)
def primed(
    row: int,
    values: FloatArray,
    levels: IntArray,
    widths: int,
    windows: FloatArray,
) -> None:
    """Keep the windows that the last of the learning samples make; nothing is looked at."""
    next_look = np.full(widths, NO_LOOK, np.int64)
    looks = np.empty((0, 6))
    windows[row] = 0.0
    windows[row, :, 3] = -math.inf
    windows[row, :, 4] = math.inf
    for i in range(len(values)):
        take(
            windows,
            row,
            values[i],
            i - len(values),
            levels,
            next_look,  # no width has a step: none is looked at
            next_look,
            looks,
        )
