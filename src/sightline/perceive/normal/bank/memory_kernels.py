"""Compiled: many memories of normal, compared with and learnt from in place.

Specified by :mod:`..memory_reference` and :mod:`..usual_distance_reference`: each sum is made in
the order of the kernels of one series, so every distance has the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

MEAN, VARIANCE, SPACING, STANDS, NUMBERS = 6, 7, 8, 9, 10
"""Of one width of one series: six spreads of the features, then these, in all so many."""
FILLED, SEEN, USUAL, COUNTS = 0, 1, 2, 3
"""Vectors in the memory (0: the width is not known), vectors that were normal, distances learnt."""
SQUARE, SCORE, WAITING = 6, 7, 8
"""Of a look that waits: six features, the square of its distance, the score of its time."""
_NEVER, _BELOW = 0, 2

_I = types.Array(types.int64, 1, "C", readonly=True)
_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_A3 = types.Array(types.float64, 3, "C")
_A4 = types.Array(types.float64, 4, "C")
_C3 = types.Array(types.int64, 3, "C")
_N = types.int64
_F = types.float64


@inner_loop
def _nearest_one(  # noqa: PLR0917 - compiled functions take no keywords
    vectors: FloatArray, row: int, place: int, filled: int, query: FloatArray, work: FloatArray
) -> tuple[float, int]:
    """Square of the distance, and the place, of the nearest of the first ``filled`` vectors.

    Args:
        vectors: float64[rows, w, 6, room], of each axis all vectors side by side, so that the
            processor takes several at once.
        row, place: of the series and the width.
        filled: how many of them count, >= 1.
        query: float64[6], finite.
        work: float64[room], written to.
    """
    q0, q1, q2, q3, q4, q5 = query[0], query[1], query[2], query[3], query[4], query[5]
    for i in range(filled):
        gap = vectors[row, place, 0, i] - q0
        square = gap * gap
        gap = vectors[row, place, 1, i] - q1
        square += gap * gap
        gap = vectors[row, place, 2, i] - q2
        square += gap * gap
        gap = vectors[row, place, 3, i] - q3
        square += gap * gap
        gap = vectors[row, place, 4, i] - q4
        square += gap * gap
        gap = vectors[row, place, 5, i] - q5
        square += gap * gap
        work[i] = square
    # Floating-point numbers that are not negative are ordered as their bits are.
    bits = work.view(np.int64)
    least = bits[0]
    for i in range(1, filled):
        least = min(least, bits[i])
    found = 0
    while bits[found] != least:
        found += 1
    return work[found], found


@inner_loop
def _is_finite(vector: FloatArray) -> bool:
    # One sum instead of six tests: it is not finite if one of them is not, and seldom else.
    if math.isfinite(vector[0] + vector[1] + vector[2] + vector[3] + vector[4] + vector[5]):
        return True
    for axis in range(6):  # noqa: SIM110 - compiled without a generator
        if not math.isfinite(vector[axis]):
            return False
    return True


@inner_loop
def _oldest(used: IntArray, row: int, place: int, filled: int) -> int:
    """The place of the least; no two are equal."""
    least = used[row, place, 0]
    for i in range(1, filled):
        least = min(least, used[row, place, i])
    found = 0
    while used[row, place, found] != least:
        found += 1
    return found


@inner_loop
def _least_gap(vectors: FloatArray, row: int, place: int, filled: int) -> float:
    least = math.inf
    for i in range(filled):
        for j in range(i):
            square = 0.0
            for axis in range(6):
                square += (vectors[row, place, axis, j] - vectors[row, place, axis, i]) ** 2
            least = min(least, square)
    return math.sqrt(least)


@inner_loop
def _merged(  # noqa: PLR0917 - compiled functions take no keywords
    vectors: FloatArray, row: int, place: int, filled: int, spacing: float, work: FloatArray
) -> int:
    """Merge each vector into the nearest earlier one within ``spacing``; how many are left."""
    vector = np.empty(6)
    kept = 0
    for i in range(filled):
        for axis in range(6):
            vector[axis] = vectors[row, place, axis, i]
        if kept > 0:
            square, _ = _nearest_one(vectors, row, place, kept, vector, work)
            if math.sqrt(square) <= spacing:
                continue
        for axis in range(6):
            vectors[row, place, axis, kept] = vector[axis]
        kept += 1
    return kept


@kernel(_I, _I, _I, _M, _I, _I, _I, _V, _N, types.boolean, _N, _V, _A3, _C3, _A4, _C3, _A3)
def compared(  # noqa: PLR0915, PLR0917 - compiled functions take no keywords
    series: IntArray,
    length: IntArray,
    since: IntArray,
    looks: FloatArray,
    steps: IntArray,
    waits: IntArray,
    wait_begin: IntArray,
    least_weight: FloatArray,
    size: int,
    forgets: bool,
    learns: int,
    limits: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    vectors: FloatArray,
    used: IntArray,
    waiting: FloatArray,
) -> FloatArray:
    """How many deviations beyond the usual each look is, while what has waited is learnt.

    Args:
        series: int64[k], rows of the block.
        length: int64[k], new samples of each.
        since: int64[rows], samples since learning, before them.
        looks: float64[m, 6], of :func:`.look_kernels.looked`.
        steps, waits, wait_begin, least_weight, learns: of the plan.
        size, forgets: of the settings.
        limits: float64[3], ``clip``, ``least_distance``, ``learns_below``.
        numbers: float64[rows, w, NUMBERS], written to.
        counts: int64[rows, w, COUNTS], written to.
        vectors: float64[rows, w, 6, room], written to.
        used: int64[rows, w, room], when each was last needed, written to; empty unless it forgets.
        waiting: float64[rows, waits of all widths, WAITING], written to.

    Returns:
        float64[m], 0 or more; NaN for unknown.
    """
    clip, least, below = limits[0], limits[1], limits[2]
    found = np.empty(len(looks))
    work = np.empty(vectors.shape[3])
    query, old = np.empty(6), np.empty(6)
    done = 0
    for k in range(len(series)):
        row = series[k]
        for place in range(len(steps)):
            filled = counts[row, place, FILLED]
            if filled == 0:
                continue
            first = -since[row] % steps[place]
            n = max(0, (length[k] - first + steps[place] - 1) // steps[place])
            if n == 0:
                continue
            look = (since[row] + first) // steps[place]
            seen = counts[row, place, SEEN]
            usual = counts[row, place, USUAL]
            mean = numbers[row, place, MEAN]
            variance = numbers[row, place, VARIANCE]
            spacing = numbers[row, place, SPACING]
            for i in range(done, done + n):
                for axis in range(6):
                    query[axis] = looks[i, axis]
                square = math.nan
                if _is_finite(query):
                    square, _ = _nearest_one(vectors, row, place, filled, query, work)
                beyond = (math.sqrt(square) - mean) / (math.sqrt(variance) + least)
                found[i] = max(beyond, 0.0) if math.isfinite(beyond) else math.nan
                if learns == _NEVER:
                    continue
                slot = wait_begin[place] + look % waits[place]
                look += 1
                for axis in range(6):
                    old[axis] = waiting[row, slot, axis]
                    waiting[row, slot, axis] = query[axis]
                old_square = waiting[row, slot, SQUARE]
                waiting[row, slot, SQUARE] = square
                if learns != _BELOW or not waiting[row, slot, SCORE] >= below:
                    if _is_finite(old):
                        seen += 1
                        gap, near = _nearest_one(vectors, row, place, filled, old, work)
                        if math.sqrt(gap) <= spacing:
                            if forgets:
                                used[row, place, near] = seen
                        else:
                            at = filled
                            if forgets:
                                if filled == size:
                                    at = _oldest(used, row, place, filled)
                                used[row, place, at] = seen
                            for axis in range(6):
                                vectors[row, place, axis, at] = old[axis]
                            filled = max(filled, at + 1)
                            while filled > size:
                                if spacing > 0.0:
                                    spacing = 2 * spacing
                                else:
                                    spacing = _least_gap(vectors, row, place, filled)
                                filled = _merged(vectors, row, place, filled, spacing, work)
                    distance = math.sqrt(old_square)
                    if math.isfinite(distance):
                        value = min(distance, mean + clip * (math.sqrt(variance) + least))
                        usual += 1
                        weight = max(1.0 / usual, least_weight[place])
                        pull = value - mean
                        mean += weight * pull
                        variance += weight * (pull * (value - mean) - variance)
            done += n
            counts[row, place, FILLED] = filled
            counts[row, place, SEEN] = seen
            counts[row, place, USUAL] = usual
            numbers[row, place, MEAN] = mean
            numbers[row, place, VARIANCE] = variance
            numbers[row, place, SPACING] = spacing
    return found


@kernel(_I, _I, _I, _V, _I, _A3, _C3)
def mean_logs(  # noqa: PLR0917 - compiled functions take no keywords
    series: IntArray,
    length: IntArray,
    since: IntArray,
    logs: FloatArray,
    steps: IntArray,
    numbers: FloatArray,
    counts: IntArray,
) -> FloatArray:
    """float64[samples], the mean over the widths of what stands, as :func:`..combined` has it.

    Args:
        series, length, since, steps, numbers, counts: as for :func:`compared`.
        logs: float64[m], log(1 + deviations) of each look, NaN for unknown.
    """
    total_rows = 0
    for k in range(len(series)):
        total_rows += length[k]
    found = np.zeros(total_rows)
    known = np.zeros(total_rows)
    done, begin = 0, 0
    for k in range(len(series)):
        row = series[k]
        end = begin + length[k]
        for place in range(len(steps)):
            if counts[row, place, FILLED] == 0:
                continue
            stands = numbers[row, place, STANDS]
            left = -since[row] % steps[place]
            for i in range(begin, end):
                if left == 0:
                    stands = logs[done]
                    done += 1
                    left = steps[place]
                left -= 1
                if not math.isnan(stands):
                    found[i] += stands
                    known[i] += 1.0
            numbers[row, place, STANDS] = stands
        for i in range(begin, end):
            found[i] = found[i] / known[i] if known[i] > 0.0 else math.nan
        begin = end
    return found


@kernel(
    _I,
    _I,
    _I,
    types.Array(types.int64, 1, "C"),
    _V,
    _I,
    _I,
    _I,
    types.boolean,
    _A3,
    types.Array(types.float64, 1, "C"),
)
def shown(  # noqa: PLR0917 - compiled functions take no keywords
    series: IntArray,
    begin: IntArray,
    length: IntArray,
    since: IntArray,
    scores: FloatArray,
    steps: IntArray,
    waits: IntArray,
    wait_begin: IntArray,
    is_kept: bool,
    waiting: FloatArray,
    into: FloatArray,
) -> None:
    """Put the scores where they belong; the samples are past.

    Args:
        series, begin, length: of the samples.
        since: int64[rows], written to.
        scores: float64[samples], series by series.
        steps, waits, wait_begin: of the plan.
        is_kept: whether the looks that wait are told the score of their time.
        waiting: as for :func:`compared`.
        into: float64[n], written to.
    """
    done = 0
    for k in range(len(series)):
        row = series[k]
        into[begin[k] : begin[k] + length[k]] = scores[done : done + length[k]]
        if is_kept:
            for place in range(len(steps)):
                first = -since[row] % steps[place]
                look = (since[row] + first) // steps[place]
                for i in range(first, length[k], steps[place]):
                    waiting[row, wait_begin[place] + look % waits[place], SCORE] = scores[done + i]
                    look += 1
        since[row] += length[k]
        done += length[k]
