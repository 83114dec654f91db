"""Compiled search of a memory of normal. Specified in :mod:`.memory_reference`."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

_M = types.Array(types.float64, 2, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)


@inner_loop
def _turned(matrix: FloatArray) -> FloatArray:
    """The transpose, row after row: ``.T.copy()`` keeps the order of the columns."""
    n, d = matrix.shape
    found = np.empty((d, n))
    for i in range(n):
        for axis in range(d):
            found[axis, i] = matrix[i, axis]
    return found


@inner_loop
def _nearest_one(
    axes: FloatArray, filled: int, query: FloatArray, work: FloatArray
) -> tuple[float, int]:
    """Square of the distance, and the row, of the nearest of the first ``filled`` vectors.

    Args:
        axes: float64[d, k], the memory turned round: of each axis all vectors lie side by side, so
            that the processor takes several at once. Each sum is still made axis by axis.
        filled: how many of them count.
        query: float64[d], finite.
        work: float64[k], written to.
    """
    first = query[0]
    for i in range(filled):
        gap = axes[0, i] - first
        work[i] = gap * gap
    for axis in range(1, len(query)):
        value = query[axis]
        for i in range(filled):
            gap = axes[axis, i] - value
            work[i] += gap * gap
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
    for value in vector:  # noqa: SIM110 - compiled without a generator
        if not math.isfinite(value):
            return False
    return True


@kernel(_M, _M)
def nearest(memory: FloatArray, queries: FloatArray) -> tuple[FloatArray, IntArray]:
    """:func:`.memory_reference.nearest`."""
    n = len(queries)
    distance = np.full(n, np.nan)
    index = np.full(n, -1, np.int64)
    axes = _turned(memory)
    work = np.empty(len(memory))
    for row in range(n):
        if _is_finite(queries[row]):
            square, index[row] = _nearest_one(axes, len(memory), queries[row], work)
            distance[row] = math.sqrt(square)
    return distance, index


@kernel(_M, types.int64)
def k_centre(vectors: FloatArray, size: int) -> tuple[IntArray, float]:
    """:func:`.memory_reference.k_centre`."""
    n, d = vectors.shape
    chosen = np.empty(size, np.int64)
    mean = np.zeros(d)
    for i in range(n):
        for axis in range(d):
            mean[axis] += vectors[i, axis]
    mean /= n
    first, least = 0, math.inf
    for i in range(n):
        square = 0.0
        for axis in range(d):
            square += (vectors[i, axis] - mean[axis]) ** 2
        if square < least:
            first, least = i, square
    chosen[0] = first
    covered = np.full(n, math.inf)
    count = 1
    while True:
        centre = chosen[count - 1]
        farthest, worst = 0, -1.0
        for i in range(n):
            if covered[i] > 0.0:
                square = 0.0
                for axis in range(d):
                    square += (vectors[i, axis] - vectors[centre, axis]) ** 2
                covered[i] = min(covered[i], square)
            if covered[i] > worst:
                farthest, worst = i, covered[i]
        if count == size or worst <= 0.0:
            return chosen[:count], math.sqrt(worst)
        chosen[count] = farthest
        count += 1


@inner_loop
def _oldest(used: IntArray, filled: int) -> int:
    found = 0
    for i in range(filled):
        if used[i] < used[found]:
            found = i
    return found


@inner_loop
def _least_gap(axes: FloatArray, filled: int) -> float:
    least = math.inf
    for i in range(filled):
        for j in range(i):
            square = 0.0
            for axis in range(len(axes)):
                square += (axes[axis, j] - axes[axis, i]) ** 2
            least = min(least, square)
    return math.sqrt(least)


@inner_loop
def _merge(  # noqa: PLR0917 - compiled functions take no keywords
    axes: FloatArray,
    count: IntArray,
    used: IntArray,
    filled: int,
    spacing: float,
    work: FloatArray,
) -> int:
    """Merge each vector into the nearest earlier one within ``spacing``; how many are left."""
    kept = 0
    for i in range(filled):
        vector = axes[:, i].copy()
        if kept > 0:
            square, near = _nearest_one(axes, kept, vector, work)
            if math.sqrt(square) <= spacing:
                count[near] += count[i]
                used[near] = max(used[near], used[i])
                continue
        axes[:, kept] = vector
        count[kept] = count[i]
        used[kept] = used[i]
        kept += 1
    return kept


@kernel(_M, _I, _I, types.int64, types.int64, types.float64, types.int64, types.boolean, _M, _M)
def followed(  # noqa: PLR0917 - compiled functions take no keywords
    old_vectors: FloatArray,
    old_count: IntArray,
    old_used: IntArray,
    filled: int,
    seen: int,
    spacing: float,
    size: int,
    forgets: bool,
    queries: FloatArray,
    normal: FloatArray,
) -> tuple[FloatArray, FloatArray, IntArray, IntArray, int, int, float]:
    """:func:`.memory_reference.followed`."""
    axes, count, used = _turned(old_vectors), old_count.copy(), old_used.copy()
    distance = np.full(len(queries), np.nan)
    work = np.empty(len(old_vectors))
    for row in range(len(queries)):
        if _is_finite(queries[row]):
            square, near = _nearest_one(axes, filled, queries[row], work)
            distance[row] = math.sqrt(square)
        if not _is_finite(normal[row]):
            continue
        seen += 1
        square, near = _nearest_one(axes, filled, normal[row], work)
        if math.sqrt(square) <= spacing:
            count[near] += 1
            used[near] = seen
            continue
        place = _oldest(used, filled) if forgets and filled == size else filled
        for axis in range(len(axes)):
            axes[axis, place] = normal[row, axis]
        count[place] = 1
        used[place] = seen
        filled = max(filled, place + 1)
        while filled > size:
            spacing = 2 * spacing if spacing > 0.0 else _least_gap(axes, filled)
            filled = _merge(axes, count, used, filled, spacing, work)
    return distance, _turned(axes), count, used, filled, seen, spacing
