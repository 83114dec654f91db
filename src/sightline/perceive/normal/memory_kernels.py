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
def _nearest_one(
    memory: FloatArray, filled: int, query: FloatArray, hint: int
) -> tuple[float, int]:
    """Square of the distance, and the row, of the nearest of the first ``filled`` vectors."""
    # Windows that follow each other are alike: the last answer is a good bound to begin with, and
    # a sum that has passed the bound need not be finished.
    d = len(query)
    best = 0.0
    for axis in range(d):
        best += (memory[hint, axis] - query[axis]) ** 2
    found = hint
    for i in range(filled):
        square = 0.0
        for axis in range(d):
            square += (memory[i, axis] - query[axis]) ** 2
            if square > best:
                break
        if square < best or (square == best and i < found):
            best = square
            found = i
    return best, found


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
    hint = 0
    for row in range(n):
        if _is_finite(queries[row]):
            best, hint = _nearest_one(memory, len(memory), queries[row], hint)
            index[row] = hint
            distance[row] = math.sqrt(best)
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
def _without_oldest(vectors: FloatArray, count: IntArray, used: IntArray, filled: int) -> int:
    """Take the vector that was not used for longest out; how many are left."""
    oldest = 0
    for i in range(filled):
        if used[i] < used[oldest]:
            oldest = i
    for i in range(oldest, filled - 1):
        vectors[i] = vectors[i + 1]
        count[i] = count[i + 1]
        used[i] = used[i + 1]
    return filled - 1


@inner_loop
def _least_gap(vectors: FloatArray, filled: int) -> float:
    least = math.inf
    for i in range(filled):
        for j in range(i):
            square = 0.0
            for axis in range(vectors.shape[1]):
                square += (vectors[j, axis] - vectors[i, axis]) ** 2
            least = min(least, square)
    return math.sqrt(least)


@inner_loop
def _merge(
    vectors: FloatArray, count: IntArray, used: IntArray, filled: int, spacing: float
) -> int:
    """Merge each vector into the nearest earlier one within ``spacing``; how many are left."""
    kept = 0
    for i in range(filled):
        if kept > 0:
            square, near = _nearest_one(vectors, kept, vectors[i], 0)
            if math.sqrt(square) <= spacing:
                count[near] += count[i]
                used[near] = max(used[near], used[i])
                continue
        vectors[kept] = vectors[i]
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
    vectors, count, used = old_vectors.copy(), old_count.copy(), old_used.copy()
    distance = np.full(len(queries), np.nan)
    hint = near = 0
    for row in range(len(queries)):
        if _is_finite(queries[row]):
            square, hint = _nearest_one(vectors, filled, queries[row], min(hint, filled - 1))
            distance[row] = math.sqrt(square)
        if not _is_finite(normal[row]):
            continue
        seen += 1
        square, near = _nearest_one(vectors, filled, normal[row], min(near, filled - 1))
        if math.sqrt(square) <= spacing:
            count[near] += 1
            used[near] = seen
            continue
        vectors[filled] = normal[row]
        count[filled] = 1
        used[filled] = seen
        filled += 1
        if filled > size and forgets:
            filled = _without_oldest(vectors, count, used, filled)
        while filled > size:
            spacing = 2 * spacing if spacing > 0.0 else _least_gap(vectors, filled)
            filled = _merge(vectors, count, used, filled, spacing)
    return distance, vectors, count, used, filled, seen, spacing
