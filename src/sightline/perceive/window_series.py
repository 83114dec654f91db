"""The closed windows of each key, in order, with everything that later stages made of them.

One row per (key, window). Windows that may still be revised are all here, and behind them as many
settled ones as the stages look back. Because later stages are functions of these rows alone,
re-running them after a revision means computing the same columns again from the changed row on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray, IdArray, IntArray, WindowTable

BoolArray = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

_WINDOW_BITS = 42  # 2^42 windows: 139 years of millisecond windows; leaves 2^21 keys


class WindowSeries:
    """Rows sorted by (key id, window number), float64 columns in one matrix.

    Attributes:
        code: int64[n], ``key << 42 | window``, strictly increasing.
        values: float64[n, columns].
        columns: names of the columns, fixed.
    """

    def __init__(self, columns: Sequence[str], *, slide_ns: int, width_ns: int) -> None:
        self.columns = tuple(columns)
        self.slide_ns = slide_ns
        self.width_ns = width_ns
        self.code: IntArray = np.empty(0, np.int64)
        self.values: FloatArray = np.empty((0, len(self.columns)), np.float64)
        self._position = {name: i for i, name in enumerate(self.columns)}

    def __len__(self) -> int:
        return len(self.code)

    @property
    def key(self) -> IdArray:
        """uint32[n] key ids."""
        return (self.code >> _WINDOW_BITS).astype(np.uint32)

    @property
    def window(self) -> IntArray:
        """int64[n] window numbers."""
        return self.code & ((1 << _WINDOW_BITS) - 1)

    def end_ns(self, rows: IntArray) -> IntArray:
        """int64[rows]: exclusive end of the windows at ``rows``, UTC ns."""
        return (self.code[rows] & ((1 << _WINDOW_BITS) - 1)) * self.slide_ns + self.width_ns

    def start_ns(self, rows: IntArray) -> IntArray:
        """int64[rows]: inclusive start of the windows at ``rows``, UTC ns."""
        return (self.code[rows] & ((1 << _WINDOW_BITS) - 1)) * self.slide_ns

    def column(self, name: str) -> FloatArray:
        """float64[n], a view that may be written to."""
        return self.values[:, self._position[name]]

    def table(self, rows: IntArray, names: Sequence[str]) -> FloatArray:
        """float64[rows, names]: a copy of the columns ``names`` at ``rows``."""
        return self.values[rows[:, None], [self._position[name] for name in names]]

    def upsert(self, table: WindowTable) -> IntArray:
        """Insert rows, or replace the given columns of rows that are there.

        Columns that ``table`` does not have stay as they are in rows that are there: what a stage
        concluded from the row before is what its new conclusion is compared with. In new rows
        they are NaN.

        Args:
            table: sorted by key, then window, without repeats.

        Returns:
            int64[len(table)], positions of the rows in the series afterwards.
        """
        code = (table.key.astype(np.int64) << _WINDOW_BITS) | table.window
        at, known = self.find(code)
        fresh = np.full((len(code), len(self.columns)), np.nan)
        is_any_known = bool(known.any())
        if is_any_known:
            fresh[known] = self.values[at[known]]
        for name, column in table.columns.items():
            fresh[:, self._position[name]] = column
        if is_any_known:
            self.values[at[known]] = fresh[known]
        new = ~known
        if not new.any():
            return at
        # Every row moves up by the new ones before it.
        position: IntArray = at + np.cumsum(new) - new
        is_old = np.ones(len(self.code) + int(new.sum()), np.bool_)
        is_old[position[new]] = False
        self.code = _merged(self.code, is_old, code[new])
        self.values = _merged(self.values, is_old, fresh[new])
        return position

    def find(self, code: IntArray) -> tuple[IntArray, BoolArray]:
        """int64[c], bool[c]: where each of ``code`` is or belongs, and whether it is there."""
        at = np.searchsorted(self.code, code)
        known = np.zeros(len(code), np.bool_)
        inside = at < len(self.code)
        known[inside] = self.code[at[inside]] == code[inside]
        return at, known

    def rows_from(self, key: IdArray, window: IntArray) -> IntArray:
        """Positions of all rows of ``key[i]`` at or after ``window[i]``, ascending.

        Args:
            key: uint32[k], each at most once.
            window: int64[k], first window wanted of each.
        """
        code = key.astype(np.int64) << _WINDOW_BITS
        lo = np.searchsorted(self.code, code | np.maximum(window, 0))
        hi = np.searchsorted(self.code, code + (1 << _WINDOW_BITS))
        return ranges(lo, hi)

    def previous(self, rows: IntArray, back: int) -> IntArray:
        """Position ``back`` rows before each of ``rows`` in the same key, or -1."""
        at = rows - back
        inside = at >= 0
        same = np.zeros(len(rows), np.bool_)
        same[inside] = (self.code[at[inside]] >> _WINDOW_BITS) == (
            self.code[rows[inside]] >> _WINDOW_BITS
        )
        found: IntArray = np.where(same, at, -1)
        return found

    def history(self, rows: IntArray, name: str, length: int) -> FloatArray:
        """float64[rows, length]: the values before each row in its key, oldest first.

        NaN where the key has no row that far back. The row itself is not included.
        """
        at = rows[:, None] - np.arange(length, 0, -1)[None, :]
        column = self.column(name)
        same = (at >= 0) & (
            (self.code[np.maximum(at, 0)] >> _WINDOW_BITS)
            == (self.code[rows] >> _WINDOW_BITS)[:, None]
        )
        return np.where(same, column[np.maximum(at, 0)], np.nan)

    def trim(self, *, settled_ns: IntArray, lookback: int) -> None:
        """Drop settled rows beyond the last ``lookback`` settled rows of each key.

        Args:
            settled_ns: int64[key ids], windows ending at or before this are settled.
            lookback: settled rows kept per key, at least 1.
        """
        if len(self) <= lookback:
            return
        # The settled rows of a key come first: a row goes if the one `lookback` rows on is of the
        # same key, and settled.
        ahead = np.arange(lookback, len(self))
        key = self.code >> _WINDOW_BITS
        gone = key[:-lookback] == key[lookback:]
        gone &= self.end_ns(ahead) <= settled_ns[key[lookback:]]
        if gone.any():
            kept = np.append(~gone, np.ones(lookback, np.bool_))
            self.code = self.code[kept]
            self.values = self.values[kept]

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """Arrays that :meth:`restore` takes back."""
        return {"code": self.code, "values": self.values}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.code = arrays["code"].astype(np.int64)
        self.values = arrays["values"].astype(np.float64)


def _merged(
    old: npt.NDArray[Scalar], is_old: BoolArray, new: npt.NDArray[Scalar]
) -> npt.NDArray[Scalar]:
    """Rows of ``old`` where ``is_old`` is true and rows of ``new`` elsewhere, both in order."""
    merged = np.empty((len(is_old), *old.shape[1:]), old.dtype)
    merged[is_old] = old
    merged[~is_old] = new
    return merged


def ranges(lo: IntArray, hi: IntArray) -> IntArray:
    """All integers of the half-open ranges ``[lo[i], hi[i])``, one after the other.

    >>> ranges(np.array([0, 5]), np.array([2, 8])).tolist()
    [0, 1, 5, 6, 7]
    """
    length = np.maximum(hi - lo, 0)
    if not length.sum():
        return np.empty(0, np.int64)
    offset = np.repeat(lo - (np.cumsum(length) - length), length)
    found: IntArray = np.arange(length.sum()) + offset
    return found
