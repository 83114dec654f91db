"""The memory of normal patches: at most so many vectors that stand for all that was normal.

The same idea as the memory of normal windows (:mod:`sightline.perceive.normal.memory`): a greedy
cover of what was normal (Gonzalez 1985), and the distance to the nearest vector of it. That one
learns on and has six features to a look, in compiled loops; this one is learnt once and has some
hundred features to a cell, in products of matrices. Compare K. Roth et al., Towards Total Recall in
Industrial Anomaly Detection, CVPR 2022, whose coreset this is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.perceive.inspection.floats import Floats
from sightline.records.windows import IntArray

_NEAR = 0.1
"""Distances far below this, times the root of the number of features, are alike."""
PROJECTED = 32
"""Dimensions in which the cover is looked for; distances are measured in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMemory:
    """Normal patches.

    Attributes:
        mean: float32[c], taken from features first.
        scale: float32[c], then features are divided by it.
        vectors: float32[n, c], the memory.
    """

    mean: Floats
    scale: Floats
    vectors: Floats

    def distances(self, cells: Floats) -> Floats:
        """float32[rows, columns]: how far each of [rows, columns, c] is from the nearest vector."""
        flat = (cells.reshape(-1, cells.shape[2]) - self.mean) / self.scale
        own = np.einsum("ij,ij->i", flat, flat)
        theirs = np.einsum("ij,ij->i", self.vectors, self.vectors)
        alike = flat @ self.vectors.T
        alike -= theirs / 2
        distance: Floats = np.sqrt(np.maximum(own - 2 * alike.max(axis=1), 0.0))
        return distance.reshape(cells.shape[:2])

    def strangeness(self, cells: Floats) -> Floats:
        """float32[rows, columns]: the logarithm of the distances.

        A tenth of the usual spread is added first, so that a picture that the memory was chosen
        from, whose patches are at no distance, does not stand apart.
        """
        near = _NEAR * math.sqrt(self.vectors.shape[1])
        return np.asarray(np.log(self.distances(cells) + np.float32(near)))

    def nearest_cells(self, cells: Floats) -> tuple[Floats, IntArray]:
        """Of each vector the nearest of [rows, columns, c] cells: float32[n], the square of its
        distance, and int64[n], its place row by row.
        """
        flat = (cells.reshape(-1, cells.shape[2]) - self.mean) / self.scale
        own = np.einsum("ij,ij->i", flat, flat)
        square = own[:, None] - 2 * (flat @ self.vectors.T)
        best = square.argmin(axis=0).astype(np.int64)
        theirs = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return square[best, np.arange(len(best))] + theirs, best

    def nearest(self, cell: Floats, *, count: int) -> IntArray:
        """Places in the memory of the vectors nearest to one cell [c], the nearest first."""
        gap = self.vectors - (cell - self.mean) / self.scale
        square = np.einsum("ij,ij->i", gap, gap)
        return np.argsort(square, kind="stable")[:count].astype(np.int64)


def learn_patches(patches: Floats, *, size: int, seed: int) -> PatchMemory:
    """A memory that covers patches.

    Args:
        patches: float32[n, c], finite, n >= 1.
        size: most vectors that are kept.
        seed: of the projection in which the cover is looked for.
    """
    mean = patches.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = patches.std(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.maximum(spread, 1e-3 * float(spread.max()) + 1e-6)
    scaled = (patches - mean) / scale
    kept = cover(scaled, size=size, seed=seed)
    return PatchMemory(mean=mean, scale=scale, vectors=scaled[kept])


def cover(points: Floats, *, size: int, seed: int) -> IntArray:
    """Places of at most ``size`` points, each the farthest from those before, from the most usual.

    Args:
        points: float32[n, c], n >= 1. Distances are those of a random projection (Johnson and
            Lindenstrauss 1984) where c is above 32.
        size: most points.
        seed: of the projection.

    >>> cover(np.array([[0.0], [1.0], [10.0], [11.0]], np.float32), size=2, seed=0).tolist()
    [1, 3]
    """
    if points.shape[1] > PROJECTED:
        matrix = np.random.default_rng(seed).normal(size=(points.shape[1], PROJECTED))
        points = points @ (matrix / np.sqrt(PROJECTED)).astype(np.float32)
    squares = np.einsum("ij,ij->i", points, points)
    gap = points - points.mean(axis=0)
    first = int(np.einsum("ij,ij->i", gap, gap).argmin())
    kept = [first]
    covered = np.full(len(points), np.inf, np.float32)
    while len(kept) < min(size, len(points)):
        last = kept[-1]
        reached = squares + squares[last] - 2 * (points @ points[last])
        np.minimum(covered, reached, out=covered)
        covered[last] = -np.inf
        kept.append(int(covered.argmax()))
    return np.array(kept, np.int64)
