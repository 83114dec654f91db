"""Batches of raw rows as bytes, and their logical digest."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import polars as pl

from sightline.errors import LogError, UsageError
from sightline.limits import Limits
from sightline.recorder.arrow_stream import check_unpacked, read_arrow
from sightline.records import Entry, EntryKind


def encode_frame(frame: pl.DataFrame) -> bytes:
    """Arrow IPC stream as the log and the worker pipes carry it; zstd, unless rows are few."""
    buffer = io.BytesIO()
    # Each buffer is compressed by itself, and starts at a multiple of 64 bytes either way.
    frame.write_ipc_stream(buffer, compression="uncompressed" if _is_small(frame) else "zstd")
    return buffer.getvalue()


def _is_small(frame: pl.DataFrame) -> bool:
    return frame.height <= _FEW_ROWS


_FEW_ROWS = 16
"""Rows up to which compressing makes a batch larger, and takes longer than all else about it."""


def decode_frame(payload: bytes) -> pl.DataFrame:
    """Inverse of :func:`encode_frame`.

    Raises:
        LogError: the payload is no frame of rows, or would unpack to more than the limits allow.
    """
    return read_arrow(payload, where="log entry with rows")


def checked_frame(frame: pl.DataFrame, *, limits: Limits, where: str) -> bytes:
    """The same bytes as :func:`encode_frame`, if they can be read again.

    Raises:
        UsageError: they would unpack to more than the limits allow.
    """
    payload = encode_frame(frame)
    # What is not compressed unpacks to its own size: nothing of it has to be looked at.
    fits = frame.height <= limits.max_epoch_rows and len(payload) <= limits.max_unpacked_bytes
    if _is_small(frame) and fits:
        return payload
    try:
        check_unpacked(
            payload, most_bytes=limits.max_unpacked_bytes, most_rows=limits.max_epoch_rows
        )
    except ValueError as error:
        raise UsageError(
            expected=f"at most {limits.max_unpacked_bytes} bytes and {limits.max_epoch_rows} rows "
            "in a batch (limits max_unpacked_bytes, max_epoch_rows)",
            got=str(error),
            where=where,
            action="set a shorter tick_s, or leave out columns that no contract names",
        ) from error
    return payload


def frame_digest(frame: pl.DataFrame) -> str:
    """32 hex digits over names, types and values; equal for equal frames however they are held.

    >>> a = pl.DataFrame({"x": [1, 2], "s": ["a", None]})
    >>> frame_digest(a) == frame_digest(pl.concat([a.head(1), a.tail(1)]))
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in frame.columns:
        column = frame[name]
        digest.update(f"{name}\x00{column.dtype}\x00{len(column)}\x00".encode())
        if column.null_count():
            digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        for part in _parts(column):
            digest.update(part)
    return digest.hexdigest()


def _parts(column: pl.Series) -> list[bytes]:
    """The values as bytes; each null is written as the same fixed value."""
    if column.dtype == pl.String:
        values = column.fill_null("") if column.null_count() else column
        if len(values) and values.n_unique() == 1:  # an origin, most often
            return [values[0].encode()]
        lengths = values.str.len_bytes().to_numpy()
        return [np.ascontiguousarray(lengths).tobytes(), "".join(values.to_list()).encode()]
    if column.dtype.is_numeric() or column.dtype == pl.Boolean or column.dtype.is_temporal():
        values = column.to_physical()
        if values.null_count():
            values = values.fill_null(False if values.dtype == pl.Boolean else 0)
        return [np.ascontiguousarray(values.to_numpy()).tobytes()]
    # Nested or unusual types, which no contract admits anyway.
    return [json.dumps(column.to_list(), default=str).encode()]


# --- batches whose rows are in a durable source ---------------------------------------------------


def take_referenced(
    entry: Entry, waiting: list[tuple[str, pl.DataFrame]], partition: str
) -> pl.DataFrame:
    """The rows an INPUT_REFERENCE entry speaks of, checked against its digest.

    Raises:
        LogError: if the durable source does not give the same rows again.
    """
    reference = json.loads(entry.payload)
    at = next((i for i, (s, _) in enumerate(waiting) if s == entry.name), None)
    frame = waiting.pop(at)[1] if at is not None else None
    if frame is None or frame_digest(frame) != reference["digest"]:
        raise LogError(
            expected=f"{reference['rows']} rows with digest {reference['digest']}",
            got="no rows" if frame is None else f"{frame.height} rows with {frame_digest(frame)}",
            where=f"partition {partition}, epoch {reference['epoch']}, source {entry.name}",
            action="give the source files exactly as they were when the run was made",
        )
    return frame


def entries_by_epoch(entries: list[Entry]) -> dict[int, list[Entry]]:
    """Entries by the epoch whose tick ends them; outcomes follow their tick."""
    found: dict[int, list[Entry]] = {}
    current: list[Entry] = []
    last: list[Entry] | None = None
    for entry in entries:
        if entry.kind is EntryKind.OUTCOME and last is not None:
            last.append(entry)
            continue
        current.append(entry)
        if entry.kind is EntryKind.TICK:
            last = found[int(json.loads(entry.payload)["epoch"])] = current
            current = []
    return found
