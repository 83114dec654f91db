"""Small files with one defect each, and the contracts that they are read under."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from sightline.limits import Limits

LIMITS = Limits(max_line_bytes=200, max_file_bytes_in_memory=1 << 16, max_files=5)

BASE: dict[str, Any] = {
    "contract": "telemetry",
    "key": ["satellite"],
    "event_time": {"column": "time", "earliest": "1990-01-01T00:00:00Z"},
    "sequence": {"column": "sequence"},
    "fields": {"snr_db": {"type": "number", "unit": "dB", "range": [-10, 40]}},
    "timing": {"clock_skew_s": 2},
}
ARCHIVE: dict[str, Any] = {
    "contract": "archive",
    "key": ["channel"],
    "event_time": {"assumed": {"period_s": 60, "start": "2015-01-01T00:00:00Z"}},
    "fields": {"value": {"type": "number", "unit": "1"}},
    "archive": {
        "arrays": ["train", "test"],
        "columns": {"value": 0},
        "stem_column": "channel",
    },
}
HEADER = "satellite,time,sequence,snr_db"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, and how many of its rows are good and bad (a file that fails counts as one)."""

    file: str
    content: bytes
    good: int
    bad: int
    contract: dict[str, Any] = field(default_factory=lambda: BASE)


def good_row(n: int = 0, **changes: str) -> dict[str, str]:
    row = {
        "satellite": "sat-001",
        "time": f"2024-01-01T00:00:{n:02}Z",
        "sequence": str(n),
        "snr_db": "12.5",
    }
    return row | changes


def lines(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return "".join(line + end for line in (header, *rows)).encode()


def csv(content: bytes, *, good: int = 2, bad: int = 1, **changes: Any) -> Case:
    return Case(file="a.csv", content=content, good=good, bad=bad, contract=BASE | changes)


def one_bad(*, bad: int = 1, contract: dict[str, Any] | None = None, **changes: str) -> Case:
    """Three rows of a CSV file; the one in the middle differs in ``changes``."""
    rows = [good_row(0), good_row(1, **changes), good_row(2)]
    names = dict.fromkeys(n for row in rows for n in row)
    content = lines(*(",".join(r.get(n, "") for n in names) for r in rows), header=",".join(names))
    return csv(content, good=3 - bad, bad=bad, **(contract or {}))


def admitted(content: bytes, *, good: int = 3, **changes: Any) -> Case:
    return csv(content, good=good, bad=0, **changes)


ROWS = [",".join(good_row(n).values()) for n in range(3)]


def raw_line(line: str | bytes, *, bad: int = 1) -> Case:
    text = line.encode() if isinstance(line, str) else line
    first, last = (r.encode() + b"\n" for r in (ROWS[0], ROWS[2]))
    return csv(HEADER.encode() + b"\n" + first + text + b"\n" + last, bad=bad)


def json_line(line: str, *, bad: int = 1, contract: dict[str, Any] | None = None) -> Case:
    rows = [json.dumps(good_row(0)), line, json.dumps(good_row(2))]
    content = "".join(r + "\n" for r in rows).encode()
    return Case(
        file="a.jsonl", content=content, good=3 - bad, bad=bad, contract=BASE | (contract or {})
    )


def json_row(*, bad: int = 1, **changes: object) -> Case:
    return json_line(json.dumps(good_row(1) | changes), bad=bad)


def typed(good: int, bad: int, contract: dict[str, Any] | None = None, **columns: Any) -> Case:
    frame = pl.DataFrame(
        {
            "satellite": ["sat-001"] * 3,
            "time": pl.Series([10**15] * 3).cast(pl.Datetime("us", "UTC")),
            "sequence": [0, 1, 2],
            "snr_db": [1.0, 2.0, 3.0],
        }
    ).with_columns(**{n: pl.Series(v) for n, v in columns.items()})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return Case(
        file="a.parquet",
        content=buffer.getvalue(),
        good=good,
        bad=bad,
        contract=BASE | (contract or {}),
    )


def parquet_with_unit(unit: bytes) -> Case:
    table = pl.read_parquet(io.BytesIO(typed(3, 0).content)).to_arrow()
    at = table.schema.get_field_index("snr_db")
    schema = table.schema.set(at, table.schema.field(at).with_metadata({b"unit": unit}))
    buffer = io.BytesIO()
    pq.write_table(table.cast(schema), buffer)
    return Case(file="a.parquet", content=buffer.getvalue(), good=0, bad=3)


def damaged_group() -> Case:
    """Three row groups of one row; the values of the one in the middle are overwritten."""
    table = pl.read_parquet(io.BytesIO(typed(3, 0).content)).to_arrow()
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=1, write_page_checksum=True)
    content = bytearray(buffer.getvalue())
    column = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(3)
    first = column.dictionary_page_offset or column.data_page_offset
    content[first : first + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    return Case(file="a.parquet", content=bytes(content), good=2, bad=1)


def npz(good: int, bad: int, content: bytes | None = None, **arrays: Any) -> Case:
    if content is None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()
    return Case(file="A-1.npz", content=content, good=good, bad=bad, contract=ARCHIVE)


def lying_npz() -> Case:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 2)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train.npy", header.getvalue())
    return npz(0, 1, buffer.getvalue())


def gzipped(content: bytes, *, good: int, bad: int) -> Case:
    return Case(file="a.csv.gz", content=content, good=good, bad=bad)


def numbers(**changes: Any) -> dict[str, Any]:
    return {"fields": {"snr_db": {"type": "number", "unit": "dB"} | changes}}


def extra_field(name: str, **form: Any) -> dict[str, Any]:
    return {"fields": BASE["fields"] | {name: form}}


def empty_parquet() -> bytes:
    buffer = io.BytesIO()
    pl.read_parquet(io.BytesIO(typed(3, 0).content)).head(0).write_parquet(buffer)
    return buffer.getvalue()
