"""Rows of open and revisable windows, columnar, aggregated once when their window closes.

Rows are appended in micro-batches to *panes* (tumbling slots of event time). Nothing is sorted or
deduplicated until a window over a pane closes: deduplicating per batch was measured a factor 34
slower. A pane that has been closed keeps its rows in canonical order, so a late row costs a look
at the rows of its own key and not another sort of the pane.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.canonical_order import canonical_order, total_order
from sightline.perceive.compiled import kernel, warm
from sightline.records.windows import FloatArray, IdArray, IntArray

# --- moving columns -------------------------------------------------------------------------------
#
# Gathering, and concatenating so that rows of one key come together. At a million rows, where a
# value lies in memory costs more than what is done with it: a stream that interleaves ten thousand
# keys touches another cache line with every row of a key.

Scalar = TypeVar("Scalar", bound=np.generic)
Words = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]

_U4 = types.Array(types.uint32, 1, "C", readonly=True)
_U8 = types.Array(types.uint64, 1, "C", readonly=True)
_I8 = types.Array(types.int64, 1, "C", readonly=True)
_U4_OUT = types.Array(types.uint32, 1, "C")
_U8_OUT = types.Array(types.uint64, 1, "C")
_I8_OUT = types.Array(types.int64, 1, "C")

_BUCKET_BITS = 6  # 64 streams of writes: few enough for the caches to follow each of them


def take_rows(column: npt.NDArray[Scalar], row: IntArray) -> npt.NDArray[Scalar]:
    """``column[row]``, in half the time of NumPy's indexing for numbers of 4 or 8 bytes.

    Args:
        column: any dtype [n].
        row: int64[m], positions from 0 to n - 1.

    Raises:
        IndexError: if a position is outside the column.

    >>> take_rows(np.array([1.5, 2.5, 3.5]), np.array([2, 0]))
    array([3.5, 1.5])
    """
    if len(row) and not 0 <= row.min() <= row.max() < len(column):
        raise IndexError(f"rows {row.min()} to {row.max()} of a column of {len(column)}")
    if not _is_word(column.dtype):
        return column[row]
    out = np.empty(len(row), column.dtype)
    gather = _gather_8 if column.dtype.itemsize == 8 else _gather_4
    gather(_words(column), np.ascontiguousarray(row, np.int64), _words(out))
    return out


def concatenate_by_key(
    key: Sequence[IdArray], columns: Sequence[Sequence[npt.NDArray[Any]]]
) -> tuple[IdArray, list[npt.NDArray[Any]]]:
    """All rows of some batches, those of neighbouring keys together.

    Rows of one key stay in order of arrival. It costs no more than concatenating, and whatever
    sorts or gathers the rows afterwards finds them in the cache.

    Args:
        key: uint32 key ids of each batch.
        columns: for each column its part in each batch; numbers of 4 or 8 bytes.

    Returns:
        The keys and the columns of all rows.

    >>> key, (value,) = concatenate_by_key(
    ...     [np.array([900, 7], np.uint32), np.array([900, 7], np.uint32)],
    ...     [[np.array([1.0, 2.0]), np.array([3.0, 4.0])]])
    >>> key.tolist(), value.tolist()
    ([7, 7, 900, 900], [2.0, 4.0, 1.0, 3.0])
    """
    parts = [np.ascontiguousarray(part, np.uint32) for part in key]
    highest = max((int(part.max()) for part in parts if len(part)), default=0)
    shift = max(highest.bit_length() - _BUCKET_BITS, 0)
    count = np.zeros(1 << _BUCKET_BITS, np.int64)
    for part in parts:
        _count(part, shift, count)
    start = np.cumsum(count) - count
    rows = int(count.sum())

    def scattered(column: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        out = np.empty(rows, column[0].dtype)
        position = start.copy()
        scatter = _scatter_8 if out.dtype.itemsize == 8 else _scatter_4
        for part, values in zip(parts, column, strict=True):
            scatter(_words(values), part, shift, position, _words(out))
        return out

    return scattered(parts), [scattered(column) for column in columns]


def _is_word(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iuf" and dtype.itemsize in {4, 8}


def _words(column: npt.NDArray[Any]) -> Any:
    """The bits of a column, so that one kernel moves integers and floats alike."""
    return np.ascontiguousarray(column).view(np.uint64 if column.itemsize == 8 else np.uint32)


@kernel(_U4, _I8, _U4_OUT)
def _gather_4(column: Words, row: IntArray, out: Words) -> None:
    for i in range(len(row)):
        out[i] = column[row[i]]


@kernel(_U8, _I8, _U8_OUT)
def _gather_8(column: Words, row: IntArray, out: Words) -> None:
    for i in range(len(row)):
        out[i] = column[row[i]]


@kernel(_U4, types.int64, _I8_OUT)
def _count(key: IdArray, shift: int, count: IntArray) -> None:
    for i in range(len(key)):
        count[key[i] >> shift] += 1


@kernel(_U4, _U4, types.int64, _I8_OUT, _U4_OUT)
def _scatter_4(column: Words, key: IdArray, shift: int, position: IntArray, out: Words) -> None:
    for i in range(len(key)):
        bucket = key[i] >> shift
        at = position[bucket]
        out[at] = column[i]
        position[bucket] = at + 1


@kernel(_U8, _U4, types.int64, _I8_OUT, _U8_OUT)
def _scatter_8(column: Words, key: IdArray, shift: int, position: IntArray, out: Words) -> None:
    for i in range(len(key)):
        bucket = key[i] >> shift
        at = position[bucket]
        out[at] = column[i]
        position[bucket] = at + 1


# --- the store ------------------------------------------------------------------------------------


BoolArray = npt.NDArray[np.bool_]

_COMPACT_SHARE = 0.25  # pending rows beyond this share of a sorted pane are merged into it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns of n rows.

    Attributes:
        key: uint32[n] dictionary ids.
        group: uint32[n] dictionary ids of the wider subject (0 where there is none).
        time_ns: int64[n] event time.
        sequence: int64[n] source counter, -1 where there is none.
        values: float64[n] per field, NaN for an invalid sample.
    """

    key: IdArray
    group: IdArray
    time_ns: IntArray
    sequence: IntArray
    values: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.key)

    def take(self, index: IntArray | BoolArray | slice) -> Rows:
        """The rows at ``index`` (positions, mask or slice), in that order."""
        return Rows(
            key=self.key[index],
            group=self.group[index],
            time_ns=self.time_ns[index],
            sequence=self.sequence[index],
            values={name: column[index] for name, column in self.values.items()},
        )

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        """All rows of ``parts`` (at least one), those of neighbouring keys together."""
        if len(parts) == 1:
            return parts[0]
        names = list(parts[0].values)
        key, (group, time_ns, sequence, *values) = concatenate_by_key(
            [p.key for p in parts],
            [
                [p.group for p in parts],
                [p.time_ns for p in parts],
                [p.sequence for p in parts],
                *([p.values[name] for p in parts] for name in names),
            ],
        )
        return Rows(
            key=key,
            group=group,
            time_ns=time_ns,
            sequence=sequence,
            values=dict(zip(names, values, strict=True)),
        )

    def canonical(self, *, by_sequence: bool) -> tuple[Rows, int]:
        """Rows sorted by (key, time) without duplicates, and how many duplicates lost.

        Args:
            by_sequence: rows are duplicates only if their sequence is equal too (event logs, where
                two events may share a time stamp); they are then sorted by it as well.
        """
        if by_sequence:
            return self._canonical_by_sequence()
        # The group is part of the payload, so that a tie between two groups is decided too.
        order = canonical_order(
            key=self.key,
            time_ns=self.time_ns,
            sequence=self.sequence,
            payload=(*self.values.values(), self.group),
        )
        rows = Rows(
            key=order.key,
            group=take_rows(self.group, order.kept),
            time_ns=order.time_ns,
            sequence=take_rows(self.sequence, order.kept),
            values={name: take_rows(v, order.kept) for name, v in self.values.items()},
        )
        return rows, order.superseded

    def _canonical_by_sequence(self) -> tuple[Rows, int]:
        payload = [total_order(column) for column in self.values.values()]
        columns: list[npt.NDArray[Any]] = [
            self.group,
            *payload,
            self.sequence,
            self.time_ns,
            self.key,
        ]
        order = np.lexsort(columns)
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = False
        for column in (self.key, self.time_ns, self.sequence):
            sorted_column = column[order]
            is_last[:-1] |= sorted_column[1:] != sorted_column[:-1]
        kept = order[is_last]
        return self.take(kept), len(order) - len(kept)


