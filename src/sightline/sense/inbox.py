"""The inbox of a live source: the only queue between its reader and the engine.

Bounded in rows, with one of three policies for what happens at the bound:

- ``block``: the reader waits, so the sender is slowed down. For logs and brokers.
- ``latest``: the oldest waiting rows give way and are counted as superseded. For cameras, and for
  whatever is worthless once something newer is there.
- ``spill``: what finds no room goes to disk, in order. At the bound of the disk the reader waits.

One reader thread puts, the engine takes. Nothing is ever lost without being counted.

Spill: chunks that found no room in memory, on disk, first in first out.

One file per chunk, written whole and renamed, so that a crash leaves only whole files; those left
by a crash come out first. A file is removed when what it held is committed, so a crash between
the two gives its rows a second time, and the duplicate rule supersedes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import Storage
from sightline.recorder.arrow_stream import read_arrow
from sightline.records.plain_json import read_json
from sightline.records.refusal import RefusalReason
from sightline.sense.source import Chunk, rejected_file

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpilledChunk:
    """A chunk on disk: its file, its size, and how many rows it holds."""

    path: str
    size_bytes: int
    rows: int


class SpillFolder:
    """Chunks of one source in files numbered from 0, in ``spill/<source>``.

    Args:
        storage: the disk of the run.
        source: name of the source.
        limits: ``max_spill_header_bytes``.
    """

    def __init__(self, storage: Storage, source: str, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._storage = storage
        self._folder = f"spill/{source}"
        names = [n for n in storage.listdir(self._folder) if n.endswith(".chunk")]
        self.left_over = tuple(self._describe(f"{self._folder}/{n}") for n in names)
        """Chunks that a run before this one did not get to commit, oldest first."""
        self._next = int(names[-1].split(".")[0]) + 1 if names else 0

    def write(self, chunk: Chunk, *, received_ns: int) -> SpilledChunk:
        """Put a chunk on disk.

        Raises:
            StorageError: the disk refused; the chunk is not there.
        """
        body = _encode(chunk.frame) + _encode(chunk.rejected)
        header = {
            "version": _VERSION,
            "origin": chunk.origin,
            "position": chunk.position,
            "received_ns": received_ns,
            "rows": chunk.frame.height + chunk.rejected.height,
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        data = json.dumps(header, sort_keys=True).encode() + b"\n" + body
        path = f"{self._folder}/{self._next:012d}.chunk"
        self._next += 1
        file = self._storage.create(path + ".tmp")
        try:
            file.write(data)
            self._storage.sync(file)
        finally:
            file.close()
        self._storage.replace(path + ".tmp", path)
        return SpilledChunk(path=path, size_bytes=len(data), rows=int(str(header["rows"])))

    def read(self, spilled: SpilledChunk) -> tuple[Chunk, int]:
        """The chunk and its receipt time, UTC ns; one that is damaged comes out as unreadable."""
        header, body = self._open(spilled.path)
        if header is None or hashlib.sha256(body).hexdigest() != header["sha256"]:
            detail = f"spilled chunk of {spilled.rows} rows"
            return rejected_file(spilled.path, RefusalReason.FILE_UNREADABLE, detail), 0
        stream = io.BytesIO(body)
        try:
            chunk = Chunk(
                origin=str(header["origin"]),
                frame=_decode(stream),
                rejected=_decode(stream),
                position=header.get("position"),
            )
            return chunk, int(header["received_ns"])
        except (LogError, KeyError, TypeError, ValueError) as error:
            detail = f"spilled chunk of {spilled.rows} rows: {error}"
            return rejected_file(spilled.path, RefusalReason.FILE_UNREADABLE, detail), 0

    def remove(self, spilled: SpilledChunk) -> None:
        """Forget a chunk whose rows are committed."""
        self._storage.remove(spilled.path)

    def _describe(self, path: str) -> SpilledChunk:
        header, _ = self._open(path)
        rows = 1 if header is None else int(header["rows"])
        return SpilledChunk(path=path, size_bytes=self._storage.size(path), rows=rows)

    def _open(self, path: str) -> tuple[dict[str, Any] | None, bytes]:
        """Header and body; no header if the file is none of ours."""
        if self._storage.size(path) > self._limits.max_entry_bytes:
            return None, b""
        with self._storage.open_read(path) as file:
            line = file.readline(self._limits.max_spill_header_bytes)
            body = file.read()
        try:
            header = read_json(line)
            int(header["rows"]), str(header["sha256"])
            if header["version"] != _VERSION:
                raise LogError(
                    expected=f"spill version {_VERSION}",
                    got=str(header["version"]),
                    where=path,
                    action="resume with the version of Sightline that made the run",
                )
        except (ValueError, KeyError, TypeError):
            return None, b""
        return header, body


def _encode(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="zstd")
    data = buffer.getvalue()
    return len(data).to_bytes(8, "big") + data


def _decode(stream: io.BytesIO) -> pl.DataFrame:
    size = int.from_bytes(stream.read(8), "big")
    return read_arrow(stream.read(size), where="spilled chunk")


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
