"""Sources of rows at a location: a file, a directory of files, or standard input.

Tables in binary files are read here: Parquet row group by row group, and NumPy archives; text in
:mod:`.text_files` and :mod:`.json_lines`. Bad files and bad lines never raise: they come out beside
the rows, in the quarantine layout.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sightline.errors import SourceError, UsageError
from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.records.windows import FloatArray
from sightline.sense.contract import Archive, Contract
from sightline.sense.json_lines import read_json_lines, read_text_stream
from sightline.sense.source import (
    Chunk,
    Source,
    SourceOptions,
    Stream,
    Surroundings,
    chunk_of,
    error_words,
    file_identity,
    name_problem,
    path_of,
    rejected_file,
)
from sightline.sense.text_files import read_csv

_PARQUET_ERRORS = (OSError, pa.ArrowException, ValueError)
_UNIT_KEY = b"unit"
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_TEXT = (".txt", ".txt.gz")
_JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_PARQUET = (".parquet",)
_OF_A_FOLDER = _CSV + _JSON_LINES + _PARQUET
TABLES = _CSV + _TEXT + _JSON_LINES + _PARQUET
"""How the names of files of rows end, in small letters."""


def read_table(
    path: Path,
    *,
    origin: str,
    limits: Limits,
    contract: Contract | None = None,
    wanted: Sequence[str] = (),
    header_line: int | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Chunk]:
    """Read a file of rows by its suffix, one of :data:`TABLES`, in chunks of ``limits.chunk_rows``.

    Args:
        path: of the file.
        origin: its name.
        limits: bounds of lines and chunks.
        contract: its columns are those wanted, and those always there in JSON lines.
        wanted: columns by which the header of a text file is known; without a contract.
        header_line: which line of a text file is the header, from 1; None: it is looked for.
        columns: the only ones to read of a Parquet file; None: all.
    """
    name = path.name.lower()
    if name.endswith(_JSON_LINES):
        return read_json_lines(path, origin=origin, contract=contract, limits=limits)
    if name.endswith(_PARQUET):
        return read_parquet(path, origin=origin, limits=limits, columns=columns)
    if contract is not None:
        wanted = contract.needed_columns
    return read_csv(path, origin=origin, limits=limits, wanted=wanted, header_line=header_line)


def read_parquet(
    path: Path | BinaryIO,
    *,
    origin: str,
    limits: Limits,
    columns: Sequence[str] | None = None,
    is_wanted: Callable[[Any], bool] = lambda _: True,
) -> Iterator[Chunk]:
    """Read a Parquet file in chunks of at most ``limits.chunk_rows``.

    Args:
        path: of the file, or the file opened.
        origin: its name.
        limits: bounds of chunks.
        columns: the only ones to read; None: all.
        is_wanted: whether a row group is read, by its metadata.

    A column of a type that Polars has not, such as a decimal of 256 bits, is read as text, or as
    nothing where it has none: the rest of the row is not lost for it.

    A unit in a field's metadata (key ``unit``) becomes part of the column's name, ``flow [L/s]``,
    where admission compares it with the contract. A damaged row group is FILE_UNREADABLE from the
    damage to its end; the groups after it are read.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            fields = [field.name for field in file.schema_arrow]
            names = _names(file.schema_arrow)
            if columns is not None:
                wanted = set(columns)
                pairs = [(f, n) for f, n in zip(fields, names, strict=True) if {f, n} & wanted]
                fields, names = [f for f, _ in pairs], [n for _, n in pairs]
            problem = name_problem(names)
            if problem is not None:
                yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, problem)
            elif not file.metadata.num_rows:
                detail = "expected rows, got none"
                yield rejected_file(origin, RefusalReason.FILE_EMPTY, detail)
            else:
                yield from _row_groups(
                    file,
                    names,
                    None if columns is None else fields,
                    origin=origin,
                    limits=limits,
                    is_wanted=is_wanted,
                )
    except _PARQUET_ERRORS as error:
        is_empty = isinstance(path, Path) and path.is_file() and path.stat().st_size == 0
        reason = RefusalReason.FILE_EMPTY if is_empty else RefusalReason.FILE_UNREADABLE
        yield rejected_file(origin, reason, error_words(error))


