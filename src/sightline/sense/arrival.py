"""Arrival: many sources into one sequence of epochs on the event-time grid.

Finite sources are merged by *arrival time* and cut at a fixed grid, so that neither the speed of a
run nor the number of files can matter. A row arrives when its receipt column says so. Without
one, it arrives when its file's event time first reaches it: the running maximum, in file order.

One wrong clock must not drag everybody into the future, nor into the past. So each device's stamps
are first judged by those around them (:mod:`.clock_excursions`); what is not believed does not move
arrival. Then a forward jump counts only if the rows after it confirm it: a time that is more than
``max_backlog_s`` ahead of the median of the next five believed rows of the same file does not move
arrival either, whatever its device says all along. The confirmed arrival is the row's receipt time
when there is no other, and against it a time stamp from the future shows as CLOCK_SKEW before it
can move a watermark. A median, so that a single row from the past confirms or refutes nothing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import RECEIVED_NS
from sightline.records.windows import IntArray
from sightline.sense.admission import Batch, Share, event_time_ns, receipt_time_ns
from sightline.sense.clock_excursions import StampedRows, Verdict, has_fallen, judge_stamps
from sightline.sense.contract import Contract
from sightline.sense.event_time import FOREVER_NS, NEVER_NS
from sightline.sense.field_values import FEW_ROWS, rows_at
from sightline.sense.source import Chunk, Position, Source, Stream

BoolArray = npt.NDArray[np.bool_]

_CONFIRMING = 5  # rows whose median confirms a jump of the clock
_LEAST_CONFIRMING = 3  # with fewer left in the file there is no majority against a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What arrived between two points of the grid.

    Attributes:
        number: position on the grid; the epoch ends at ``(number + 1) * tick``.
        tick_ns: that end, in arrival time, UTC ns; of the final epoch the end of all data in event
            time, which does not depend on arrival.
        batches: (source, raw rows with ``_received_ns``), in order.
        rejected: (source, lines or files that could not be read into rows).
        superseded: (source, rows that gave way to newer ones in the inbox of a live source).
        positions: by source and stream, how far it has been read when everything up to this epoch
            is kept; only what has moved since the epoch before. For ``Source.committed``.
        is_complete: False when the epoch was too dense for one step and goes on.
        is_final: nothing follows.
    """

    number: int
    tick_ns: int
    batches: tuple[tuple[str, pl.DataFrame], ...]
    rejected: tuple[tuple[str, pl.DataFrame], ...]
    superseded: tuple[tuple[str, int], ...] = ()
    positions: Mapping[str, Mapping[str, Position]] = field(default_factory=dict)
    is_complete: bool = True
    is_final: bool = False

    @property
    def rows(self) -> int:
        unread = sum(f.height for _, f in self.rejected) + sum(n for _, n in self.superseded)
        return sum(f.height for _, f in self.batches) + unread


def epochs(
    sources: Sequence[tuple[Source, Contract]],
    *,
    tick_ns: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Epoch]:
    """Merge finite sources into epochs; ends with a final one.

    Rows that could not be read come with the first epoch after they were met. Empty epochs are
    given too, because quiet is information; a gap of more than ``limits.max_quiet_ticks`` is
    jumped over.
    """
    cursors = [
        _Cursor(source.name, contract, stream, limits, reads_ahead=source.durable)
        for source, contract in sources
        for stream in source.streams()
    ]
    every = tuple(cursors)
    number = 0
    for cursor in cursors:
        cursor.load()
    is_first = True
    while any(not c.is_exhausted for c in cursors):
        cursors = [c for c in cursors if not c.is_exhausted or c.rejected or c.has_moved]
        first = min(c.next_arrival_ns for c in cursors if not c.is_exhausted) // tick_ns
        if is_first or first - number > limits.max_quiet_ticks:
            number, is_first = first, False
        end_ns = (number + 1) * tick_ns
        is_complete = False
        while not is_complete:
            batches = _take(cursors, end_ns, limits.max_epoch_rows)
            rejected = _take_rejected(cursors)
            is_complete = not any(c.has_before(end_ns) for c in cursors)
            is_final = all(c.is_exhausted for c in cursors)
            yield Epoch(
                number=number,
                # Of the time after the last datum nothing is known, not even that it was quiet.
                tick_ns=max(c.newest_ns for c in every) + 1 if is_final else end_ns,
                batches=batches,
                rejected=rejected,
                positions=_take_positions(cursors),
                is_complete=is_complete,
                is_final=is_final,
            )
            if is_final:
                return
        number += 1
    # Not a single row: what could not be read is accounted for all the same.
    yield Epoch(
        number=0,
        tick_ns=0,
        batches=(),
        rejected=_take_rejected(cursors),
        positions=_take_positions(cursors),
        is_final=True,
    )


