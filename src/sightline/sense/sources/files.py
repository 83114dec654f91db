"""Sources of rows at a location: a file, a directory of files, or standard input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import polars as pl

from sightline.errors import SourceError, UsageError
from sightline.limits import Limits
from sightline.sense.contract import Contract
from sightline.sense.source import (
    Chunk,
    Source,
    SourceOptions,
    Stream,
    Surroundings,
    file_identity,
    path_of,
)
from sightline.sense.sources.table_files import read_numpy_archive, read_parquet
from sightline.sense.sources.text_files import read_csv, read_json_lines, read_json_stream

_CSV = (".csv", ".csv.gz")
_JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_PARQUET = (".parquet",)
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
        suffixes = _CSV + _JSON_LINES + _PARQUET if contract.archive is None else _ARCHIVE
        found = _files(path_of(location), where=where, limits=limits)
        files = tuple((o, p) for o, p in found if p.name.lower().endswith(suffixes))
        ignored = tuple(o for o, p in found if not p.name.lower().endswith(suffixes))
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
            Stream(origin=o, chunks=lambda o=o, p=p: self._chunks(o, p))  # type: ignore[misc]
            for o, p in self.files
        ]

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        return [file_identity(origin, path) for origin, path in self.files]

    def _chunks(self, origin: str, path: Path) -> Iterator[Chunk]:
        column, rows = self.contract.origin_column, 0
        for chunk in self._read(origin, path):
            frame = chunk.frame
            rows += frame.height + chunk.rejected.height
            if column is not None and frame.height:
                frame = frame.with_columns(pl.lit(_without_suffix(origin)).alias(column))
            yield replace(chunk, frame=frame, position=rows)

    def _read(self, origin: str, path: Path) -> Iterator[Chunk]:
        name, limits = path.name.lower(), self.limits
        if name.endswith(_CSV):
            return read_csv(path, origin=origin, limits=limits)
        if name.endswith(_JSON_LINES):
            return read_json_lines(path, origin=origin, contract=self.contract, limits=limits)
        if name.endswith(_PARQUET):
            return read_parquet(path, origin=origin, limits=limits)
        assert self.contract.archive is not None  # no other file was let in
        return read_numpy_archive(path, origin=origin, archive=self.contract.archive, limits=limits)


@dataclass(slots=True, kw_only=True)
class StandardInput(Source):
    """JSON lines from standard input, which can be read only once."""

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
        return read_json_stream(
            self.stdin, origin="stdin", contract=self.contract, limits=self.limits, is_live=True
        )


def _without_suffix(origin: str) -> str:
    for suffix in _CSV + _JSON_LINES + _PARQUET + _ARCHIVE:
        if origin.lower().endswith(suffix):
            return origin[: -len(suffix)]
    return origin


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