def _row_groups(
    file: Any,
    names: list[str],
    fields: Sequence[str] | None,
    *,
    origin: str,
    limits: Limits,
    is_wanted: Callable[[Any], bool],
) -> Iterator[Chunk]:
    first = 0
    for group in range(file.metadata.num_row_groups):
        stop = first + file.metadata.row_group(group).num_rows
        at = first
        if not is_wanted(file.metadata.row_group(group)):
            first = stop
            continue
        try:
            for batch in file.iter_batches(
                batch_size=limits.chunk_rows, row_groups=[group], columns=fields
            ):
                frame = _batch_frame(batch, names)
                yield chunk_of(frame, origin=origin, first_row=at)
                at += frame.height
        except _PARQUET_ERRORS as error:
            detail = f"rows {at} to {stop - 1} could not be read: {error_words(error)}"
            yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, detail)
        first = stop


def column_names(path: Path) -> list[str]:
    """Names of the columns of a Parquet file that can be opened."""
    return _names(pq.read_schema(path))


def _names(schema: Any) -> list[str]:
    names: list[str] = []
    for field in schema:
        unit = (field.metadata or {}).get(_UNIT_KEY)
        names.append(field.name if unit is None else f"{field.name} [{unit.decode()}]")
    return names


def _batch_frame(batch: Any, names: list[str]) -> pl.DataFrame:
    columns = [_known_to_polars(column) for column in batch.columns]
    frame = pl.from_arrow(pa.table(columns, names=names))
    assert isinstance(frame, pl.DataFrame)
    # Dictionaries differ from batch to batch; plain text can be joined.
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def _known_to_polars(column: Any) -> Any:
    """The column, or its text, or nulls: Polars ends the process on some types of Arrow."""
    if pa.types.is_timestamp(column.type) and not _is_zone(column.type.tz):
        return column.cast(pa.timestamp(column.type.unit, "UTC"))  # the same instants
    if pa.types.is_dictionary(column.type) and not _is_known(column.type.value_type):
        column = column.dictionary_decode()
    if _is_known(column.type):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        return pa.nulls(len(column), pa.string())


def _is_known(kind: Any) -> bool:
    types = pa.types
    if types.is_nested(kind):
        # Lists in views have no counterpart; a map's entries are its only field.
        if types.is_list_view(kind) or types.is_large_list_view(kind) or types.is_union(kind):
            return False
        return all(_is_known(kind.field(i).type) for i in range(kind.num_fields))
    if types.is_timestamp(kind):
        return _is_zone(kind.tz)
    return not (types.is_decimal256(kind) or types.is_interval(kind))


def _is_zone(name: str | None) -> bool:
    try:
        ZoneInfo(name or "UTC")
    except (ValueError, OSError, KeyError):  # the last of a zone that is not known
        return False
    return True


_ARCHIVE_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_numpy_archive(
    path: Path, *, origin: str, archive: Archive, limits: Limits
) -> Iterator[Chunk]:
    """Read the arrays the contract names, one after the other; pickled objects are never loaded.

    A format that cannot be streamed: an array that would need more memory than
    ``limits.max_file_bytes_in_memory``, by what its header says, is FILE_TOO_LARGE. Reading stops
    at the first array that is missing or damaged, because the row numbers after it are unknown.
    """
    try:
        if path.stat().st_size == 0:
            yield rejected_file(
                origin, RefusalReason.FILE_EMPTY, "expected an archive, got 0 bytes"
            )
            return
        with zipfile.ZipFile(path) as members:
            first = 0
            for name in archive.arrays:
                try:
                    values = _read_array(members, name, limits)
                except _TooLargeError as error:
                    yield rejected_file(origin, RefusalReason.FILE_TOO_LARGE, str(error))
                    return
                frame = _array_frame(values, name, path.stem, archive)
                for part in frame.iter_slices(limits.chunk_rows):
                    yield chunk_of(part, origin=origin, first_row=first)
                    first += part.height
            if not first:
                yield rejected_file(origin, RefusalReason.FILE_EMPTY, "expected rows, got none")
    except _ARCHIVE_ERRORS as error:
        yield rejected_file(origin, RefusalReason.FILE_UNREADABLE, error_words(error))


