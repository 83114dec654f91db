"""The plain specification of :mod:`.memory_kernels`: the same in NumPy."""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray, IntArray


def nearest(memory: FloatArray, queries: FloatArray) -> tuple[FloatArray, IntArray]:
    """The nearest remembered vector of each query.

    Args:
        memory: float64[k, d], k >= 1, finite.
        queries: float64[n, d].

    Returns:
        float64[n], Euclidean distance, NaN for a query with a NaN; int64[n], its row in ``memory``
        (the first of equally near ones), -1 for such a query.
    """
    distance = np.full(len(queries), np.nan)
    index = np.full(len(queries), -1, np.int64)
    for row, query in enumerate(queries):
        if not np.isfinite(query).all():
            continue
        square = np.zeros(len(memory))
        for axis in range(memory.shape[1]):  # one axis after the other: the order of a kernel's sum
            square += (memory[:, axis] - query[axis]) ** 2
        index[row] = np.argmin(square)
        distance[row] = np.sqrt(square[index[row]])
    return distance, index


def k_centre(vectors: FloatArray, size: int) -> tuple[IntArray, float]:
    """Rows that cover all others: each next one is the one farthest from those before.

    Begins with the row nearest to the mean. The greatest distance of any row to its nearest centre
    is at most twice the least that ``size`` centres can reach (Gonzalez 1985, "Clustering to
    minimize the maximum intercluster distance").

    Args:
        vectors: float64[n, d], n >= 1, finite.
        size: most centres, >= 1. Rows equal to a centre are never another.

    Returns:
        int64[k], rows of the centres in the order they were chosen; the covering radius.
    """
    mean = vectors.sum(axis=0) / len(vectors)
    first = int(np.argmin(((vectors - mean) ** 2).sum(axis=1)))
    chosen = [first]
    square = np.zeros(len(vectors))
    for axis in range(vectors.shape[1]):
        square += (vectors[:, axis] - vectors[first, axis]) ** 2
    while len(chosen) < size and square.max() > 0.0:
        farthest = int(np.argmax(square))
        chosen.append(farthest)
        other = np.zeros(len(vectors))
        for axis in range(vectors.shape[1]):
            other += (vectors[:, axis] - vectors[farthest, axis]) ** 2
        square = np.minimum(square, other)
    return np.array(chosen, np.int64), float(np.sqrt(square.max()))
