"""The memory of normal: what it keeps, how far a look is from it, and what distance is usual.

Per series and width a memory holds at most ``size`` vectors (the features of windows, divided by
their spread) that stand for all that was normal. How unusual a look is: its distance to the nearest
vector, in deviations beyond the usual distances of that series so far.

*Beginning.* The vectors of the learning stretch are covered greedily: each next one is the one
farthest from those before, the first the nearest to their mean (Gonzalez 1985, "Clustering to
minimize the maximum intercluster distance": at most twice the best radius). Usual distances are
those of each look to the others that are not of its own time; what is far from their median is
pulled in.

*Held back.* While a series is unusual (an episode: from a score of ``learns_below`` until it has
been below ``usual_below`` for ``quiet_rows``) its looks are marked, and marked looks are not
learnt: what was anomalous is not normal because it is over. Only what lasts becomes normal: once a
width has been unusual for ``lasting_rows`` without a break, it learns all the same.

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
from sightline.perceive.normal.features import NO_LOOK, take
from sightline.perceive.normal.portable_logarithm import expm1_of, log1p_of
from sightline.records.windows import FloatArray, IntArray

MEAN, VARIANCE, SPACING, STANDS, LEAST, NUMBERS = 6, 7, 8, 9, 10, 11
"""Of one width of one series: six spreads of the features, then mean and variance of the usual
distances, the spacing of the memory, log(1 + deviations) that stand since the last look, and what
is added to the deviation of the distances; in all so many."""
FILLED, SEEN, USUAL, UNUSUAL, QUIET_LOOKS, COUNTS = 0, 1, 2, 3, 4, 5
"""Vectors in the memory (0: the width is not known), vectors that were normal, distances learnt,
looks since they have been unusual without a break, usual ones in a row."""
SQUARE, HELD, WAITING = 6, 7, 8
"""Of a look that waits: six features, the square of its distance, 1 if it is of an episode."""
IS_OPEN, QUIET, EPISODE = 0, 1, 2
"""Of a series: 1 while an episode lasts, and for how many rows it has been quiet."""
LOW, HIGH, LAST, RUN, MOST_RUN, SAMPLE = 0, 1, 2, 3, 4, 5
"""Of a series: samples further out count as these; the last sample, how many in a row have been
equal to it, and from how many on that is unusual (infinite: never)."""
CLIP, HELD_CLIP, BELOW_SCORE, USUAL_BELOW, LIMITS = 0, 1, 2, 3, 4
"""Of the settings: ``clip``, ``held_clip``, ``learns_below`` (infinite for None), ``usual_below``.
"""
ENOUGH_QUIET_LOOKS = 4
"""Looks of one width in a row that are usual, until what it sees is no longer one that lasts: half
of its samples are new then."""
STUCK_SCORE = 4.0
"""Where a run of equal samples has become unusual: the threshold of events."""
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
    *[_N] * 5,
    _V,
    _V,
    *[_F] * 3,
    types.Array(types.float64, 1, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.float64, 2, "C"),
    types.Array(types.int64, 1, "C"),
)
def learnt_width(  # noqa: PLR0915, PLR0917 - compiled functions take no keywords
    looks: FloatArray,
    grid: int,
    step: int,
    span: int,
    exclude: int,
    size: int,
    least: FloatArray,
    rounding: FloatArray,
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
        looks: float64[n, 6], features on a grid of ``grid`` samples.
        grid: samples from look to look here.
        step: the same later.
        span: samples that the known looks must span.
        exclude: looks nearer in time than this are not compared.
        size: most vectors of the memory.
        least: float64[6], smallest deviation of each feature.
        rounding: float64[6], what the rounding of the samples makes of each feature, 0 for samples
            that are not rounded. What that comes to is no distance.
        least_distance, clip, spacing_share: of the settings.
        numbers: float64[11], see ``NUMBERS``.
        counts: int64[5], see ``COUNTS``.
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
    if known * grid < span:
        return False
    spread = np.zeros(6)
    for i in range(n):
        if is_known[i]:
            for axis in range(6):
                gap = looks[i, axis] - total[axis] / known
                spread[axis] += gap * gap
    for axis in range(6):
        spread[axis] = max(math.sqrt(spread[axis] / known), least[axis])
    made = 0.0
    for axis in range(6):
        made += (rounding[axis] / spread[axis]) ** 2
    least_distance = max(least_distance, math.sqrt(made))
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
    numbers[LEAST] = least_distance
    counts[FILLED], counts[SEEN] = len(chosen), known
    counts[USUAL] = max(len(distance) * grid // step, 1)
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


@inner_loop
def _remember(  # noqa: PLR0917 - compiled functions take no keywords
    row: int,
    place: int,
    old: FloatArray,
    size: int,
    forgets: bool,
    numbers: FloatArray,
    counts: IntArray,
    vectors: FloatArray,
    used: IntArray,
    work: FloatArray,
) -> None:
    """Take a finite vector into the memory of one width of one series."""
    counts[row, place, SEEN] += 1
    seen = counts[row, place, SEEN]
    filled = counts[row, place, FILLED]
    spacing = numbers[row, place, SPACING]
    gap, near = _nearest_one(vectors, row, place, filled, old, work)
    if math.sqrt(gap) <= spacing:
        if forgets:
            used[row, place, near] = seen
        return
    at = filled
    if forgets:
        if filled == size:
            at = _oldest(used, row, place, filled)
        used[row, place, at] = seen
    for axis in range(6):
        vectors[row, place, axis, at] = old[axis]
    filled = max(filled, at + 1)
    while filled > size:
        spacing = 2 * spacing if spacing > 0.0 else _least_gap(vectors, row, place, filled)
        filled = _merged(vectors, row, place, filled, spacing, work)
    counts[row, place, FILLED] = filled
    numbers[row, place, SPACING] = spacing


@inner_loop
def _stuck_score(samples: FloatArray, row: int, value: float, lasting_rows: int) -> float:
    """Take in one sample; how unusual it is that it is the same as so many before it.

    ``STUCK_SCORE`` where a run of equal samples reaches ``MOST_RUN``, and more in proportion: 0
    before, and once it has lasted.
    """
    if not math.isfinite(value):
        return 0.0
    if value == samples[row, LAST]:
        samples[row, RUN] += 1.0
    else:
        samples[row, LAST] = value
        samples[row, RUN] = 1.0
    if samples[row, MOST_RUN] <= samples[row, RUN] <= lasting_rows:
        found: float = STUCK_SCORE * samples[row, RUN] / samples[row, MOST_RUN]
        return found
    return 0.0


@inner_loop
def _look(  # noqa: PLR0917 - compiled functions take no keywords
    row: int,
    place: int,
    slot: int,
    query: FloatArray,
    step: int,
    least_weight: float,
    size: int,
    forgets: bool,
    learns: int,
    limits: FloatArray,
    lasting_rows: int,
    numbers: FloatArray,
    counts: IntArray,
    vectors: FloatArray,
    used: IntArray,
    waiting: FloatArray,
    work: FloatArray,
) -> None:
    """Compare one look, let it wait, and learn the one that has waited for long enough.

    Args:
        slot: where the one that has waited is, and this one will wait.
        query: float64[6], the features of this one, divided by their spread.
        work: float64[room], written to.
    """
    square = math.nan
    if _is_finite(query):
        square, _ = _nearest_one(vectors, row, place, counts[row, place, FILLED], query, work)
    mean = numbers[row, place, MEAN]
    scale = math.sqrt(numbers[row, place, VARIANCE]) + numbers[row, place, LEAST]
    beyond = (math.sqrt(square) - mean) / scale
    numbers[row, place, STANDS] = log1p_of(max(beyond, 0.0)) if math.isfinite(beyond) else math.nan
    if learns == NEVER:
        return
    old = np.empty(6)
    for axis in range(6):
        old[axis] = waiting[row, slot, axis]
        waiting[row, slot, axis] = query[axis]
    distance = math.sqrt(waiting[row, slot, SQUARE])
    waiting[row, slot, SQUARE] = square
    is_learnt = waiting[row, slot, HELD] == 0.0
    waiting[row, slot, HELD] = 0.0
    if beyond < limits[USUAL_BELOW]:
        counts[row, place, QUIET_LOOKS] += 1
        if counts[row, place, QUIET_LOOKS] >= ENOUGH_QUIET_LOOKS:
            counts[row, place, UNUSUAL] = 0
    elif beyond >= limits[USUAL_BELOW]:
        counts[row, place, QUIET_LOOKS] = 0
        counts[row, place, UNUSUAL] += 1
    is_learnt |= counts[row, place, UNUSUAL] * step >= lasting_rows
    if is_learnt and _is_finite(old):
        _remember(row, place, old, size, forgets, numbers, counts, vectors, used, work)
    if math.isfinite(distance):
        # What was not learnt moves what is usual, too, but less far: scores of a series that has
        # become livelier must come down.
        value = min(distance, mean + limits[CLIP if is_learnt else HELD_CLIP] * scale)
        counts[row, place, USUAL] += 1
        weight = max(1.0 / counts[row, place, USUAL], least_weight)
        pull = value - mean
        mean += weight * pull
        numbers[row, place, MEAN] = mean
        variance = numbers[row, place, VARIANCE]
        numbers[row, place, VARIANCE] += weight * (pull * (value - mean) - variance)


@inner_loop
def _hold(  # noqa: PLR0917 - compiled functions take no keywords
    row: int,
    time: int,
    score: float,
    limits: FloatArray,
    quiet_rows: int,
    steps: IntArray,
    waits: IntArray,
    wait_begin: IntArray,
    waiting: FloatArray,
    episodes: IntArray,
) -> None:
    """Begin or end an episode, and mark the looks that are part of it."""
    held_from = time
    if score >= limits[BELOW_SCORE]:
        episodes[row, QUIET] = 0
        if episodes[row, IS_OPEN] == 0:
            episodes[row, IS_OPEN] = 1
            # The first looks that saw it were made before all widths had looked.
            for place in range(len(steps)):
                held_from = min(held_from, time - steps[place] + 1)
    elif score < limits[USUAL_BELOW]:
        episodes[row, QUIET] += 1
        if episodes[row, QUIET] >= quiet_rows:
            episodes[row, IS_OPEN] = 0
    elif score >= limits[USUAL_BELOW]:
        episodes[row, QUIET] = 0
    if episodes[row, IS_OPEN] == 0:
        return
    for place in range(len(steps)):
        look = time // steps[place]
        for one in range(look, look - waits[place], -1):
            if one < 0 or one * steps[place] < held_from:
                break
            waiting[row, wait_begin[place] + one % waits[place], HELD] = 1.0


@kernel(
    *[_I] * 3,
    _V,
    types.Array(types.int64, 1, "C"),
    *[_I] * 3,
    _V,
    types.Array(types.int64, 2, "C", readonly=True),
    _N,
    types.boolean,
    _N,
    _V,
    _I,
    _A3,
    _A3,
    _C3,
    _A4,
    _C3,
    _A3,
    types.Array(types.float64, 2, "C"),
    types.Array(types.int64, 2, "C"),
    types.Array(types.float64, 1, "C"),
)
def followed(  # noqa: PLR0917 - compiled functions take no keywords
    series: IntArray,
    begin: IntArray,
    length: IntArray,
    values: FloatArray,
    since: IntArray,
    steps: IntArray,
    waits: IntArray,
    wait_begin: IntArray,
    least_weight: FloatArray,
    levels: IntArray,
    size: int,
    forgets: bool,
    learns: int,
    limits: FloatArray,
    patience: IntArray,
    windows: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    vectors: FloatArray,
    used: IntArray,
    waiting: FloatArray,
    samples: FloatArray,
    episodes: IntArray,
    into: FloatArray,
) -> None:
    """Score samples one after the other, while what has waited is learnt.

    Args:
        series: int64[k], rows of the block.
        begin, length: int64[k], their new samples among ``values``.
        values: float64[n].
        since: int64[rows], samples since learning, written to.
        steps, waits, wait_begin, least_weight, levels, learns, limits, patience: of the plan.
        size, forgets: of the settings.
        windows: float64[rows, kept, 7], written to.
        numbers: float64[rows, w, NUMBERS], written to.
        counts: int64[rows, w, COUNTS], written to.
        vectors: float64[rows, w, 6, room], written to.
        used: int64[rows, w, room], when each was last needed, written to; empty unless it forgets.
        waiting: float64[rows, waits of all widths, WAITING], written to.
        samples: float64[rows, SAMPLE], written to.
        episodes: int64[rows, EPISODE], written to.
        into: float64[n], the scores, written to.
    """
    quiet_rows, lasting_rows = patience[0], patience[1]
    widths = len(steps)
    work = np.empty(vectors.shape[3])
    query = np.empty(6)
    looks = np.empty((widths, 6))
    next_look = np.empty(widths, np.int64)
    for k in range(len(series)):
        row = series[k]
        for place in range(widths):
            next_look[place] = NO_LOOK
            if counts[row, place, FILLED] > 0:
                next_look[place] = since[row] + -since[row] % steps[place]
        combined = math.nan
        is_new = True
        for i in range(begin[k], begin[k] + length[k]):
            time = since[row]
            since[row] += 1
            value = values[i]
            if value < samples[row, LOW]:
                value = samples[row, LOW]
            elif value > samples[row, HIGH]:
                value = samples[row, HIGH]
            take(windows, row, value, time, levels, steps, next_look, looks)
            for place in range(widths):
                if counts[row, place, FILLED] > 0 and time % steps[place] == 0:
                    is_new = True
                    for axis in range(6):
                        query[axis] = looks[place, axis] / numbers[row, place, axis]
                    slot = 0
                    if learns != NEVER:
                        slot = wait_begin[place] + time // steps[place] % waits[place]
                    _look(
                        row,
                        place,
                        slot,
                        query,
                        steps[place],
                        least_weight[place],
                        size,
                        forgets,
                        learns,
                        limits,
                        lasting_rows,
                        numbers,
                        counts,
                        vectors,
                        used,
                        waiting,
                        work,
                    )
            if is_new:
                is_new = False
                total, known = 0.0, 0.0
                for place in range(widths):
                    stands = numbers[row, place, STANDS]
                    if counts[row, place, FILLED] > 0 and not math.isnan(stands):
                        total += stands
                        known += 1.0
                # Of few widths a mean is great more often: see :func:`.attribution.combined`.
                share = math.sqrt(math.sqrt(known / widths))
                combined = expm1_of(share * (total / known)) if known > 0.0 else math.nan
            stuck = _stuck_score(samples, row, value, lasting_rows)
            score = stuck if stuck > combined else combined
            into[i] = score
            if learns == BELOW:
                _hold(
                    row,
                    time,
                    score,
                    limits,
                    quiet_rows,
                    steps,
                    waits,
                    wait_begin,
                    waiting,
                    episodes,
                )
