"""Samples that series keep until they learn from them."""

from __future__ import annotations

from typing import Self

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray, IntArray

_I = types.Array(types.int64, 1, "C", readonly=True)
_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C")
_LEAST_COLUMNS = 16


@kernel(_I, _I, _I, _V, _I, _M)
def _copied(  # noqa: PLR0917 - compiled functions take no keywords
    place: IntArray,
    kept: IntArray,
    begin: IntArray,
    values: FloatArray,
    take: IntArray,
    samples: FloatArray,
) -> None:
    """Append ``take`` values from ``begin`` on to the ``kept`` ones of each row ``place``."""
    for k in range(len(place)):
        for i in range(take[k]):
            samples[place[k], kept[k] + i] = values[begin[k] + i]


class KeptSamples:
    """The samples of those series of a block that have not learnt yet.

    Room is made for series when they bring samples, and given back when they have learnt: at most
    eight times that of as many rows as series keep samples, all as long as the longest.

    Attributes:
        place: int64[s], the row of a series among ``samples``, -1 for none.
        kept: int64[s], how many it has kept.
        samples: float64[r, c], c at least as many as any has kept.
    """

    __slots__ = ("kept", "place", "samples")

    def __init__(self, series: int) -> None:
        self.place = np.full(series, -1, np.int64)
        self.kept = np.zeros(series, np.int64)
        self.samples = np.empty((0, 0))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.place.nbytes + self.kept.nbytes + self.samples.nbytes

    def append(self, rows: IntArray, begin: IntArray, take: IntArray, values: FloatArray) -> None:
        """Keep ``values[begin : begin + take]`` of each of ``rows``, int64[k], each once."""
        self._make_room(rows, int((self.kept[rows] + take).max(initial=0)))
        _copied(self.place[rows], self.kept[rows], begin, values, take, self.samples)
        self.kept[rows] += take

    def of(self, row: int) -> FloatArray:
        """float64[n], those of one series; valid until the next change."""
        found: FloatArray = self.samples[self.place[row], : self.kept[row]]
        return found

    def drop(self, rows: IntArray) -> None:
        """Forget those of ``rows``, int64[k]; what they needed is given back."""
        self.place[rows] = -1
        self.kept[rows] = 0
        left = np.flatnonzero(self.place >= 0)
        if 4 * len(left) <= len(self.samples):
            columns = int(self.kept.max())
            self.samples = self.samples[self.place[left], :columns].copy()
            self.place[left] = np.arange(len(left))

    def take_over(self, other: Self, rows: IntArray) -> None:
        """These rows become what they are in ``other``."""
        self.drop(rows[self.place[rows] >= 0])
        there = rows[other.place[rows] >= 0]
        n = other.kept[there]
        values = np.concatenate([np.empty(0), *(other.of(int(row)) for row in there)])
        self.append(there, np.cumsum(n) - n, n, values)

    def _make_room(self, rows: IntArray, columns: int) -> None:
        new = rows[self.place[rows] < 0]
        old_rows, old_columns = self.samples.shape
        is_free = np.ones(old_rows, np.bool_)
        is_free[self.place[self.place >= 0]] = False
        free = np.flatnonzero(is_free)
        most_rows = old_rows
        if len(new) > len(free):
            most_rows = min(len(self.place), max(2 * old_rows, old_rows + len(new) - len(free)))
            free = np.concatenate([free, np.arange(old_rows, most_rows)])
        most_columns = old_columns
        if columns > old_columns:
            most_columns = max(columns, 2 * old_columns, _LEAST_COLUMNS)
        if (most_rows, most_columns) != (old_rows, old_columns):
            samples = np.zeros((most_rows, most_columns))
            samples[:old_rows, :old_columns] = self.samples
            self.samples = samples
        self.place[new] = free[: len(new)]
