"""Rows that are already in memory: tests, simulation, notebooks."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import ORIGIN, ROW
from sightline.sense.refused_rows import no_rejections
from sightline.sense.source import Chunk, Source, Stream, name_problem, placed


@dataclass(slots=True)
class MemorySource(Source):
    """A source made of frames, one stream each.

    Attributes:
        name: the source's name in the pipeline.
        frames: by origin. A ``_row`` column is kept where there is one.
        limits: ``chunk_rows`` cuts a frame into chunks.
        durable: False to play a source that cannot be read again.

    Raises:
        SourceError: a frame has a column whose name is reserved.

    >>> source = MemorySource("demo", {"a": pl.DataFrame({"x": [1, 2]})})
    >>> [chunk.frame.rows() for chunk in source.streams()[0].chunks()]
    [[(1, 'a', 0), (2, 'a', 1)]]
    """

    name: str
    frames: Mapping[str, pl.DataFrame]
    limits: Limits = field(default=DEFAULT_LIMITS, kw_only=True)
    durable: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        for origin, frame in self.frames.items():
            problem = name_problem([n for n in frame.columns if n not in (ORIGIN, ROW)])
            if problem is not None:
                raise SourceError(
                    expected="columns that a source may have",
                    got=problem,
                    where=f"source {self.name}, {origin}",
                    action="rename the column",
                )

    def streams(self) -> list[Stream]:
        return [
            Stream(origin=origin, chunks=lambda origin=origin: self._chunks(origin))  # type: ignore[misc]
            for origin in self.frames
        ]

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        found: list[Mapping[str, str | int]] = []
        for origin, frame in self.frames.items():
            buffer = io.BytesIO()
            frame.rechunk().write_ipc_stream(buffer)
            content = buffer.getbuffer()
            digest = hashlib.sha256(content).hexdigest()
            found.append({"origin": origin, "bytes": len(content), "sha256": digest})
        return found

    def _chunks(self, origin: str) -> Iterator[Chunk]:
        frame = self.frames[origin]
        if ROW in frame.columns:
            rows = frame[ROW].cast(pl.Int64)
        else:
            rows = pl.int_range(frame.height, dtype=pl.Int64, eager=True)
        frame = placed(frame.drop(ORIGIN, ROW, strict=False), origin=origin, rows=rows)
        read = 0
        for part in frame.iter_slices(self.limits.chunk_rows):
            read += part.height
            yield Chunk(origin=origin, frame=part, rejected=no_rejections(), position=read)
