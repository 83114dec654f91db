"""Every row of docs/bad-input.md, played from a file through its reader and the contract."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sense.bad_input_files import (
    BASE,
    HEADER,
    LIMITS,
    ROWS,
    Case,
    admitted,
    csv,
    damaged_group,
    empty_parquet,
    extra_field,
    good_row,
    gzipped,
    json_line,
    json_row,
    lines,
    lying_npz,
    npz,
    numbers,
    one_bad,
    parquet_with_unit,
    raw_line,
    typed,
)
from sightline import errors
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, RECEIVED_NS, ROW
from sightline.sense import Contract, admit, load_contract, open_source

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
ADMITTED = "admitted"
RECEIVED = int(dt.datetime(2024, 1, 1, 0, 1, tzinfo=dt.UTC).timestamp()) * 10**9
REQUIRED_ZONE = {"event_time": {"column": "time", "time_zone": "required"}}
SMALL = np.arange(8.0).reshape(4, 2)
WIDE_TEXT = "x" * 300
LATE_LINES = "".join(json.dumps(good_row(1)) + "\n" for _ in range(2000))
PACKED = gzip.compress(lines(*(ROWS * 2000)))

CASES: dict[str, Callable[[], Case]] = {
    "text-in-number": lambda: one_bad(snr_db="high"),
    "number-with-unit": lambda: one_bad(snr_db="12 dB"),
    "number-with-blanks": lambda: one_bad(snr_db=" 12"),
    "decimal-comma": lambda: csv(
        lines(
            *(r.replace(",", ";") for r in ROWS),
            "sat-001;2024-01-01T00:00:05Z;5;1,5",
            header=HEADER.replace(",", ";"),
        ),
        good=3,
    ),
    "typed-list": lambda: typed(0, 3, snr_db=[[1.0], [2.0], [3.0]]),
    "typed-boolean": lambda: typed(0, 3, snr_db=[True, False, True]),
    "integer-with-fraction": lambda: one_bad(
        count="1.5", contract=extra_field("count", type="integer", unit="1", required=False)
    ),
    "integer-too-large": lambda: one_bad(
        count=str(2**53),
        contract=extra_field("count", type="integer", unit="1", required=False),
    ),
    "not-a-boolean": lambda: one_bad(
        valid="yes", contract=extra_field("valid", type="boolean", required=False)
    ),
    "null-required": lambda: one_bad(snr_db=""),
    "null-optional": lambda: one_bad(snr_db="", contract=numbers(required=False), bad=0),
    "missing-column": lambda: csv(
        lines("sat-001,2024-01-01T00:00:00Z,0", header="satellite,time,sequence"), good=0
    ),
    "missing-optional-column": lambda: admitted(
        lines("sat-001,2024-01-01T00:00:00Z,0", header="satellite,time,sequence"),
        good=1,
        **numbers(required=False),
    ),
    "extra-column-refused": lambda: one_bad(
        note="new", contract={"extra_columns": "refuse"}, bad=3
    ),
    "extra-column-ignored": lambda: one_bad(note="new", bad=0),
    "unit-in-header": lambda: csv(
        lines(*ROWS, header=HEADER.replace("snr_db", "snr_db [V]")), good=0, bad=3
    ),
    "unit-in-header-agrees": lambda: admitted(
        lines(*ROWS, header=HEADER.replace("snr_db", "snr_db [dB]"))
    ),
    "unit-in-parquet-metadata": lambda: parquet_with_unit(b"V"),
    "unit-in-column": lambda: csv(
        lines(
            *(r + u for r, u in zip(ROWS, (",dB", ",V", ",dB"), strict=True)),
            header=HEADER + ",unit",
        ),
        **numbers(unit_column="unit"),
    ),
    "unit-column-empty": lambda: csv(
        lines(
            *(r + u for r, u in zip(ROWS, (",dB", ",", ",dB"), strict=True)),
            header=HEADER + ",unit",
        ),
        **numbers(unit_column="unit"),
    ),
    "nan-refused": lambda: one_bad(snr_db="NaN", contract=numbers(nan="refuse")),
    "nan-kept": lambda: one_bad(snr_db="NaN", bad=0),
    "infinite": lambda: one_bad(snr_db="inf"),
    "number-overflow": lambda: one_bad(snr_db="1e400"),
    "below-range": lambda: one_bad(snr_db="-10.001"),
    "above-range": lambda: one_bad(snr_db="40.001"),
    "not-allowed": lambda: one_bad(
        mode="party",
        contract=extra_field("mode", type="text", required=False, allowed=["nominal"]),
    ),
    "unknown-key": lambda: one_bad(satellite="sat-999", contract={"known_keys": ["sat-001"]}),
    "empty-key": lambda: one_bad(satellite=""),
    "fractional-key": lambda: typed(0, 3, satellite=[1.5, 2.5, 3.5]),
    "separator-in-key": lambda: csv(
        lines(
            *(r + p for r, p in zip(ROWS, (",p", ",p/q", ",p"), strict=True)),
            header=HEADER + ",part",
        ),
        key=["satellite", "part"],
    ),
    "empty-group": lambda: csv(
        lines(
            *(r + g for r, g in zip(ROWS, (",eu", ",", ",eu"), strict=True)),
            header=HEADER + ",region",
        ),
        group="region",
    ),
    "time-unreadable": lambda: one_bad(time="yesterday"),
    "time-empty": lambda: one_bad(time=""),
    "time-wrong-format": lambda: one_bad(time="1704067200"),
    "time-impossible-day": lambda: one_bad(time="2024-02-30T00:00:00Z"),
    "time-zones-mixed": lambda: csv(
        lines(
            ROWS[0],
            "sat-001,2024-01-01T02:00:01+02:00,1,12.5",
            "sat-001,2024-01-01 00:00:02,2,12.5",
        ),
        good=3,
        bad=0,
    ),
    "time-zone-missing": lambda: one_bad(time="2024-01-01T00:00:01", contract=REQUIRED_ZONE),
    "typed-time-zone-missing": lambda: typed(
        0,
        3,
        contract=REQUIRED_ZONE,
        time=[dt.datetime(2000, 1, 1)] * 3,
    ),
    "time-before-earliest": lambda: one_bad(time="1989-12-31T23:59:59Z"),
    "time-year-9999": lambda: one_bad(time="9999-12-31T23:59:59Z"),
    "time-from-the-future": lambda: one_bad(time="2024-01-01T00:01:03Z"),
    "sequence-negative": lambda: one_bad(sequence="-1"),
    "sequence-unreadable": lambda: one_bad(sequence="first"),
    "sequence-empty": lambda: one_bad(sequence=""),
    "sequence-overflow": lambda: one_bad(sequence=str(2**63)),
    "sequence-repeated": lambda: one_bad(sequence="0", bad=0),
    "fields-too-few": lambda: raw_line("sat-001,2024-01-01T00:00:01Z,1"),
    "fields-too-many": lambda: raw_line(ROWS[1] + ",7"),
    "quote-left-open": lambda: raw_line('"sat-001,2024-01-01T00:00:01Z,1,12.5'),
    "line-break-in-quotes": lambda: admitted(
        lines(ROWS[0], '"sat\n001",2024-01-01T00:00:01Z,1,12.5', ROWS[2]), good=3
    ),
    "stray-quotes-of-two-rows": lambda: raw_line(
        'sat-001,2024-01-01T00:00:01Z,1,"12.5\nsat-001,2024-01-01T00:00:01Z,1,12.5"', bad=2
    ),
    "quoted-separator": lambda: admitted(
        lines(*ROWS[:2], '"a ""b"", c",2024-01-01T00:00:02Z,2,12.5')
    ),
    "line-too-long": lambda: raw_line(ROWS[1] + WIDE_TEXT),
    "not-utf8": lambda: raw_line(b"sat-\xff,2024-01-01T00:00:01Z,1,12.5"),
    "byte-order-mark": lambda: admitted(b"\xef\xbb\xbf" + lines(*ROWS)),
    "carriage-returns": lambda: admitted(lines(*ROWS, end="\r\n")),
    "blank-lines": lambda: admitted(lines("", ROWS[0], "", "", *ROWS[1:])),
    "no-last-line-end": lambda: admitted(lines(*ROWS).rstrip(b"\n")),
    "json-broken": lambda: json_line('{"satellite": "sat-001", '),
    "json-bare-nan": lambda: json_line(json.dumps(good_row(1) | {"snr_db": float("nan")})),
    "json-not-an-object": lambda: json_line("[1, 2]"),
    "json-two-objects": lambda: json_line(json.dumps(good_row(1)) * 2),
    "json-twice-a-field": lambda: json_line(json.dumps(good_row(1))[:-1] + ', "snr_db": 1.0}'),
    "json-nested": lambda: json_row(snr_db={"value": 12.5}),
    "json-nested-key": lambda: json_row(satellite={"id": "sat-001"}),
    "json-mixed-types": lambda: json_row(snr_db=12.5, sequence=1, bad=0),
    "json-late-field": lambda: Case(
        file="a.jsonl",
        content=(LATE_LINES + json.dumps(good_row(1, mode="safe")) + "\n").encode(),
        good=2001,
        bad=0,
        contract=BASE | extra_field("mode", type="text", required=False),
    ),
    "empty-file": lambda: csv(b"", good=0),
    "header-only": lambda: csv(lines(), good=0),
    "header-twice-a-column": lambda: csv(lines(*ROWS, header="satellite,time,time,snr_db"), good=0),
    "header-reserved-column": lambda: csv(
        lines(*ROWS, header="satellite,time,_row,snr_db"), good=0
    ),
    "header-not-utf8": lambda: csv((HEADER + ",gr\xf6\xdfe\n" + ROWS[0]).encode("cp1252"), good=0),
    "header-below-others": lambda: admitted(lines("", HEADER, *ROWS, header="# a comment")),
    "column-without-name": lambda: admitted(
        lines(*(f"{n},{row}" for n, row in enumerate(ROWS)), header=f",{HEADER}")
    ),
    "empty-fields-behind": lambda: admitted(lines(*(f"{row},," for row in ROWS))),
    "utf-16": lambda: admitted(lines(*ROWS).decode().encode("utf-16")),
    "lines-end-in-cr": lambda: admitted(lines(*ROWS, end="\r")),
    "parquet-empty": lambda: Case(file="a.parquet", content=empty_parquet(), good=0, bad=1),
    "parquet-truncated": lambda: Case(
        file="a.parquet", content=typed(3, 0).content[:-20], good=0, bad=1
    ),
    "parquet-damaged-group": damaged_group,
    "not-parquet": lambda: Case(file="a.parquet", content=lines(*ROWS), good=0, bad=1),
    "gzip-truncated": lambda: gzipped(PACKED[: len(PACKED) // 2], good=-1, bad=1),
    "gzip-damaged": lambda: gzipped(PACKED[:-8] + bytes(8), good=6000, bad=1),
    "not-gzip": lambda: gzipped(lines(*ROWS), good=0, bad=1),
    "npz-truncated": lambda: npz(0, 1, npz(0, 0, train=SMALL, test=SMALL).content[:-30]),
    "npz-pickled": lambda: npz(0, 1, train=np.array([[{}, {}]], dtype=object), test=SMALL),
    "npz-missing-array": lambda: npz(4, 1, train=SMALL),
    "npz-wrong-shape": lambda: npz(0, 1, train=np.arange(4.0), test=SMALL),
    "npz-too-large": lambda: npz(0, 1, train=np.zeros((10_000, 2)), test=SMALL),
    "npz-lying-header": lying_npz,
}


def table(title: str) -> dict[str, str]:
    """Case to result, from the table under ``title``."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    found: dict[str, str] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            name, _, result = (cell.strip() for cell in line.strip("|").split(" | "))
            assert name.strip("`") not in found
            found[name.strip("`")] = result
    return found