def _take(
    cursors: Sequence[_Cursor], end_ns: int, most: int
) -> tuple[tuple[str, pl.DataFrame], ...]:
    """Rows of all cursors that arrived before ``end_ns``, at most ``most``."""
    rows = 0
    batches: list[tuple[str, pl.DataFrame]] = []
    for cursor in cursors:
        for frame in cursor.take_until(end_ns, most - rows):
            batches.append((cursor.source, frame))
            rows += frame.height
    return join_batches(batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadChunk:
    """A chunk that has rows.

    Attributes:
        frame: its rows.
        time_ns: int64[n], the times that order them; NEVER where unreadable.
        stamped: bool[n], which times are readable.
        rows: those, with their devices.
        position: behind it.
    """

    frame: pl.DataFrame
    time_ns: IntArray
    stamped: BoolArray
    rows: StampedRows
    position: Position | None


_NO_ROWS = StampedRows(key=pl.Series(dtype=pl.String), time_ns=np.empty(0, np.int64))


class _Cursor:
    """Position in one stream; what follows is read ahead, to confirm jumps of the clock.

    Args:
        source: its name.
        contract: of its rows.
        stream: to read.
        limits: ``clock_rows_ahead`` and others.
        reads_ahead: False to read one chunk ahead and no more, where rows are still on their way.
    """

    def __init__(
        self, source: str, contract: Contract, stream: Stream, limits: Limits, *, reads_ahead: bool
    ) -> None:
        self.source = source
        self.origin = stream.origin
        self._contract = contract
        self._chunks = iter(stream.with_origin(contract.origin_column).chunks())
        self._limits = limits
        self._frame: pl.DataFrame | None = None
        self._arrival: IntArray = np.empty(0, np.int64)
        self._at = 0
        self._frontier_ns = NEVER_NS
        self.newest_ns = -1
        """Latest credible event time read so far."""
        self._ahead: deque[_ReadChunk] = deque()
        self._rows_ahead = limits.clock_rows_ahead if reads_ahead else 1
        self._before = _NO_ROWS  # believed, of the chunk before
        self._last_read: Position | None = None  # of the last chunk read, with or without rows
        self._behind_frame: Position | None = None
        self.position: Position | None = None
        """Behind the last chunk of which every row was taken."""
        self.has_moved = False
        self._is_read = False
        self.rejected: list[pl.DataFrame] = []

    @property
    def is_exhausted(self) -> bool:
        return self._frame is None

    @property
    def next_arrival_ns(self) -> int:
        return int(self._arrival[self._at])

    def load(self) -> None:
        """Make sure there is a current row, unless the stream has ended."""
        while self._frame is None or self._at >= self._frame.height:
            if self._frame is not None:
                self._reach(self._behind_frame)
            self._read_ahead()
            if not self._ahead:
                self._frame = None
                self._reach(self._last_read)
                return
            chunk = self._ahead.popleft()
            frame, time_ns, self._behind_frame = chunk.frame, chunk.time_ns, chunk.position
            verdict, following_ns = self._judge(chunk)
            n = len(chunk.rows.time_ns)
            believed_ns = time_ns
            if verdict is not None:
                is_doubted = (verdict.is_ahead | verdict.is_behind)[:n]
                believed_ns = time_ns.copy()
                believed_ns[np.flatnonzero(chunk.stamped)[is_doubted]] = NEVER_NS
            self._arrival = confirmed_arrival_ns(
                believed_ns,
                frontier_ns=self._frontier_ns,
                following_ns=following_ns,
                max_ahead_ns=self._contract.max_backlog_ns,
            )
            self._frontier_ns = int(self._arrival[-1])
            received_ns = self._arrival
            if verdict is not None and verdict.is_ahead[:n].any():
                # Other devices may be as far as that stamp: its own clock tells that it was not.
                at = np.flatnonzero(chunk.stamped)[verdict.is_ahead[:n]]
                received_ns = received_ns.copy()
                against_ns = verdict.against_ns[:n][verdict.is_ahead[:n]]
                received_ns[at] = np.minimum(received_ns[at], against_ns)
            if self._contract.receipt_time is not None:
                # A receipt that could not be read, or was itself from the future, is not believed.
                received_ns = np.where(
                    time_ns > NEVER_NS, np.minimum(time_ns, self._arrival), self._arrival
                )
                event = event_time_ns(self._contract, frame)
                event_ns = event.fill_null(NEVER_NS).to_numpy()
                credible = event_ns <= received_ns + self._contract.clock_skew_ns
                self.newest_ns = max(self.newest_ns, int(event_ns[credible].max(initial=-1)))
            else:
                self.newest_ns = max(self.newest_ns, self._frontier_ns)
            self._frame = frame.with_columns(pl.Series(RECEIVED_NS, received_ns))
            self._at = 0

    def _read_ahead(self) -> None:
        """Read until a chunk and enough rows behind it are there, or the stream has ended."""
        while not self._is_read and (
            len(self._ahead) < 2
            or sum(chunk.frame.height for chunk in self._ahead) - self._ahead[0].frame.height
            < self._rows_ahead
        ):
            chunk = self._read()
            if chunk is not None:
                self._ahead.append(chunk)

    def _judge(self, chunk: _ReadChunk) -> tuple[Verdict | None, IntArray]:
        """What the stamps of a chunk are worth, and the believed times that follow it.

        None where all are believed; of the times as many as can confirm its last ones.
        """
        # Receipts are stamped by one clock, that of the receiver.
        has_receipts = self._contract.receipt_time is not None
        timing = self._contract
        late_ns = timing.out_of_order_ns + timing.revision_allowance_ns
        on_time_ns = timing.max_backlog_ns if has_receipts else late_ns
        following = [ahead.rows for ahead in self._ahead]
        every = [rows.time_ns for rows in (self._before, chunk.rows, *following)]
        if not has_fallen(every, on_time_ns=on_time_ns):
            self._before = chunk.rows
            return None, np.concatenate([rows[:_CONFIRMING] for rows in (every[0][:0], *every[2:])])
        after = StampedRows(
            key=pl.concat([rows.key for rows in (_NO_ROWS, *following)]),
            time_ns=np.concatenate([rows.time_ns for rows in (_NO_ROWS, *following)]),
        )
        verdict = judge_stamps(
            self._before,
            chunk.rows,
            after,
            on_time_ns=on_time_ns,
            max_backlog_ns=timing.max_backlog_ns,
        )
        n = len(chunk.rows.time_ns)
        is_believed = ~(verdict.is_ahead | verdict.is_behind)
        self._before = StampedRows(
            key=chunk.rows.key.filter(pl.Series(is_believed[:n])),
            time_ns=chunk.rows.time_ns[is_believed[:n]],
        )
        return verdict, after.time_ns[is_believed[n:]]

    def _reach(self, position: Position | None) -> None:
        if position is not None and position != self.position:
            self.position, self.has_moved = position, True

    def _read(self) -> _ReadChunk | None:
        """The next chunk that has rows."""
        chunk: Chunk
        for chunk in self._chunks:
            self._last_read = chunk.position
            if chunk.rejected.height:
                self.rejected.append(chunk.rejected)
            if chunk.frame.height:
                time = receipt_time_ns(self._contract, chunk.frame)
                if time is None:
                    time = event_time_ns(self._contract, chunk.frame)
                time_ns = time.fill_null(NEVER_NS).to_numpy()
                stamped = time_ns > NEVER_NS
                rows = StampedRows(key=self._devices(chunk.frame), time_ns=time_ns)
                if not stamped.all():
                    rows = StampedRows(
                        key=rows.key.filter(pl.Series(stamped)), time_ns=time_ns[stamped]
                    )
                return _ReadChunk(
                    frame=chunk.frame,
                    time_ns=time_ns,
                    stamped=stamped,
                    rows=rows,
                    position=chunk.position,
                )
        self._is_read = True
        return None

    def _devices(self, frame: pl.DataFrame) -> pl.Series:
        """String[n]: whose clock stamped each row."""
        columns = [name for name in self._contract.key if name in frame.columns]
        if self._contract.receipt_time is not None or not columns:
            return pl.Series([""]).new_from_index(0, frame.height)
        parts = [frame[name].cast(pl.String, strict=False) for name in columns]
        if len(parts) == 1:
            return parts[0].alias("")
        return (
            pl.select(pl.concat_str(parts, separator="/", ignore_nulls=True)).to_series().alias("")
        )

    def take_until(self, end_ns: int, most: int) -> Iterator[pl.DataFrame]:
        """Rows that arrived before ``end_ns``, at most ``most``."""
        while most > 0 and self.has_before(end_ns):
            assert self._frame is not None
            stop = int(np.searchsorted(self._arrival, end_ns, side="left"))
            stop = min(stop, self._at + most)
            yield self._frame.slice(self._at, stop - self._at)
            most -= stop - self._at
            self._at = stop
            self.load()

    def has_before(self, end_ns: int) -> bool:
        return self._frame is not None and self.next_arrival_ns < end_ns


def confirmed_arrival_ns(
    time_ns: IntArray, *, frontier_ns: int, following_ns: IntArray, max_ahead_ns: int
) -> IntArray:
    """int64[n], non-decreasing: when each row of a file arrived, from its times alone.

    Args:
        time_ns: int64[n], in file order; ``NEVER_NS`` stands for "unreadable".
        frontier_ns: arrival of the last row before these.
        following_ns: int64[m], the first readable times after these, as far as there are any.
        max_ahead_ns: how far ahead of the rows that follow it a time may be and still count.

    >>> t = np.array([10, 20, 9000, 30, 5, 40])
    >>> none = np.empty(0, np.int64)
    >>> confirmed_arrival_ns(t, frontier_ns=0, following_ns=none, max_ahead_ns=100).tolist()
    [10, 20, 20, 30, 30, 40]
    """
    readable = time_ns > NEVER_NS
    credible = time_ns
    if readable.any() and int(time_ns[readable].max()) - _least(time_ns[readable], following_ns) > (
        max_ahead_ns
    ):
        ahead = np.zeros(len(time_ns), np.bool_)
        ahead[readable] = _is_ahead(time_ns[readable], following_ns, max_ahead_ns)
        credible = np.where(ahead, NEVER_NS, time_ns)
    found: IntArray = np.maximum(credible, frontier_ns)
    if (found[1:] < found[:-1]).any():
        found = np.maximum.accumulate(found)
    if len(found) and found[-1] > NEVER_NS:
        if found[0] <= NEVER_NS:
            # Unreadable rows before the first readable one arrive with it.
            found = np.maximum(found, found[found > NEVER_NS][0])
    else:
        found = np.zeros(len(found), np.int64)
    return found


def _is_ahead(time_ns: IntArray, following_ns: IntArray, max_ahead_ns: int) -> BoolArray:
    """bool[n]: times too far ahead of the median of the rows that follow them."""
    padded = np.concatenate([time_ns, following_ns[:_CONFIRMING], np.full(_CONFIRMING, -1)])
    after = np.lib.stride_tricks.sliding_window_view(padded, _CONFIRMING)[1 : len(time_ns) + 1]
    after = np.sort(after, axis=1)  # what is not there sorts first, as -1
    there = (after >= 0).sum(axis=1)
    middle = _CONFIRMING - there + (there - 1) // 2
    median = np.take_along_axis(after, np.minimum(middle, _CONFIRMING - 1)[:, None], axis=1)[:, 0]
    ahead: BoolArray = (there >= _LEAST_CONFIRMING) & (time_ns - median > max_ahead_ns)
    return ahead


def _least(time_ns: IntArray, following_ns: IntArray) -> int:
    return int(min(time_ns.min(), following_ns[:_CONFIRMING].min(initial=FOREVER_NS)))


def _take_rejected(cursors: Sequence[_Cursor]) -> tuple[tuple[str, pl.DataFrame], ...]:
    found = tuple((c.source, frame) for c in cursors for frame in c.rejected)
    for cursor in cursors:
        cursor.rejected = []
    return found


def _take_positions(cursors: Sequence[_Cursor]) -> dict[str, dict[str, Position]]:
    found: dict[str, dict[str, Position]] = {}
    for cursor in cursors:
        if cursor.has_moved and cursor.position is not None:
            found.setdefault(cursor.source, {})[cursor.origin] = cursor.position
            cursor.has_moved = False
    return found


def join_batches(batches: list[tuple[str, pl.DataFrame]]) -> tuple[tuple[str, pl.DataFrame], ...]:
    """One batch per source where the columns allow it."""
    by_layout: dict[tuple[str, tuple[tuple[str, pl.DataType], ...]], list[pl.DataFrame]] = {}
    for source, frame in batches:
        by_layout.setdefault((source, tuple(frame.schema.items())), []).append(frame)
    return tuple(
        # Messages of a broker come in pieces: this is where they are put together.
        (source, frames[0].rechunk() if len(frames) == 1 else pl.concat(frames, rechunk=True))
        for (source, _), frames in by_layout.items()
    )


class Router:
    """Assigns rows to logical partitions by a stable hash of what they share a clock with.

    That is their key, or a part of it (``timing.watermark_by``): sources whose clocks go by the
    same name meet in one partition. The hash is BLAKE2b of the canonical name: the same on every
    machine and in every run. Rows whose key is missing go to partition 0, where admission refuses
    them.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        partitions: int,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._cache_keys = limits.router_cache_keys
        self._contracts = contracts
        self._partitions = partitions
        self._known: dict[str | None, int] = {None: 0}

    def route(self, source: str, frame: pl.DataFrame) -> list[tuple[int, Share]]:
        """Split ``frame`` by partition, keeping the order of rows; ascending, none empty.

        Gathered once and cut, so that all partitions share one batch.
        """
        if self._partitions == 1:
            return [(0, Share.of(frame))]
        columns = self._contracts[source].watermark_columns
        if any(c not in frame.columns for c in columns):
            return [(0, Share.of(frame))]
        parts = [frame[c].cast(pl.String, strict=False) for c in columns]
        partition = self._of_few(parts) if frame.height <= FEW_ROWS else self._of_many(parts)
        counts = np.bincount(partition)
        present = np.flatnonzero(counts).tolist()
        if len(present) > 1:
            frame = rows_at(frame, np.argsort(partition, kind="stable"))
        batch = Batch(frame)
        ends = np.cumsum(counts).tolist()
        return [(p, Share(batch, ends[p - 1] if p else 0, ends[p])) for p in present]

    def _of_few(self, parts: list[pl.Series]) -> npt.NDArray[np.int32]:
        """int32[n]: partition of each row, by the parts of its key."""
        names: list[str | None] = parts[0].to_list()
        if len(parts) > 1:
            rows = zip(*(part.to_list() for part in parts), strict=True)
            names = [None if None in row else "/".join(row) for row in rows]
        of_name = {name: self._partition(name) for name in set(names)}
        return np.array([of_name[name] for name in names], np.int32)

    def _of_many(self, parts: list[pl.Series]) -> npt.NDArray[np.int32]:
        """As :meth:`_of_few`, without a Python object per row."""
        key = pl.select(pl.concat_str(parts, separator="/")).to_series()
        encoded = key.to_arrow().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        of_name = np.array([self._partition(n) for n in names] or [0], np.int32)
        index: npt.NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.where(index >= 0, of_name[np.maximum(index, 0)], 0)

    def _partition(self, name: str | None) -> int:
        known = self._known.get(name)
        if known is None:
            assert name is not None  # it is known from the start
            digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
            known = int.from_bytes(digest, "big") % self._partitions
            if len(self._known) < self._cache_keys:  # a cache, not state: beyond it hash again
                self._known[name] = known
        return known
