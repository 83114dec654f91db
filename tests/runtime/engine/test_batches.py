"""Batches of rows on their way into the log."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.runtime.engine.batches import checked_frame, decode_frame


@pytest.mark.parametrize("rows", [3, 300])  # as they are, and compressed
@pytest.mark.parametrize("bound", ["max_unpacked_bytes", "max_epoch_rows"])
def test_a_batch_that_could_not_be_read_again_is_refused(rows: int, bound: str) -> None:
    frame = pl.DataFrame({"a": range(rows)})
    with pytest.raises(UsageError, match=bound):
        checked_frame(frame, limits=replace(DEFAULT_LIMITS, **{bound: 2}), where="here")


@pytest.mark.parametrize("rows", [3, 300])
def test_a_batch_that_fits_is_read_as_it_was(rows: int) -> None:
    frame = pl.DataFrame({"a": range(rows), "text": ["é"] * rows})
    payload = checked_frame(frame, limits=DEFAULT_LIMITS, where="here")
    assert decode_frame(payload).equals(frame)
