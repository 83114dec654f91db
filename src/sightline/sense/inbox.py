"""The inbox of a live source: the only queue between its reader and the engine.

Bounded in rows, with one of three policies for what happens at the bound:

- ``block``: the reader waits, so the sender is slowed down. For logs and brokers.
- ``latest``: the oldest waiting rows give way and are counted as superseded. For cameras, and for
  whatever is worthless once something newer is there.
- ``spill``: what finds no room goes to disk, in order. At the bound of the disk the reader waits.

One reader thread puts, the engine takes. Nothing is ever lost without being counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.sense.source import Chunk
from sightline.sense.spill import SpilledChunk, SpillFolder

Policy = Literal["block", "latest", "spill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the engine took from an inbox.

    Attributes:
        chunks: (chunk, receipt time in UTC ns), oldest first.
        superseded: rows that gave way to newer ones since the last time.
    """

    chunks: tuple[tuple[Chunk, int], ...]
    superseded: int


class Inbox:
    """Chunks that wait, in order of receipt.

    Args:
        source: name of the source.
        policy: what happens at the bound.
        max_rows: rows held in memory. A single larger chunk is taken in when nothing else waits
            (``block``, ``spill``) or cut to its newest rows (``latest``).
        spill: where ``spill`` puts what finds no room.
        limits: ``spill_bytes``.

    >>> import polars as pl
    >>> rows = pl.DataFrame({"snr_db": [1.0, 2.0]})
    >>> inbox = Inbox("telemetry", policy="latest", max_rows=4)
    >>> for n in range(3):
    ...     chunk = Chunk(origin=str(n), frame=rows, rejected=pl.DataFrame())
    ...     _ = inbox.put(chunk, received_ns=n)
    >>> taken = inbox.take()
    >>> [c.origin for c, _ in taken.chunks], taken.superseded
    (['1', '2'], 2)
    """

    def __init__(
        self,
        source: str,
        *,
        policy: Policy,
        max_rows: int,
        spill: SpillFolder | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.source = source
        self._policy = policy
        self._max_rows = max_rows
        self._limits = limits
        self._spill = spill
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Chunk, int]] = deque()
        self._rows = 0
        self._spilled: deque[SpilledChunk] = deque(spill.left_over if spill is not None else ())
        self._uncommitted: list[SpilledChunk] = []
        self._superseded = 0
        self._is_closed = False
        self._is_abandoned = False
        self._failure: BaseException | None = None

    # --- the reader's side --------------------------------------------------------------------

    def put(self, chunk: Chunk, *, received_ns: int) -> bool:
        """Add a chunk, waiting for room where the policy says so.

        Returns:
            False when nobody takes any more: the reader can stop.

        Raises:
            StorageError: the disk refused a spilled chunk.
        """
        rows = _rows(chunk)
        with self._changed:
            if self._policy == "latest":
                self._supersede(chunk, received_ns)
            elif self._policy == "spill" and (self._spilled or not self._has_room(rows)):
                self._wait_for(lambda: self._spilled_bytes() < self._limits.spill_bytes)
                if not self._is_abandoned:
                    assert self._spill is not None
                    self._spilled.append(self._spill.write(chunk, received_ns=received_ns))
            else:
                self._wait_for(lambda: self._has_room(rows))
                if not self._is_abandoned:
                    self._append(chunk, received_ns)
            self._changed.notify_all()
            return not self._is_abandoned

    def close(self, failure: BaseException | None = None) -> None:
        """Nothing more comes; ``failure`` says why if it was no ordinary end."""
        with self._changed:
            self._is_closed = True
            self._failure = failure
            self._changed.notify_all()

    # --- the engine's side --------------------------------------------------------------------

    def take(self, *, most_rows: int | None = None) -> Taken:
        """What waits, oldest first; whole chunks, at least one, up to ``most_rows``.

        Raises:
            BaseException: what ended the reader, when everything before it was taken.
        """
        chunks: list[tuple[Chunk, int]] = []
        rows = 0
        with self._changed:
            while self._waiting or self._spilled:
                after = rows + (
                    _rows(self._waiting[0][0]) if self._waiting else self._spilled[0].rows
                )
                if chunks and most_rows is not None and after > most_rows:
                    break
                chunks.append(self._pop())
                rows = after
            superseded, self._superseded = self._superseded, 0
            if self._failure is not None and not chunks:
                raise self._failure
            self._changed.notify_all()
        return Taken(chunks=tuple(chunks), superseded=superseded)

    def committed(self) -> None:
        """What was taken is durable: forget its spilled files."""
        done, self._uncommitted = self._uncommitted, []
        for spilled in done:
            assert self._spill is not None
            self._spill.remove(spilled)

    def abandon(self) -> None:
        """Take no more; a reader that waits for room goes on and ends."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Wait until the reader has ended, at most ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, timeout_s)

    @property
    def is_finished(self) -> bool:
        """Whether the reader has ended and everything was taken."""
        with self._changed:
            return self._is_closed and not (self._waiting or self._spilled or self._failure)

    @property
    def is_closed(self) -> bool:
        """Whether the reader has ended."""
        return self._is_closed

    @property
    def depth_rows(self) -> int:
        """Rows that wait, those on disk included."""
        with self._changed:
            return self._rows + sum(s.rows for s in self._spilled)

    # --- inside, under the lock ---------------------------------------------------------------

    def _has_room(self, rows: int) -> bool:
        return not self._waiting or self._rows + rows <= self._max_rows

    def _wait_for(self, is_possible: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._is_abandoned or is_possible())

    def _append(self, chunk: Chunk, received_ns: int) -> None:
        self._waiting.append((chunk, received_ns))
        self._rows += _rows(chunk)

    def _pop(self) -> tuple[Chunk, int]:
        if self._waiting:
            chunk, received_ns = self._waiting.popleft()
            self._rows -= _rows(chunk)
            return chunk, received_ns
        spilled = self._spilled.popleft()
        self._uncommitted.append(spilled)
        assert self._spill is not None
        return self._spill.read(spilled)

    def _supersede(self, chunk: Chunk, received_ns: int) -> None:
        """Newest wins: old rows give way until the new ones have room."""
        over = _rows(chunk) - self._max_rows
        if over > 0:
            kept = max(chunk.frame.height - over, 0)
            self._superseded += chunk.frame.height - kept
            chunk = Chunk(
                origin=chunk.origin,
                frame=chunk.frame.tail(kept),
                rejected=chunk.rejected,
                position=chunk.position,
            )
        while self._waiting and self._rows + _rows(chunk) > self._max_rows:
            old, _ = self._waiting.popleft()
            self._rows -= _rows(old)
            self._superseded += _rows(old)
        self._append(chunk, received_ns)

    def _spilled_bytes(self) -> int:
        return sum(s.size_bytes for s in self._spilled)


def _rows(chunk: Chunk) -> int:
    return chunk.frame.height + chunk.rejected.height
