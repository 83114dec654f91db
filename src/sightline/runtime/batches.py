"""Batches of raw rows as bytes, and their logical digest."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc


def encode_frame(frame: pl.DataFrame) -> bytes:
    """Arrow IPC stream, zstd, as the log and the worker pipes carry it."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="zstd")
    return buffer.getvalue()


def decode_frame(payload: bytes) -> pl.DataFrame:
    """Inverse of :func:`encode_frame`."""
    return pl.read_ipc_stream(io.BytesIO(payload))


def frame_digest(frame: pl.DataFrame) -> str:
    """32 hex digits over names, types and values; equal for equal frames however they are held.

    >>> a = pl.DataFrame({"x": [1, 2], "s": ["a", None]})
    >>> frame_digest(a) == frame_digest(pl.concat([a.head(1), a.tail(1)]))
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, column in zip(frame.columns, frame.get_columns(), strict=True):
        digest.update(f"{name}\x00{column.dtype}\x00{len(column)}\x00".encode())
        if column.null_count():
            digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
            fill = "" if column.dtype == pl.String else None
            column = (
                column.fill_null(fill) if fill is not None else column.fill_null(strategy="zero")
            )
        if column.dtype == pl.String:
            array = column.to_arrow().cast(pa.large_string())
            lengths = pc.binary_length(array).to_numpy(zero_copy_only=False)
            digest.update(np.ascontiguousarray(lengths).tobytes())
            digest.update("".join(array.to_pylist()).encode() if len(array) else b"")
        elif column.dtype.is_numeric() or column.dtype == pl.Boolean:
            digest.update(np.ascontiguousarray(column.to_numpy()))
        elif column.dtype.is_temporal():
            digest.update(np.ascontiguousarray(column.to_physical().to_numpy()))
        else:  # nested or unusual types, which no contract admits anyway
            digest.update(str(column.to_list()).encode())
    return digest.hexdigest()
