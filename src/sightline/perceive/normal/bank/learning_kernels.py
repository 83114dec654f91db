"""Compiled: what the beginning of a series says of one width.

Specified by ``SeriesDetector.learn``, whose NumPy sums are made here in NumPy's order (rows one
after the other along the first axis, pairwise along the only one), so that all has the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.perceive.deviation import MAD_TO_SIGMA
from sightline.records.windows import FloatArray, IntArray

_PAIRWISE = 128  # NumPy sums so many with eight running sums, and halves what is longer
_V = types.Array(types.float64, 1, "C", readonly=True)
_N, _F = types.int64, types.float64


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
    """float64[m], the distances that ``usual_distance_reference.left_out`` knows.

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
    """``memory_reference.k_centre``, and of each vector which centre is its nearest.

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
    types.Array(types.float64, 2, "C", readonly=True),
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
        numbers: float64[10], as ``memory_kernels.NUMBERS`` says.
        counts: int64[3], as ``memory_kernels.COUNTS`` says.
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
    numbers[6] = mean
    numbers[7] = _sum(distance) / len(distance)
    numbers[8] = max(radius, spacing_share * middle)
    numbers[9] = math.nan
    counts[0], counts[1], counts[2] = len(chosen), known, len(distance)
    if len(used) > 0:
        for i in range(known):
            used[nearest[i]] = i + 1
    return True
