"""The memory of normal: what it keeps, how far a look is from it, and what distance is usual.

Per series and width a memory holds at most ``size`` vectors (the features of windows, divided by
their spread) that stand for all that was normal. How unusual a look is: its distance to the nearest
vector, in deviations beyond the usual distances of that series so far.

*Beginning.* The vectors of the learning stretch are covered greedily: each next one is the one
farthest from those before, the first the nearest to their mean (Gonzalez 1985, "Clustering to
minimize the maximum intercluster distance": at most twice the best radius). Usual distances are
those of each look to the others that are not of its own time; what is far from their median is
pulled in.

*Later.* A look that may be learnt and lies within the spacing of its nearest vector adds nothing.
Any other is remembered. At the bound, one of two things happens. A memory that forgets gives up the
vector that was not needed for longest. One that does not forget doubles the spacing (from 0: the
least gap) and merges each vector into the nearest earlier one within it (Charikar et al. 1997,
"Incremental clustering and dynamic information retrieval": at most 8 times the best radius).
Mean and variance of the usual distances go on, far ones pulled in (winsorised) first.

The plain specification, one series in NumPy, is ``tests/perceive/normal/plain_detector.py``; every
sum here is made in its order, so all has the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.perceive.deviation import MAD_TO_SIGMA
from sightline.records.windows import FloatArray, IntArray

MEAN, VARIANCE, SPACING, STANDS, NUMBERS = 6, 7, 8, 9, 10
"""Of one width of one series: six spreads of the features, then these, in all so many."""
FILLED, SEEN, USUAL, COUNTS = 0, 1, 2, 3
"""Vectors in the memory (0: the width is not known), vectors that were normal, distances learnt."""
SQUARE, SCORE, WAITING = 6, 7, 8
"""Of a look that waits: six features, the square of its distance, the score of its time."""
NEVER, ALWAYS, BELOW = 0, 1, 2
"""What is learnt after the beginning: nothing, everything, or what scored below a level."""
_PAIRWISE = 128  # NumPy sums so many with eight running sums, and halves what is longer

_I = types.Array(types.int64, 1, "C", readonly=True)
_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_A3 = types.Array(types.float64, 3, "C")
_A4 = types.Array(types.float64, 4, "C")
_C3 = types.Array(types.int64, 3, "C")
_N = types.int64
_F = types.float64


# --- the beginning -----------------------------------------------------------------------------


@inner_loop
def _sum_of_few(values: FloatArray, begin: int, end: int) -> float:
    """The sum of at most 128 values."""
    n = end - begin
    if n < 8:
        few = 0.0
        for i in range(begin, end):
            few += values[i]
        return few
    s0, s1, s2, s3 = values[begin], values[begin + 1], values[begin + 2], values[begin + 3]
    s4, s5, s6, s7 = values[begin + 4], values[begin + 5], values[begin + 6], values[begin + 7]
    whole = end - n % 8
    for i in range(begin + 8, whole, 8):
        s0 += values[i]
        s1 += values[i + 1]
        s2 += values[i + 2]
        s3 += values[i + 3]
        s4 += values[i + 4]
        s5 += values[i + 5]
        s6 += values[i + 6]
        s7 += values[i + 7]
    total: float = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, end):
        total += values[i]
    return total


@inner_loop
def _sum(values: FloatArray) -> float:
    """The sum of all values, pairwise: halves until they are few, the left one first."""
    # A stack of what is left to sum, and of what was summed: (begin, end), or a sum to add to.
    begins, ends = np.empty(64, np.int64), np.empty(64, np.int64)
    sums = np.empty(64)
    begins[0], ends[0] = 0, len(values)
    todo, done = 1, 0
    while todo > 0:
        todo -= 1
        begin, end = begins[todo], ends[todo]
        if begin < 0:  # both halves are summed
            done -= 1
            sums[done - 1] += sums[done]
        elif end - begin <= _PAIRWISE:
            sums[done] = _sum_of_few(values, begin, end)
            done += 1
        else:
            half = (end - begin) // 2
            half -= half % 8
            begins[todo] = -1
            begins[todo + 1], ends[todo + 1] = begin + half, end
            begins[todo + 2], ends[todo + 2] = begin, begin + half
            todo += 3
    found: float = sums[0]
    return found


@inner_loop
def _median(values: FloatArray) -> float:
    ordered = np.sort(values)
    n = len(values)
    found: float = ordered[n // 2]
    if n % 2 == 0:
        found = (ordered[n // 2 - 1] + ordered[n // 2]) / 2.0
    return found


@inner_loop
def _squares(axes: FloatArray, begin: int, end: int, to: int, work: FloatArray) -> None:
    """The square of the distance of each of ``begin`` to ``end`` from the vector ``to``."""
    v0, v1, v2 = axes[0, to], axes[1, to], axes[2, to]
    v3, v4, v5 = axes[3, to], axes[4, to], axes[5, to]
    for i in range(begin, end):
        gap = axes[0, i] - v0
        square = gap * gap
        gap = axes[1, i] - v1
        square += gap * gap
        gap = axes[2, i] - v2
        square += gap * gap
        gap = axes[3, i] - v3
        square += gap * gap
        gap = axes[4, i] - v4
        square += gap * gap
        gap = axes[5, i] - v5
        square += gap * gap
        work[i] = square


@inner_loop
def _left_out(axes: FloatArray, exclude: int) -> FloatArray:
    """float64[m], of each known vector the distance to the nearest other one.

    Args:
        axes: float64[6, n]; where the first is infinite, the vector is not known.
        exclude: looks nearer in time than this are not compared, >= 1.
    """
    n = axes.shape[1]
    found = np.empty(n)
    work = np.empty(n)
    # Floating-point numbers that are not negative are ordered as their bits are.
    bits = work.view(np.int64)
    known = 0
    for i in range(n):
        if not math.isfinite(axes[0, i]):
            continue
        before, after = max(i - exclude + 1, 0), min(i + exclude, n)
        _squares(axes, 0, before, i, work)
        _squares(axes, after, n, i, work)
        for j in range(before, after):
            work[j] = math.inf
        least = bits[0]
        for j in range(n):
            least = min(least, bits[j])
        work[0], bits[0] = 0.0, least
        if work[0] < math.inf:
            found[known] = math.sqrt(work[0])
            known += 1
    return found[:known]


@inner_loop
def _chosen(axes: FloatArray, size: int) -> tuple[IntArray, IntArray, float]:
    """Centres that cover all, which is the nearest of each vector, and the radius.

    Args:
        axes: float64[6, n], finite, n >= 1.
        size: most centres.
    """
    n = axes.shape[1]
    chosen = np.empty(size, np.int64)
    work = np.zeros(n)
    bits = work.view(np.int64)
    for axis in range(6):
        mean = 0.0
        for i in range(n):
            mean += axes[axis, i]
        mean /= n
        for i in range(n):
            gap = axes[axis, i] - mean
            work[i] += gap * gap
    first = 0
    for i in range(n):
        if bits[i] < bits[first]:
            first = i
    chosen[0] = first
    covered = np.full(n, math.inf)
    covered_bits = covered.view(np.int64)
    nearest = np.zeros(n, np.int64)
    count = 1
    while True:
        _squares(axes, 0, n, chosen[count - 1], work)
        worst = covered_bits[0] * 0
        for i in range(n):
            is_nearer = work[i] < covered[i]
            covered[i] = work[i] if is_nearer else covered[i]
            nearest[i] = count - 1 if is_nearer else nearest[i]
            worst = max(worst, covered_bits[i])
        farthest = 0
        while covered_bits[farthest] != worst:
            farthest += 1
        if count == size or worst <= 0:
            return chosen[:count], nearest, math.sqrt(covered[farthest])
        chosen[count] = farthest
        count += 1


@kernel(
    _M,
    *[_N] * 4,
    *[_F] * 4,
    types.Array(types.float64, 1, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.float64, 2, "C"),
    types.Array(types.int64, 1, "C"),
)
def learnt_width(  # noqa: PLR0917 - compiled functions take no keywords
    looks: FloatArray,
    step: int,
    span: int,
    exclude: int,
    size: int,
    least: float,
    least_distance: float,
    clip: float,
    spacing_share: float,
    numbers: FloatArray,
    counts: IntArray,
    vectors: FloatArray,
    used: IntArray,
) -> bool:
    """Write what the looks of one width say of it; False, and nothing written, if it is too little.

    Args:
        looks: float64[n, 6], features on a grid of ``step`` samples.
        step: samples from look to look.
        span: samples that the known looks must span.
        exclude: looks nearer in time than this are not compared.
        size: most vectors of the memory.
        least: smallest deviation of a feature.
        least_distance, clip, spacing_share: of the settings.
        numbers: float64[10], see ``NUMBERS``.
        counts: int64[3], see ``COUNTS``.
        vectors: float64[6, room], infinite where there is none.
        used: int64[room], or empty.
    """
    n = len(looks)
    is_known = np.empty(n, np.bool_)
    known = 0
    total = np.zeros(6)
    for i in range(n):
        is_known[i] = True
        for axis in range(6):
            is_known[i] &= math.isfinite(looks[i, axis])
        if is_known[i]:
            known += 1
            for axis in range(6):
                total[axis] += looks[i, axis]
    if known * step < span:
        return False
    spread = np.zeros(6)
    for i in range(n):
        if is_known[i]:
            for axis in range(6):
                gap = looks[i, axis] - total[axis] / known
                spread[axis] += gap * gap
    for axis in range(6):
        spread[axis] = max(math.sqrt(spread[axis] / known), least)
    axes = np.empty((6, n))
    packed = np.empty((6, known))
    known = 0
    for i in range(n):
        is_finite = True
        for axis in range(6):
            axes[axis, i] = looks[i, axis] / spread[axis]
            is_finite &= math.isfinite(axes[axis, i])
        if is_finite:
            for axis in range(6):
                packed[axis, known] = axes[axis, i]
            known += 1
        else:
            for axis in range(6):
                axes[axis, i] = math.inf if axis == 0 else 0.0
    distance = _left_out(axes, exclude)
    if len(distance) == 0:
        return False
    middle = _median(distance)
    width = MAD_TO_SIGMA * _median(np.abs(distance - middle)) + least_distance
    low, high = middle - 2 * clip * width, middle + 2 * clip * width
    for i in range(len(distance)):
        distance[i] = min(max(distance[i], low), high)
    mean = _sum(distance) / len(distance)
    for i in range(len(distance)):
        gap = distance[i] - mean
        distance[i] = gap * gap
    axes = np.empty((6, known))
    for axis in range(6):
        for i in range(known):
            axes[axis, i] = packed[axis, i]
    chosen, nearest, radius = _chosen(axes, size)
    for axis in range(6):
        numbers[axis] = spread[axis]
        for i in range(len(chosen)):
            vectors[axis, i] = axes[axis, chosen[i]]
    numbers[MEAN] = mean
    numbers[VARIANCE] = _sum(distance) / len(distance)
    numbers[SPACING] = max(radius, spacing_share * middle)
    numbers[STANDS] = math.nan
    counts[FILLED], counts[SEEN], counts[USUAL] = len(chosen), known, len(distance)
    if len(used) > 0:
        for i in range(known):
            used[nearest[i]] = i + 1
    return True


# --- going on ----------------------------------------------------------------------------------


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
        looks: float64[m, 6], of :func:`.features.looked`.
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
                if learns == NEVER:
                    continue
                slot = wait_begin[place] + look % waits[place]
                look += 1
                for axis in range(6):
                    old[axis] = waiting[row, slot, axis]
                    waiting[row, slot, axis] = query[axis]
                old_square = waiting[row, slot, SQUARE]
                waiting[row, slot, SQUARE] = square
                if learns != BELOW or not waiting[row, slot, SCORE] >= below:
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
    """float64[samples], the mean over the widths of what stands; see ``attribution.combined``.

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