ROW_TABLE = table("What becomes of a row")
ERROR_TABLE = table("What stops a run before it starts")


def test_the_page_and_the_cases_name_the_same_things() -> None:
    assert list(ROW_TABLE) == list(CASES)
    assert list(ERROR_TABLE) == list(ERRORS)


def test_every_result_on_the_page_is_a_reason_or_admitted() -> None:
    assert set(ROW_TABLE.values()) <= {*RefusalReason, ADMITTED}


@pytest.mark.parametrize("name", ROW_TABLE)
def test_bad_input_ends_as_the_page_says(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    path = tmp_path / case.file
    path.write_bytes(case.content)
    contract = Contract.model_validate(case.contract)
    source = open_source("s", str(path), contract, limits=LIMITS)
    refused: list[pl.DataFrame] = []
    signals: list[pl.DataFrame] = []
    rows = 0
    for stream in source.streams():
        for chunk in stream.chunks():
            refused.append(chunk.rejected)
            rows += chunk.rejected.height + chunk.frame.height
            if chunk.frame.height:
                raw = chunk.frame.with_columns(pl.lit(RECEIVED, dtype=pl.Int64).alias(RECEIVED_NS))
                admission = admit(contract, raw, limits=LIMITS)
                signals.append(admission.signals)
                refused.append(admission.refused)
    told = pl.concat(refused)
    good = sum(frame.height for frame in signals)
    expected = [] if ROW_TABLE[name] == ADMITTED else [ROW_TABLE[name]] * case.bad
    assert told["reason"].to_list() == expected, told.rows()
    assert good + told.height == rows
    assert good == case.good if case.good >= 0 else 0 < good < 6000
    assert (told["detail"].str.len_chars() > 0).all()
    places = pl.concat([f.select(ORIGIN, ROW) for f in (*signals, told)])
    assert places.is_unique().all()


# --- errors ------------------------------------------------------------------------------------


def source_error(make: Callable[[Path], Path], contract: dict[str, Any] = BASE) -> Any:
    def run(folder: Path) -> None:
        location = make(folder)
        open_source("s", str(location), Contract.model_validate(contract), limits=LIMITS)

    return run


def six_files(folder: Path) -> Path:
    for i in range(6):
        (folder / f"{i}.csv").write_bytes(lines(*ROWS))
    return folder


def one_file(folder: Path, name: str) -> Path:
    (folder / name).write_bytes(b"x")
    return folder / name


def contract_file(text: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        path = folder / "c.yaml"
        path.write_text(text, encoding="utf-8")
        load_contract(path)

    return run


MINIMAL = """
contract: demo
key: [satellite]
event_time: {column: time}
fields: {snr_db: {type: number, unit: dB}}
"""

ERRORS: dict[str, Callable[[Path], object]] = {
    "missing-path": source_error(lambda folder: folder / "nowhere"),
    "no-readable-file": source_error(lambda folder: one_file(folder, "a.txt").parent),
    "too-many-files": source_error(six_files),
    "archive-not-described": source_error(lambda folder: one_file(folder, "a.npz")),
    "stdin-not-given": source_error(lambda _: Path("-")),
    "contract-unknown-field": contract_file(MINIMAL + "gruop: region\n"),
    "contract-twice-a-key": contract_file(MINIMAL + "contract: again\n"),
    "contract-no-unit": contract_file(MINIMAL.replace(", unit: dB", "")),
    "contract-duplicate-key-too-narrow": contract_file(MINIMAL + "duplicate_key: [satellite]\n"),
}


@pytest.mark.parametrize("name", ERROR_TABLE)
def test_what_cannot_run_is_the_error_the_page_says(name: str, tmp_path: Path) -> None:
    with pytest.raises(getattr(errors, ERROR_TABLE[name])) as caught:
        ERRORS[name](tmp_path)
    assert type(caught.value).__name__ == ERROR_TABLE[name]
    assert "expected" in str(caught.value)