class _TooLargeError(Exception):
    pass


def _read_array(members: zipfile.ZipFile, name: str, limits: Limits) -> FloatArray:
    """float64[rows, features]; raises one of the expected errors otherwise."""
    info = members.getinfo(f"{name}.npy")
    with members.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = reader(stream)
    if dtype.kind not in "fiub":
        raise ValueError(f"expected an array of numbers as {name!r}, got {dtype}")
    if len(shape) != 2:
        raise ValueError(f"expected {name!r} as [rows, features], got the shape {shape}")
    # The header is believed only for the refusal; NumPy allocates what it says before reading.
    needed = math.prod(shape) * max(dtype.itemsize, np.dtype(np.float64).itemsize)
    if max(needed, info.file_size) > limits.max_file_bytes_in_memory:
        raise _TooLargeError(
            f"expected at most {limits.max_file_bytes_in_memory} bytes, got {needed} in {name!r}"
        )
    with members.open(info) as stream:
        values = np.lib.format.read_array(stream, allow_pickle=False)
    return values.astype(np.float64, copy=False)


def _array_frame(values: FloatArray, name: str, stem: str, archive: Archive) -> pl.DataFrame:
    """The columns of one array; ``values`` is float64[rows, features]."""
    features = values.shape[1]
    beyond = [c for c, i in archive.columns.items() if i >= features]
    if beyond:
        raise ValueError(f"expected more than {features} features in {name!r} for {beyond[0]}")
    frame = pl.DataFrame(
        {column: np.ascontiguousarray(values[:, i]) for column, i in archive.columns.items()}
    )
    if archive.stem_column is not None:
        frame = frame.with_columns(pl.lit(stem).alias(archive.stem_column))
    if archive.array_column is not None:
        frame = frame.with_columns(pl.lit(name).alias(archive.array_column))
    return frame


# --- the sources ----------------------------------------------------------------------------------

"""Read as CSV where the location is such a file; in a folder it may be anything."""
_ARCHIVE = (".npz",)


@dataclass(slots=True, kw_only=True)
class FileSource(Source):
    """A file, or the files of a folder: CSV, JSON lines, Parquet, NumPy archives.

    Attributes:
        name: the source's name in the pipeline.
        contract: tells which columns to look for.
        files: (origin, path), sorted by origin. The origin is the path relative to the location.
        ignored: origins of files that no reader takes.
        limits: bounds of lines, chunks and archives.
    """

    schemes = ("file",)
    durable = True

    name: str
    contract: Contract
    files: tuple[tuple[str, Path], ...]
    ignored: tuple[str, ...]
    limits: Limits

    @classmethod
    def open(
        cls,
        location: str,
        *,
        name: str,
        contract: Contract,
        options: SourceOptions,
        surroundings: Surroundings,
    ) -> FileSource:
        """A file, or a directory that is read recursively, in sorted order."""
        limits, where = surroundings.limits, f"source {name}, {location}"
        suffixes = _OF_A_FOLDER if contract.archive is None else _ARCHIVE
        root = path_of(location)
        files, ignored = _files_of(root, suffixes, where=where, limits=limits)
        if not files:
            raise SourceError(
                expected=f"a file that ends in {', '.join(suffixes)}",
                got=f"{len(ignored)} other files" if ignored else "none",
                where=where,
                action="name another location, or give the contract an `archive` for .npz files"
                if contract.archive is None
                else "name another location, or remove `archive` from the contract",
            )
        return cls(name=name, contract=contract, files=files, ignored=ignored, limits=limits)

    def streams(self) -> list[Stream]:
        return [
            Stream(
                origin=o,
                chunks=lambda o=o, p=p: self._chunks(o, p),  # type: ignore[misc]
                series=without_suffix(o),
            )
            for o, p in self.files
        ]

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        return [file_identity(origin, path) for origin, path in self.files]

    def _chunks(self, origin: str, path: Path) -> Iterator[Chunk]:
        rows = 0
        for chunk in self._read(origin, path):
            rows += chunk.frame.height + chunk.rejected.height
            yield replace(chunk, position=rows)

    def _read(self, origin: str, path: Path) -> Iterator[Chunk]:
        archive, limits = self.contract.archive, self.limits
        if archive is not None:
            return read_numpy_archive(path, origin=origin, archive=archive, limits=limits)
        return read_table(path, origin=origin, limits=limits, contract=self.contract)