@dataclass(slots=True)
class _Pane:
    """One slot of event time: a canonical run, and batches that came since."""

    canonical: Rows | None = None
    pending: list[Rows] = field(default_factory=list)
    pending_rows: int = 0

    def __len__(self) -> int:
        return (0 if self.canonical is None else len(self.canonical)) + self.pending_rows

    def parts(self) -> list[Rows]:
        return [*([] if self.canonical is None else [self.canonical]), *self.pending]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What left the store: rows that were decided, and duplicates that lost."""

    decided: int
    superseded: int


class RowStore:
    """Rows of one stream in one partition, by pane of ``pane_ns``.

    The number of rows held is ``len(store)``; the owner bounds it (``Limits.max_open_rows``).
    """

    def __init__(self, pane_ns: int, *, by_sequence: bool = False) -> None:
        warm(__name__, canonical_order.__module__)
        self.pane_ns = pane_ns
        self._by_sequence = by_sequence
        self._panes: dict[int, _Pane] = {}
        self._rows = 0
        self._superseded = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Rows) -> None:
        """Keep ``rows``; nothing is computed."""
        if not len(rows):
            return
        first = int(rows.time_ns.min()) // self.pane_ns
        last = int(rows.time_ns.max()) // self.pane_ns
        if first == last:
            self._append_to(first, rows)
            return
        pane = rows.time_ns // self.pane_ns
        if last - first < 8:  # the common case: a batch across a boundary
            for number in range(first, last + 1):
                mask = pane == number
                if mask.any():
                    self._append_to(number, rows.take(mask))
            return
        order = np.argsort(pane, kind="stable")
        numbers, starts = np.unique(pane[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for number, lo, hi in zip(numbers.tolist(), starts, ends, strict=True):
            self._append_to(number, rows.take(order[lo:hi]))

    def _append_to(self, number: int, rows: Rows) -> None:
        pane = self._panes.setdefault(number, _Pane())
        pane.pending.append(rows)
        pane.pending_rows += len(rows)
        self._rows += len(rows)

    def gather(self, *, first_pane: int, last_pane: int, keys: BoolArray | None) -> Rows | None:
        """Canonical rows of panes ``first_pane`` to ``last_pane`` inclusive.

        Args:
            first_pane: number of the first pane.
            last_pane: number of the last pane.
            keys: bool[key ids], the keys wanted; None for all, which also puts the panes in
                canonical order for good.

        Returns:
            Rows sorted by (key, time), or None when there are none.
        """
        parts: list[Rows] = []
        for number in self._between(first_pane, last_pane):
            pane = self._panes[number]
            if (
                keys is None
                or pane.canonical is None
                or pane.pending_rows > _COMPACT_SHARE * len(pane.canonical)
            ):
                self._compact(pane)
            for part in pane.parts():
                wanted = part if keys is None else part.take(keys[part.key])
                if len(wanted):
                    parts.append(wanted)
        if not parts:
            return None
        if len(parts) == 1 and keys is None:
            return parts[0]
        return Rows.concatenate(parts).canonical(by_sequence=self._by_sequence)[0]

    def _between(self, first: int, last: int) -> list[int]:
        if last - first < len(self._panes):
            return [n for n in range(first, last + 1) if n in self._panes]
        return sorted(n for n in self._panes if first <= n <= last)

    def _compact(self, pane: _Pane) -> None:
        if not pane.pending:
            return
        before = len(pane)
        canonical, superseded = Rows.concatenate(pane.parts()).canonical(
            by_sequence=self._by_sequence
        )
        pane.canonical = canonical
        pane.pending = []
        pane.pending_rows = 0
        self._superseded += superseded
        self._rows += len(pane) - before

    def settle(self, *, settled_pane: IntArray, everything: bool = False) -> Settled:
        """Let go of the rows whose windows cannot change any more.

        Args:
            settled_pane: int64[key ids], rows of a key in panes before this number are settled.
            everything: the stream has ended; settle all rows.

        Returns:
            How many rows were decided, and how many duplicates lost since the last call.
        """
        decided = 0
        oldest = int(settled_pane.min()) if len(settled_pane) else 0
        newest = int(settled_pane.max()) if len(settled_pane) else 0
        for number in [n for n in self._panes if everything or n < newest]:
            pane = self._panes[number]
            # Cheap look first: sorting a pane in which nothing is settled would be waste.
            if (
                not everything
                and number >= oldest
                and not any((settled_pane[part.key] > number).any() for part in pane.parts())
            ):
                continue
            self._compact(pane)
            assert pane.canonical is not None
            if everything or number < oldest:
                gone = len(pane.canonical)
            else:
                settled = settled_pane[pane.canonical.key] > number
                gone = int(settled.sum())
            if gone == len(pane.canonical):
                del self._panes[number]
            elif gone:
                pane.canonical = pane.canonical.take(~settled)
            decided += gone
            self._rows -= gone
        superseded, self._superseded = self._superseded, 0
        return Settled(decided=decided, superseded=superseded)

    def snapshot(self) -> tuple[Rows | None, int]:
        """All rows held (any order), and duplicates not yet reported by :meth:`settle`."""
        parts = [part for _, pane in self.panes() for part in pane.parts()]
        return (Rows.concatenate(parts) if parts else None), self._superseded

    def restore(self, rows: Rows | None, superseded: int) -> None:
        """Inverse of :meth:`snapshot`, on an empty store."""
        if rows is not None:
            self.append(rows)
        self._superseded = superseded

    def panes(self) -> Iterator[tuple[int, _Pane]]:
        """The panes held, by number."""
        for number in sorted(self._panes):
            yield number, self._panes[number]
