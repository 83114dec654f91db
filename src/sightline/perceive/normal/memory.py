"""A bounded memory of what has been normal, and how far something is from it.

It knows vectors, not what they mean: windows of telemetry, or patches of an image.

When not to use it: with more than some tens of dimensions of which most say nothing (all distances
become alike), or with features on different scales (the widest decides alone: scale them first).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal import memory_kernels
from sightline.records.state_format import StateFormat
from sightline.records.windows import FloatArray, IntArray

MEMORY_FORMAT = 1
_FORMAT = StateFormat(
    kind="a memory",
    version=MEMORY_FORMAT,
    where="NormalMemory",
    action="train again with this version",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalMemory:
    """At most ``size`` vectors that stand for all that were normal.

    Attributes:
        vectors: float64[k, d], k <= size.
        count: int64[k], how many normal vectors each has stood for.
        used: int64[k], when each was last the nearest to something normal, in vectors seen.
        seen: normal vectors taken in so far.
        spacing: a vector nearer than this to one that is remembered adds nothing new.
        size: bound of k.
        forgets: what happens at the bound. True: the vector that has not been needed for longest
            gives way. False: ``spacing`` is doubled and vectors that are then too near to each
            other become one (Charikar et al. 1997, "Incremental clustering and dynamic information
            retrieval": at most 8 times the best covering radius), so that nothing that was ever
            normal is forgotten.

    >>> memory = NormalMemory.of(np.array([[0.0], [1.0], [1.1], [5.0]]), size=3)
    >>> memory.vectors.ravel().tolist(), memory.nearest(np.array([[4.0]]))[0].tolist()
    ([1.1, 5.0, 0.0], [1.0])
    """

    vectors: FloatArray
    count: IntArray
    used: IntArray
    seen: int
    spacing: float
    size: int
    forgets: bool

    @classmethod
    def of(
        cls, vectors: FloatArray, *, size: int, forgets: bool = False, spacing: float = 0.0
    ) -> Self:
        """The ``size`` vectors that cover all of ``vectors`` best, chosen greedily.

        Args:
            vectors: float64[n, d]; rows that are not finite are passed over.
            size: most vectors to remember, >= 1.
            forgets: see the class.
            spacing: least spacing; the radius that ``size`` vectors can cover, if that is more.

        Raises:
            UsageError: no finite vector, or a size below 1.
        """
        known = np.ascontiguousarray(vectors[np.isfinite(vectors).all(axis=1)], np.float64)
        if not len(known) or size < 1:
            raise UsageError(
                expected="at least one finite vector, and a size of 1 or more",
                got=f"{len(known)} of {len(vectors)}, size {size}",
                where="NormalMemory.of",
                action="wait for data: without any nothing is known to be normal",
            )
        rows, radius = memory_kernels.k_centre(known, size)
        chosen = known[rows]
        _, index = memory_kernels.nearest(chosen, known)
        used = np.zeros(len(chosen), np.int64)
        np.maximum.at(used, index, np.arange(1, len(known) + 1))
        return cls(
            vectors=chosen,
            count=np.bincount(index, minlength=len(chosen)).astype(np.int64),
            used=used,
            seen=len(known),
            spacing=max(radius, spacing),
            size=size,
            forgets=forgets,
        )

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(self, queries: FloatArray) -> tuple[FloatArray, IntArray]:
        """Euclidean distance, float64[n], to the nearest vector, and its row, int64[n].

        Args:
            queries: float64[n, d]; for a row that is not finite the distance is NaN, the row -1.

        Raises:
            UsageError: queries of another dimension.
        """
        self._check(queries)
        return memory_kernels.nearest(self.vectors, np.ascontiguousarray(queries, np.float64))

    def with_normal(self, vectors: FloatArray) -> Self:
        """The same after ``vectors``, float64[n, d], of which the caller knows that all are normal.

        One after the other: cutting them into several calls gives the same memory. Rows that are
        not finite are passed over.
        """
        return self.follow(np.full_like(vectors, np.nan), vectors)[1]

    def follow(self, queries: FloatArray, normal: FloatArray) -> tuple[FloatArray, Self]:
        """Score a stream while learning from it, later: row by row a query, then what is normal.

        Args:
            queries: float64[n, d].
            normal: float64[n, d], of each row what is known to be normal by then, for example the
                query of an hour ago; NaN where nothing is.

        Returns:
            float64[n], distance of each query to the memory of its time, NaN for rows that are not
            finite; the memory after the last row.

        Raises:
            UsageError: arrays of another shape.
        """
        self._check(queries)
        self._check(normal)
        room = self.size + 1 - len(self)
        distance, vectors, count, used, filled, seen, spacing = memory_kernels.followed(
            np.concatenate([self.vectors, np.zeros((room, self.vectors.shape[1]))]),
            np.concatenate([self.count, np.zeros(room, np.int64)]),
            np.concatenate([self.used, np.zeros(room, np.int64)]),
            len(self),
            self.seen,
            self.spacing,
            self.size,
            self.forgets,
            np.ascontiguousarray(queries, np.float64),
            np.ascontiguousarray(normal, np.float64),
        )
        after = replace(
            self,
            vectors=vectors[:filled],
            count=count[:filled],
            used=used[:filled],
            seen=seen,
            spacing=spacing,
        )
        return distance, after

    def _check(self, vectors: FloatArray) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.vectors.shape[1]:
            raise UsageError(
                expected=f"float64[n, {self.vectors.shape[1]}]",
                got=str(list(vectors.shape)),
                where="memory of normal",
                action="make the features as those that are remembered were made",
            )

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": MEMORY_FORMAT,
            "vectors": self.vectors.tolist(),
            "count": self.count.tolist(),
            "used": self.used.tolist(),
            "seen": self.seen,
            "spacing": self.spacing,
            "size": self.size,
            "forgets": self.forgets,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: of another format.
            KeyError, TypeError, ValueError: if it is no memory.
        """
        _FORMAT.check(plain)
        return cls(
            vectors=np.array(plain["vectors"], np.float64),
            count=np.array(plain["count"], np.int64),
            used=np.array(plain["used"], np.int64),
            seen=int(plain["seen"]),
            spacing=float(plain["spacing"]),
            size=int(plain["size"]),
            forgets=bool(plain["forgets"]),
        )
