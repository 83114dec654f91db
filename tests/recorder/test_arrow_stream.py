"""Rows from somebody who may mean harm: how much they become is known before they are unpacked."""

from __future__ import annotations

import io
import struct
from unittest.mock import patch

import polars as pl
import pytest

from sightline.errors import LogError
from sightline.recorder.arrow_stream import read_arrow

ROWS = 100_000
UNPACKED_BYTES = 8 * ROWS


def packed(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_ipc_stream(stream, compression="zstd")
    return stream.getvalue()


def zeros() -> bytes:
    found = packed(pl.DataFrame({"a": pl.zeros(ROWS, dtype=pl.Int64, eager=True)}))
    assert len(found) < UNPACKED_BYTES / 100
    return found


def test_rows_that_unpack_to_what_the_bound_allows_are_read() -> None:
    assert read_arrow(zeros(), where="here", most_bytes=UNPACKED_BYTES + 64).height == ROWS


@pytest.mark.parametrize("bound", [{"most_bytes": UNPACKED_BYTES - 1}, {"most_rows": ROWS - 1}])
def test_rows_that_unpack_to_more_than_the_bound_are_refused_unpacked_by_nobody(
    bound: dict[str, int],
) -> None:
    with patch.object(pl, "read_ipc_stream") as unpacked, pytest.raises(LogError, match="here"):
        read_arrow(zeros(), where="here", **bound)
    unpacked.assert_not_called()


def test_a_stream_that_says_less_than_it_holds_is_refused() -> None:
    says = zeros().replace(struct.pack("<q", UNPACKED_BYTES), struct.pack("<q", 8))
    with pytest.raises(LogError, match="here"):
        read_arrow(says, where="here", most_bytes=1000)
