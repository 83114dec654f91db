"""Compiled search of a memory of normal. Specified in :mod:`.memory_reference`."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray, IntArray

_M = types.Array(types.float64, 2, "C", readonly=True)


@kernel(_M, _M)
def nearest(memory: FloatArray, queries: FloatArray) -> tuple[FloatArray, IntArray]:
    """:func:`.memory_reference.nearest`."""
    n, d = queries.shape
    k = len(memory)
    distance = np.full(n, np.nan)
    index = np.full(n, -1, np.int64)
    hint = 0
    for row in range(n):
        is_finite = True
        for axis in range(d):
            is_finite &= math.isfinite(queries[row, axis])
        if not is_finite:
            continue
        # Windows that follow each other are alike: the last answer is a good bound to begin with,
        # and a sum that has passed the bound need not be finished.
        best = 0.0
        for axis in range(d):
            best += (memory[hint, axis] - queries[row, axis]) ** 2
        found = hint
        for i in range(k):
            square = 0.0
            for axis in range(d):
                square += (memory[i, axis] - queries[row, axis]) ** 2
                if square > best:
                    break
            if square < best or (square == best and i < found):
                best = square
                found = i
        hint = found
        index[row] = found
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