@dataclass(slots=True, kw_only=True)
class StandardInput(Source):
    """JSON lines or CSV from standard input, which can be read only once."""

    schemes = ("stdin",)

    name: str
    contract: Contract
    stdin: BinaryIO
    limits: Limits

    @classmethod
    def open(
        cls,
        location: str,
        *,
        name: str,
        contract: Contract,
        options: SourceOptions,
        surroundings: Surroundings,
    ) -> StandardInput:
        """What comes through a pipe."""
        if surroundings.stdin is None:
            raise UsageError(
                expected="standard input",
                got="none",
                where=f"source {name}",
                action="pass the byte stream, or name a file",
            )
        limits = surroundings.limits
        return cls(name=name, contract=contract, stdin=surroundings.stdin, limits=limits)

    def streams(self) -> list[Stream]:
        return [Stream(origin="stdin", chunks=self._chunks)]

    def _chunks(self) -> Iterator[Chunk]:
        return read_text_stream(
            self.stdin, origin="stdin", contract=self.contract, limits=self.limits, is_live=True
        )


def without_suffix(origin: str) -> str:
    """The origin of rows as `origin_column` says it."""
    for suffix in _CSV + _TEXT + _JSON_LINES + _PARQUET + _ARCHIVE:
        if origin.lower().endswith(suffix):
            return origin[: -len(suffix)]
    return origin


def tables_of(folder: Path, *, limits: Limits) -> tuple[tuple[str, Path], ...]:
    """(origin, path) of each file of a folder that a run reads, sorted by origin.

    Raises:
        SourceError: it is no folder, or has too many files.
    """
    return _files_of(folder, _OF_A_FOLDER, where=str(folder), limits=limits)[0]


def _files_of(
    root: Path, suffixes: tuple[str, ...], *, where: str, limits: Limits
) -> tuple[tuple[tuple[str, Path], ...], tuple[str, ...]]:
    """What is read, and the origins of what is not."""
    found = _files(root, where=where, limits=limits)
    # Other systems leave hidden files of the same names beside those that they copy: ._day.csv
    files = tuple(
        (origin, path)
        for origin, path in found
        if path.name.lower().endswith((*suffixes, *_TEXT) if path == root else suffixes)
        and (path == root or not path.name.startswith("."))
    )
    taken = {origin for origin, _ in files}
    return files, tuple(origin for origin, _ in found if origin not in taken)


def _files(root: Path, *, where: str, limits: Limits) -> list[tuple[str, Path]]:
    """(origin, path) of every file at ``root``, sorted by origin."""
    if root.is_file():
        return [(root.name, root)]
    if not root.is_dir():
        raise SourceError(
            expected="a file or a directory", got="nothing", where=where, action="check the path"
        )
    found: list[tuple[str, Path]] = []
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        found.append((path.relative_to(root).as_posix(), path))
        if len(found) > limits.max_files:
            raise SourceError(
                expected=f"at most {limits.max_files} files",
                got="more",
                where=where,
                action="split the directory, join the files, or raise `max_files`",
            )
    return sorted(found)
