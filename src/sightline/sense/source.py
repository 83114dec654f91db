"""What a source is: opened from a location, read in parts with positions, told what is committed.

A source gives rows (:class:`Stream` of :class:`Chunk`) or frames
(:class:`~sightline.sense.frames.delivery.CameraSource`). One of your own is a class that extends
:class:`Source`, in a package with an entry point in the group ``sightline.sources`` or in a module
that the pipeline names under ``plugins``; :mod:`sightline.sense.opening` finds it by its scheme.
"""

from __future__ import annotations

import hashlib
import io
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, ClassVar, Literal

import polars as pl
from pydantic import ConfigDict

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, RECEIVED_NS, ROW
from sightline.sense.contract import Form
from sightline.sense.refused_rows import no_rejections, rejected

Position = int | str
"""How far a stream has been read, in the source's own terms: rows, bytes, an offset, a token."""

_HASHED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some consecutive rows of one stream.

    Attributes:
        origin: where they are from: file (relative to the source's location), ``stdin``, …
        frame: the source's own columns, text or typed, then ``_origin`` (String) and ``_row``
            (Int64, 0-based data row in the origin; lines that could not be read count too).
        rejected: lines or files that could not be read into rows, in QUARANTINE_SCHEMA.
        position: behind its last row; None where the source does not care what is kept.
    """

    origin: str
    frame: pl.DataFrame
    rejected: pl.DataFrame
    position: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One arrival sequence, such as a file or a partition of a broker.

    Attributes:
        origin: its name; the ``origin`` of its chunks.
        chunks: starts reading from the beginning; any number of times on a durable source. A
            chunk is given as soon as it is there: whoever waits for more rows holds up the run.
        series: what a contract's ``origin_column`` holds of its rows; ``""`` for the origin.
    """

    origin: str
    chunks: Callable[[], Iterator[Chunk]]
    series: str = ""

    def with_origin(self, column: str | None) -> Stream:
        """The same rows, with a column that tells of which series they are, if there is to be one.

        >>> rows = chunk_of(pl.DataFrame({"x": [1.0]}), origin="wire", first_row=0)
        >>> wire = Stream(origin="wire", chunks=lambda: iter([rows]))
        >>> [chunk.frame["line"].item() for chunk in wire.with_origin("line").chunks()]
        ['wire']
        """
        if column is None:
            return self
        told = pl.lit(self.series or self.origin).alias(column)

        def chunks() -> Iterator[Chunk]:
            for chunk in self.chunks():
                has_rows = chunk.frame.height
                yield replace(chunk, frame=chunk.frame.with_columns(told)) if has_rows else chunk

        return replace(self, chunks=chunks)


class SourceOptions(Form):
    """Options of a source. A field's docstring says what it does; its name carries the unit."""

    model_config = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the process lends a source.

    Attributes:
        limits: bounds of lines, files, pictures and waits.
        wall_ns: the clock, UTC ns; stamps the receipt of what is live.
        stdin: the bytes of standard input, where there is one.
        is_live: whether the run takes rows as they come; otherwise a stream that goes on is read
            up to where it ended when the run began.
        tell: told in one sentence what is wrong while the source goes on, and when it no longer is.
    """

    limits: Limits
    wall_ns: Callable[[], int]
    stdin: BinaryIO | None = None
    is_live: bool = False
    tell: Callable[[str], None] = lambda text: None


class Source:
    """Something that rows or frames come from.

    Attributes:
        gives: whether :meth:`streams` gives rows, or the source is a ``CameraSource``.
        schemes: what its locations begin with, before ``://``; none: it is only made in code.
        Options: form of its options.
        name: the source's name in the pipeline.
        durable: whether the same records can be read again, after a crash and for a replay.
        seeks: whether its positions are whole numbers that mean the same in every run: each row
            whose ``_row`` is lower is kept. Then a live run logs them with the rows, and goes on
            behind them with :meth:`resume`; a row that comes a second time is passed over.
        ignored: files that lie there but that no reader takes; named when a run starts.

    >>> class Dice(Source):
    ...     schemes = ("dice",)
    ...
    ...     def __init__(self, name):
    ...         self.name = name
    ...
    ...     @classmethod
    ...     def open(cls, location, *, name, contract, options, surroundings):
    ...         return cls(name)
    ...
    ...     def streams(self):
    ...         return [Stream(origin="table", chunks=self._throws)]
    ...
    ...     def _throws(self):
    ...         yield chunk_of(pl.DataFrame({"eyes": [3, 5]}), origin="table", first_row=0)
    >>> chunk = next(Dice("dice").streams()[0].chunks())
    >>> chunk.frame.rows(), chunk.position
    ([(3, 'table', 0), (5, 'table', 1)], 2)
    """

    gives: ClassVar[Literal["rows", "frames"]] = "rows"
    schemes: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[SourceOptions]] = SourceOptions

    name: str
    durable: bool = False
    seeks: bool = False
    ignored: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, location: str, *, name: str, contract: Any, options: Any, surroundings: Surroundings
    ) -> Source:
        """The source at ``location``. Looks whether it is there; reads nothing yet.

        Args:
            location: as the user gave it, scheme included. It may hold a password: it belongs
                into no error and no log.
            name: the source's name in the pipeline.
            contract: a ``Contract``, or a ``FrameContract`` where frames are given.
            options: an instance of ``Options``.
            surroundings: bounds, clock and standard input.

        Raises:
            SourceError: nothing is there, or it cannot be read.
            UsageError: options that contradict each other or the location.
        """
        raise UsageError(
            expected="a source that can be opened from a location",
            got=cls.__name__,
            where=f"source {name}",
            action="make it in code",
        )

    def streams(self) -> list[Stream]:
        """Every stream of rows, in a stable order; none where the source gives frames."""
        return []

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        """Identity of the content for the log: origin, bytes and SHA-256 of each stream.

        Empty where the content cannot be read twice.
        """
        return []

    def resume(
        self,
        fingerprint: Sequence[Mapping[str, str | int]],
        positions: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """A run goes on: does nothing unless overridden. Called before the streams are read.

        Args:
            fingerprint: what :meth:`fingerprint` said when the run began.
            positions: of a live run and a source that ``seeks``, by ``Chunk.origin``: begin there.
        """

    def close(self) -> None:
        """The run is over: let go. Does nothing unless overridden; may be called again."""

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Everything up to these positions is kept; does nothing unless overridden.

        Called on the thread of the run's loop, after a commit, never before the log with these
        records has been forced to disk (where the run is ``durable``). What was refused,
        superseded or could not be read is accounted for in that log too. What only waits, in an
        inbox or in the spill, is not kept yet.

        A position may be left out (a later one covers it) and never goes back. After a crash
        between the commit and this call the sender gives some records a second time: rows are
        superseded as duplicates.

        Args:
            positions: the newest position of each stream that has moved since the last call, by
                ``Chunk.origin``. Of a camera: its name, and the index behind its newest frame.

        Raises:
            SourceError: the sender cannot be told; the run stops.
        """


RESERVED_COLUMNS = (ORIGIN, ROW, RECEIVED_NS)
"""Columns that Sightline adds to raw rows; a file may not have its own."""


def chunk_of(frame: pl.DataFrame, *, origin: str, first_row: int) -> Chunk:
    """Rows as a chunk whose position is the number of rows up to its end.

    Args:
        frame: the source's own columns, text or typed.
        origin: of the stream.
        first_row: number of the first of these rows in the stream, from 0.
    """
    rows = pl.int_range(first_row, first_row + frame.height, dtype=pl.Int64, eager=True)
    return Chunk(
        origin=origin,
        frame=placed(frame, origin=origin, rows=rows),
        rejected=no_rejections(),
        position=first_row + frame.height,
    )


def placed(frame: pl.DataFrame, *, origin: str, rows: pl.Series) -> pl.DataFrame:
    """``frame`` with ``_origin`` and ``_row`` (Int64[n])."""
    return frame.with_columns(pl.lit(origin, dtype=pl.String).alias(ORIGIN), rows.alias(ROW))


def name_problem(names: Sequence[str]) -> str | None:
    """Why a file with these column names cannot be read, or None."""
    for i, name in enumerate(names):
        if name in names[:i]:
            return f"the column {name!r} is there twice"
        if not name:
            return f"column {i + 1} has no name"
        if name in RESERVED_COLUMNS:
            return f"the column name {name!r} is reserved"
    return None


def rejected_file(origin: str, reason: RefusalReason, detail: str, *, raw: str = "") -> Chunk:
    """A chunk without rows that says why a file, or the rest of it, could not be read."""
    return Chunk(
        origin=origin,
        frame=pl.DataFrame(),
        rejected=rejected(origin=origin, rows=[-1], reason=reason, detail=detail, raw=[raw]),
    )


def error_words(error: BaseException) -> str:
    """What a library said, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def path_of(location: str) -> Path:
    """The path of a location that is one, with or without ``file://``.

    >>> path_of("file:///data/a%20b.csv").name, path_of("a b.csv").name
    ('a b.csv', 'a b.csv')
    """
    if location[:7].lower() != "file://":
        return Path(location)
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(location).path))


def file_identity(origin: str, path: Path) -> Mapping[str, str | int]:
    """Origin, bytes and SHA-256 of a file, for :meth:`Source.fingerprint`."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_HASHED_BYTES):
                digest.update(piece)
                size += len(piece)
    except OSError:
        # The reader reports it as FILE_UNREADABLE; an identity it has none.
        return {"origin": origin, "bytes": -1, "sha256": ""}
    return {"origin": origin, "bytes": size, "sha256": digest.hexdigest()}


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
