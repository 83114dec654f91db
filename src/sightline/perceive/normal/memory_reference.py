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


Columns = tuple[FloatArray, IntArray, IntArray, int, int, float]
"""vectors float64[size + 1, d], count and used int64[size + 1]; then how many of them are filled,
vectors seen, and the spacing."""


def followed(
    columns: Columns, size: int, forgets: bool, queries: FloatArray, normal: FloatArray
) -> tuple[FloatArray, Columns]:
    """Score each query by the memory of that time, then take in the vector that is normal by then.

    A vector within the spacing of its nearest adds to that one's count. Any other is remembered;
    at ``size`` either it takes the place of the one that was not used for longest, or the spacing
    doubles (from 0: the least gap) and each that is within it of an earlier one is merged into the
    nearest of those, until there is room.

    Args:
        columns: the memory; not changed.
        size: bound, >= 1.
        forgets: which of the two happens at the bound.
        queries: float64[n, d]; NaN rows score NaN.
        normal: float64[n, d], taken in after the query of the same row; NaN rows are not.

    Returns:
        float64[n], distances as of :func:`nearest`; the memory after the last row.
    """
    vectors, count, used, filled, seen, spacing = columns
    vectors, count, used = vectors.copy(), count.copy(), used.copy()
    distance = np.full(len(queries), np.nan)
    for row in range(len(queries)):
        distance[row] = nearest(vectors[:filled], queries[row : row + 1])[0][0]
        vector = normal[row]
        if not np.isfinite(vector).all():
            continue
        seen += 1
        gap, index = nearest(vectors[:filled], vector[None])
        if gap[0] <= spacing:
            count[index[0]] += 1
            used[index[0]] = seen
            continue
        place = int(np.argmin(used[:filled])) if forgets and filled == size else filled
        vectors[place], count[place], used[place] = vector, 1, seen
        filled = max(filled, place + 1)
        while filled > size:
            gaps = [
                nearest(np.delete(vectors[:filled], i, axis=0), vectors[i : i + 1])[0][0]
                for i in range(filled)
            ]
            spacing = 2 * spacing if spacing > 0 else float(min(gaps))
            kept = 0
            for i in range(filled):
                if kept:
                    gap, index = nearest(vectors[:kept], vectors[i : i + 1])
                    if gap[0] <= spacing:
                        count[index[0]] += count[i]
                        used[index[0]] = max(used[index[0]], used[i])
                        continue
                vectors[kept], count[kept], used[kept] = vectors[i], count[i], used[i]
                kept += 1
            filled = kept
    return distance, (vectors, count, used, filled, seen, spacing)
