from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.sense import Contract, admit, feed_again_frame, refuse
from sightline.sense.refused_rows import is_recoverable, rejected

CONTRACT: dict[str, Any] = {
    "contract": "telemetry",
    "key": ["satellite"],
    "event_time": {"column": "time"},
    "fields": {"snr_db": {"type": "number", "unit": "dB", "range": [0, 10]}},
}
MENDED = CONTRACT | {"fields": {"snr_db": {"type": "number", "unit": "dB", "range": [0, 100]}}}


def rows(snr_db: list[Any], note: str = "") -> pl.DataFrame:
    n = len(snr_db)
    return pl.DataFrame(
        {
            "satellite": ["sat-001"] * n,
            "time": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * n,
            "snr_db": snr_db,
            "note": [note] * n,
            "_origin": ["a.parquet"] * n,
            "_row": list(range(5, 5 + n)),
            "_received_ns": [2 * 10**18] * n,
        }
    )


def test_a_refused_row_is_admitted_under_a_mended_contract() -> None:
    refused = admit(Contract.model_validate(CONTRACT), rows([50.0, 5.0])).refused
    again = admit(Contract.model_validate(MENDED), feed_again_frame(refused))
    direct = admit(Contract.model_validate(MENDED), rows([50.0])).signals
    assert again.signals.equals(direct)
    assert again.refused.height == 0


def test_a_cut_copy_is_not_recoverable() -> None:
    limits = Limits(max_raw_chars=60)
    raw = pl.concat([rows([50.0], note="x" * 100), rows([51.0])])
    refused = refuse(raw, reason=RefusalReason.RANGE, field="", detail="d", limits=limits)
    assert refused["raw"].str.len_chars().max() == 60
    assert is_recoverable(refused).to_list() == [False, False]
    whole = refuse(raw, reason=RefusalReason.RANGE, field="", detail="d")
    assert is_recoverable(whole).to_list() == [True, True]


def test_an_unreadable_line_is_not_recoverable_even_if_it_looks_like_json() -> None:
    line = rejected(
        origin="a", rows=[3], reason=RefusalReason.LINE_UNREADABLE, detail="d", raw=["{x}"]
    )
    assert is_recoverable(line).to_list() == [False]
    assert feed_again_frame(line).height == 0


def test_rows_of_different_layouts_can_be_fed_in_again_together() -> None:
    one = pl.DataFrame({"x": [1], "_origin": ["a"], "_row": [0]})
    other = pl.DataFrame({"y": ['q"},{:é\n'], "_origin": ["b"], "_row": [1]})
    refused = pl.concat(
        refuse(f, reason=RefusalReason.SCHEMA, field="", detail="d") for f in (one, other)
    )
    assert feed_again_frame(refused).sort("_row").rows(named=True) == [
        {"x": "1", "y": None, "_origin": "a", "_row": 0},
        {"x": None, "y": 'q"},{:é\n', "_origin": "b", "_row": 1},
    ]


def test_types_that_json_does_not_have_are_written_as_text() -> None:
    raw = pl.DataFrame(
        {
            "bytes": [b"\xff"],
            "nested_bytes": [[b"\xff"]],
            "span": [dt.timedelta(seconds=90)],
            "number": [float("-inf")],
            "_origin": ["a"],
            "_row": [0],
        }
    )
    refused = refuse(raw, reason=RefusalReason.SCHEMA, field="", detail="d")
    assert refused["raw"][0] == (
        '{"bytes":"ff","nested_bytes":"<List(Binary)>","span":"PT1M30S","number":"-inf"}'
    )
