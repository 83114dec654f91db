"""Compiled: the windows of many series at the times they are looked at.

Specified by :mod:`..window_features_reference`. The merges are those of
:mod:`..window_features_kernels`, in the same order, so that every statistic has the same bits; but
only the windows that a later look needs are made, and the earlier halves are kept instead of the
samples. A look at a width of 128 then costs one merge and not 127.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

WINDOW_NUMBERS = 7
"""Of a window that is kept: samples known, mean, sum of squared deviations from it, greatest,
least, sum of the steps, steps known."""

_I = types.Array(types.int64, 1, "C", readonly=True)
_V = types.Array(types.float64, 1, "C", readonly=True)
_KEPT = types.Array(types.float64, 3, "C")
_NUMBERS = types.Array(types.float64, 3, "C")
_COUNTS = types.Array(types.int64, 3, "C")
_NO_LOOK = np.int64(1) << 60


@inner_loop
def _take(  # noqa: PLR0915, PLR0917 - compiled functions take no keywords, and one pass is fastest
    windows: FloatArray,
    row: int,
    value: float,
    time: int,
    grid: IntArray,
    kept_grid: IntArray,
    kept_shift: IntArray,
    kept_mask: IntArray,
    kept_begin: IntArray,
    place_of_level: IntArray,
    look_steps: IntArray,
    next_look: IntArray,
    place_in: IntArray,
    looks: FloatArray,
) -> None:
    """Take in one sample.

    Args:
        windows: float64[rows, kept, 7], those kept; written to.
        row: of the series.
        value: the sample.
        time: samples since learning, negative while learning.
        grid, kept_grid, kept_shift, kept_mask, kept_begin, place_of_level: of the plan.
        look_steps: int64[w], of the plan.
        next_look: int64[w], time of the next look of each width.
        place_in: int64[w], where that goes in ``looks``.
        looks: float64[m, 6], written to where the time of a look has come.
    """
    known, mean, square, steps, stepped = 0.0, 0.0, 0.0, 0.0, 0.0
    greatest, least = -math.inf, math.inf
    if math.isfinite(value):
        known = 1.0
        mean = greatest = least = value
        if windows[row, 0, 0] > 0.0:
            steps = abs(value - windows[row, 0, 1])
            stepped = 1.0
    top = len(grid) - 1
    level = 0
    while True:
        earlier = kept_begin[level] + ((time >> kept_shift[level]) & kept_mask[level])
        goes_on = time & (grid[level + 1] - 1) == 0
        known_b = windows[row, earlier, 0]
        mean_b = windows[row, earlier, 1]
        square_b = windows[row, earlier, 2]
        greatest_b = windows[row, earlier, 3]
        least_b = windows[row, earlier, 4]
        steps_b = windows[row, earlier, 5]
        stepped_b = windows[row, earlier, 6]
        if time & (kept_grid[level] - 1) == 0:
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
        place = place_of_level[level]
        if place >= 0 and next_look[place] == time:
            at = place_in[place]
            if 2 * count >= 1 << level:
                looks[at, 0] = mean
                looks[at, 1] = math.sqrt(square / count)
                looks[at, 2] = greatest
                looks[at, 3] = least
                looks[at, 4] = steps / stepped if stepped > 0.0 else math.nan
                looks[at, 5] = rise
            else:
                for axis in range(6):
                    looks[at, axis] = math.nan
            place_in[place] += 1
            next_look[place] += look_steps[place]
        if level == top:
            return


@kernel(_I, _I, _I, _V, _I, _I, _I, _I, _I, _I, _I, _I, _KEPT, _NUMBERS, _COUNTS)
def looked(  # noqa: PLR0917 - compiled functions take no keywords
    series: IntArray,
    begin: IntArray,
    length: IntArray,
    values: FloatArray,
    since: IntArray,
    steps: IntArray,
    grid: IntArray,
    kept_grid: IntArray,
    kept_shift: IntArray,
    kept_mask: IntArray,
    kept_begin: IntArray,
    place_of_level: IntArray,
    windows: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
) -> FloatArray:
    """Take in new samples; what is seen at the looks, in deviations of the features.

    Args:
        series: int64[k], rows of the block.
        begin, length: int64[k], their samples among ``values``.
        values: float64[n].
        since: int64[rows], samples since learning.
        steps, grid, kept_grid, kept_shift, kept_mask, kept_begin, place_of_level: of the plan.
        windows: float64[rows, kept, 7], written to.
        numbers: float64[rows, w, ...], the first six are the spread of the features.
        counts: int64[rows, w, ...], the first is 0 for a width that is not known.

    Returns:
        float64[m, 6], series by series, of each width by width, of each in order of time.
    """
    widths = len(steps)
    total = 0
    for k in range(len(series)):
        for place in range(widths):
            if counts[series[k], place, 0] > 0:
                first = -since[series[k]] % steps[place]
                total += max(0, (length[k] - first + steps[place] - 1) // steps[place])
    looks = np.empty((total, 6))
    next_look = np.empty(widths, np.int64)
    place_in = np.empty(widths, np.int64)
    done = 0
    for k in range(len(series)):
        row = series[k]
        old = since[row]
        at = done
        for place in range(widths):
            next_look[place] = _NO_LOOK
            if counts[row, place, 0] > 0:
                first = -old % steps[place]
                next_look[place] = old + first
                place_in[place] = at
                at += max(0, (length[k] - first + steps[place] - 1) // steps[place])
        for i in range(length[k]):
            _take(
                windows,
                row,
                values[begin[k] + i],
                old + i,
                grid,
                kept_grid,
                kept_shift,
                kept_mask,
                kept_begin,
                place_of_level,
                steps,
                next_look,
                place_in,
                looks,
            )
        at = done
        for place in range(widths):
            if counts[row, place, 0] > 0:
                first = -old % steps[place]
                done += max(0, (length[k] - first + steps[place] - 1) // steps[place])
                for i in range(at, done):
                    for axis in range(6):
                        looks[i, axis] /= numbers[row, place, axis]
                at = done
    return looks


@kernel(types.int64, _V, _I, _I, _I, _I, _I, _I, types.int64, _KEPT)
def primed(  # noqa: PLR0917 - compiled functions take no keywords
    row: int,
    values: FloatArray,
    grid: IntArray,
    kept_grid: IntArray,
    kept_shift: IntArray,
    kept_mask: IntArray,
    kept_begin: IntArray,
    place_of_level: IntArray,
    widths: int,
    windows: FloatArray,
) -> None:
    """Keep the windows that the last of the learning samples make; nothing is looked at."""
    next_look = np.full(widths, _NO_LOOK, np.int64)
    place_in = np.zeros(widths, np.int64)
    looks = np.empty((0, 6))
    windows[row] = 0.0
    windows[row, :, 3] = -math.inf
    windows[row, :, 4] = math.inf
    for i in range(len(values)):
        _take(
            windows,
            row,
            values[i],
            i - len(values),
            grid,
            kept_grid,
            kept_shift,
            kept_mask,
            kept_begin,
            place_of_level,
            next_look,  # no width has a step: none is looked at
            next_look,
            place_in,
            looks,
        )


@kernel(_V, types.int64, _I, _I, _I, _I, _I, _I, _I, _I)
def learning_looks(  # noqa: PLR0917 - compiled functions take no keywords
    values: FloatArray,
    kept: int,
    widths: IntArray,
    steps: IntArray,
    grid: IntArray,
    kept_grid: IntArray,
    kept_shift: IntArray,
    kept_mask: IntArray,
    kept_begin: IntArray,
    place_of_level: IntArray,
) -> tuple[FloatArray, IntArray]:
    """The features of a stretch, of each width on a grid that ends with it.

    Args:
        values: float64[n].
        kept: windows that are kept of one series.
        widths, steps, grid, kept_grid, kept_shift, kept_mask, kept_begin, place_of_level: of the
            plan.

    Returns:
        float64[m, 6], width by width, of each in order of time, NaN where its window would begin
        before the stretch or misses too much; int64[w + 1], where each width begins.
    """
    n = len(values)
    begin = np.zeros(len(steps) + 1, np.int64)
    next_look = np.empty(len(steps), np.int64)
    place_in = np.empty(len(steps), np.int64)
    for place in range(len(steps)):
        step = steps[place]
        begin[place + 1] = begin[place] + (n + step - 1) // step
        # The last sample is at time 0, the end of the first whole window before or at that.
        whole = widths[place] - n
        next_look[place] = whole + -whole % step
        place_in[place] = begin[place] + (next_look[place] + (n - 1) // step * step) // step
    looks = np.full((begin[-1], 6), math.nan)
    windows = np.zeros((1, kept, WINDOW_NUMBERS))
    windows[:, :, 3] = -math.inf
    windows[:, :, 4] = math.inf
    for i in range(n):
        _take(
            windows,
            0,
            values[i],
            i - n + 1,
            grid,
            kept_grid,
            kept_shift,
            kept_mask,
            kept_begin,
            place_of_level,
            steps,
            next_look,
            place_in,
            looks,
        )
    return looks, begin
