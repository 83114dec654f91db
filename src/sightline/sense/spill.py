"""Spill: chunks that found no room in memory, on disk, first in first out.

One file per chunk, written whole and renamed, so that a crash leaves only whole files; those left
by a crash come out first. A file is removed when what it held is committed, so a crash between
the two gives its rows a second time, and the duplicate rule supersedes them.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from sightline.errors import LogError
from sightline.recorder import Storage
from sightline.records.refusal import RefusalReason
from sightline.sense.source import Chunk, rejected_file

_VERSION = 1
_MOST_HEADER_BYTES = 4096


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
    """

    def __init__(self, storage: Storage, source: str) -> None:
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
        chunk = Chunk(
            origin=header["origin"],
            frame=_decode(stream),
            rejected=_decode(stream),
            position=header.get("position"),
        )
        return chunk, int(header["received_ns"])

    def remove(self, spilled: SpilledChunk) -> None:
        """Forget a chunk whose rows are committed."""
        self._storage.remove(spilled.path)

    def _describe(self, path: str) -> SpilledChunk:
        header, _ = self._open(path)
        rows = 1 if header is None else int(header["rows"])
        return SpilledChunk(path=path, size_bytes=self._storage.size(path), rows=rows)

    def _open(self, path: str) -> tuple[dict[str, Any] | None, bytes]:
        """Header and body; no header if the file is none of ours."""
        with self._storage.open_read(path) as file:
            line = file.readline(_MOST_HEADER_BYTES)
            body = file.read()
        try:
            header = json.loads(line)
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
    return pl.read_ipc_stream(io.BytesIO(stream.read(size)))
