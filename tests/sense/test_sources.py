from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import QUARANTINE_SCHEMA
from sightline.sense import Contract, MemorySource, open_source
from sightline.sense.arrival import epochs
from sightline.sense.files import read_table
from sightline.sense.source import Chunk, Source

PLAIN: dict[str, Any] = {
    "contract": "telemetry",
    "key": ["k"],
    "event_time": {"column": "t"},
    "fields": {"x": {"type": "number", "unit": "1"}},
}
ARCHIVE = PLAIN | {
    "key": ["channel"],
    "event_time": {"assumed": {"period_s": 60, "start": "2015-01-01T00:00:00Z"}},
    "archive": {
        "arrays": ["train", "test"],
        "columns": {"x": 1},
        "stem_column": "channel",
        "array_column": "split",
    },
}


def opened(path: Path, limits: Limits = DEFAULT_LIMITS, **changes: Any) -> Source:
    return open_source("s", str(path), Contract.model_validate(PLAIN | changes), limits=limits)


def chunks(source: Source) -> list[Chunk]:
    return [chunk for stream in source.streams() for chunk in stream.chunks()]


def arriving(source: Source, contract: Contract) -> pl.DataFrame:
    taken = epochs([(source, contract)], tick_ns=10**18)
    return pl.concat([rows for epoch in taken for _, rows in epoch.batches])


def frame(source: Source) -> pl.DataFrame:
    return pl.concat([chunk.frame for chunk in chunks(source) if chunk.frame.height])


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- places ------------------------------------------------------------------------------------


def test_a_directory_is_read_recursively_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.jsonl", "a/b.csv"):
        write(tmp_path / name, "k,t,x\n")
    origins = [stream.origin for stream in opened(tmp_path).streams()]
    assert origins == ["a/b.csv", "a/z.jsonl", "b.csv"]


def test_files_that_no_reader_takes_are_listed(tmp_path: Path) -> None:
    for name in ("b.csv", "README.md", "labels.txt", "a.npz"):
        write(tmp_path / name, "x")
    assert opened(tmp_path).ignored == ("README.md", "a.npz", "labels.txt")


def test_with_an_archive_in_the_contract_only_archives_are_read(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", "k\n")
    np.savez(tmp_path / "A-1.npz", train=np.zeros((1, 2)), test=np.zeros((1, 2)))
    source = opened(tmp_path, **ARCHIVE)
    assert [stream.origin for stream in source.streams()] == ["A-1.npz"]
    assert source.ignored == ("labels.csv",)


def test_a_file_can_be_read_again(tmp_path: Path) -> None:
    (stream,) = opened(write(tmp_path / "a.csv", "k,t,x\na,b,1\n")).streams()
    first = [chunk.frame for chunk in stream.chunks()]
    assert [chunk.frame.rows() for chunk in stream.chunks()] == [f.rows() for f in first]


def test_the_fingerprint_is_size_and_digest_of_the_content(tmp_path: Path) -> None:
    content = b"k,t,x\na,b,1\n"
    source = opened(write(tmp_path / "a.csv", content))
    digest = hashlib.sha256(content).hexdigest()
    assert source.fingerprint() == [{"origin": "a.csv", "bytes": len(content), "sha256": digest}]


def test_the_path_can_become_a_column(tmp_path: Path) -> None:
    write(tmp_path / "valve1" / "0.csv.gz", gzip.compress(b"t,x\nb,1\n"))
    contract = Contract.model_validate({**PLAIN, "key": ["run"], "origin_column": "run"})
    source = open_source("s", str(tmp_path), contract)
    assert arriving(source, contract)["run"].to_list() == ["valve1/0"]


# --- CSV ---------------------------------------------------------------------------------------


def test_csv_columns_are_text_and_empty_fields_null(tmp_path: Path) -> None:
    got = frame(opened(write(tmp_path / "a.csv", 'k,t,x\n007,,1.50\n"",2, 3\n')))
    assert got.rows() == [("007", None, "1.50", "a.csv", 0), ("", "2", " 3", "a.csv", 1)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_header_tells_the_separator(tmp_path: Path, separator: str) -> None:
    text = "k,t,x\na,b,1\n".replace(",", separator)
    assert frame(opened(write(tmp_path / "a.csv", text))).row(0)[:3] == ("a", "b", "1")


def test_chunks_are_bounded_and_row_numbers_go_on(tmp_path: Path) -> None:
    text = "k,t,x\n" + "".join(f"a,b,{i}\n" for i in range(10))
    got = chunks(opened(write(tmp_path / "a.csv", text), Limits(chunk_rows=4)))
    assert max(chunk.frame.height for chunk in got) <= 4
    assert [n for chunk in got for n in chunk.frame["_row"]] == list(range(10))


def test_a_line_longer_than_a_whole_block_is_skipped_alone(tmp_path: Path) -> None:
    limits = Limits(max_line_bytes=64)
    text = "k,t,x\na,b,1\n" + "y" * 5000 + "\na,b,2\n"
    got = chunks(opened(write(tmp_path / "a.csv", text), limits))
    assert [x for c in got if c.frame.height for x in c.frame["x"]] == ["1", "2"]
    told = pl.concat([c.rejected for c in got])
    assert told.select("_row", "reason").rows() == [(1, "LINE_TOO_LONG")]


def test_a_misplaced_quote_loses_only_its_line(tmp_path: Path) -> None:
    text = 'k,t,x\na,b,1\na"b,c",2\n"a"b,c,3\n"a",b,4\n'
    (got,) = chunks(opened(write(tmp_path / "a.csv", text)))
    assert got.frame["x"].to_list() == ["1", "4"]
    assert got.rejected["_row"].to_list() == [1, 2]
    assert got.rejected["raw"].to_list() == ['a"b,c",2', '"a"b,c,3']


# --- JSON lines --------------------------------------------------------------------------------


def test_json_values_become_text(tmp_path: Path) -> None:
    text = '{"k": 7, "t": null, "x": 2.50}\n{"k": "a", "t": true, "x": "high"}\n'
    got = frame(opened(write(tmp_path / "a.jsonl", text)))
    assert got.select("k", "t", "x").rows() == [("7", None, "2.5"), ("a", "true", "high")]


def test_a_text_that_looks_like_json_is_a_text(tmp_path: Path) -> None:
    text = json.dumps({"k": "[a]", "t": "{b}", "x": 1}) + "\n"
    (got,) = chunks(opened(write(tmp_path / "a.jsonl", text)))
    assert got.frame.select("k", "t").rows() == [("[a]", "{b}")]
    assert got.rejected.height == 0


def test_a_nested_value_is_told_with_its_field_and_line(tmp_path: Path) -> None:
    text = '{"k": "a", "t": "b", "x": 1}\n{"k": ["a"], "t": "b", "x": 2}\nbroken\n'
    (got,) = chunks(opened(write(tmp_path / "a.jsonl", text)))
    assert got.frame["x"].to_list() == ["1"]
    assert got.rejected.select("_row", "reason", "field").rows() == [
        (1, "SCHEMA", "k"),
        (2, "LINE_UNREADABLE", ""),
    ]


def test_what_is_in_an_object_is_a_column_named_with_points(tmp_path: Path) -> None:
    lines = [{"k": "a", "in": {"bus": {"x": 1.5}, "y": "up"}}, {"k": "b", "in": {"y": "down"}}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (got,) = read_table(write(tmp_path / "a.jsonl", text), origin="a.jsonl", limits=DEFAULT_LIMITS)
    assert got.frame.select("k", "in.bus.x", "in.y").rows() == [
        ("a", "1.5", "up"),
        ("b", None, "down"),
    ]


def test_a_name_with_a_point_is_that_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"bus.x": 1, "k": "a"}\n')
    (got,) = read_table(path, origin="a.jsonl", limits=DEFAULT_LIMITS)
    assert got.frame["bus.x"].to_list() == ["1"]


def test_an_extra_name_is_seen_anywhere_when_the_contract_refuses_extra_names(
    tmp_path: Path,
) -> None:
    text = '{"k": "a", "t": "b", "x": 1}\n' * 3000 + '{"k": "a", "t": "b", "x": 1, "new": 1}\n'
    path = write(tmp_path / "a.jsonl", text)
    assert "new" in frame(opened(path, extra_columns="refuse")).columns
    assert "new" not in frame(opened(path)).columns


class Trickle(io.BytesIO):
    """Gives a few bytes at a time, as a pipe does."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(40)


def test_standard_input_hands_lines_on_as_they_come() -> None:
    stream = Trickle(b'{"k": "a", "t": "b", "x": 1}\n' * 3)
    source = open_source("s", "-", Contract.model_validate(PLAIN), stdin=stream)
    got = chunks(source)
    assert len(got) > 1
    assert [n for c in got if c.frame.height for n in c.frame["_row"]] == [0, 1, 2]
    assert (source.durable, source.fingerprint()) == (False, [])


def test_standard_input_may_be_csv_with_a_header() -> None:
    stream = Trickle(b"k;t;x;note\n" + b"a;2026-01-01T00:00:00Z;1;as it comes\n" * 3)
    got = chunks(open_source("s", "-", Contract.model_validate(PLAIN), stdin=stream))
    assert [n for c in got if c.frame.height for n in c.frame["_row"]] == [0, 1, 2]
    assert sum(c.rejected.height for c in got) == 0


def test_rows_of_standard_input_have_the_column_that_tells_where_they_are_from() -> None:
    stream = Trickle(b"k;t;x\n" + b"a;2026-01-01T00:00:00Z;1\n" * 3)
    contract = Contract.model_validate({**PLAIN, "origin_column": "file"})
    source = open_source("s", "-", contract, stdin=stream)
    assert arriving(source, contract)["file"].to_list() == ["stdin"] * 3


def test_standard_input_of_neither_form_is_refused_line_by_line() -> None:
    stream = Trickle(b"no header, and no JSON\n" * 3)
    got = chunks(open_source("s", "-", Contract.model_validate(PLAIN), stdin=stream))
    assert [r for c in got for r in c.rejected["reason"]] == ["LINE_UNREADABLE"] * 3


# --- Parquet and NumPy archives ------------------------------------------------------------------


def test_parquet_keeps_types_and_counts_rows_over_groups(tmp_path: Path) -> None:
    data = pl.DataFrame({"k": pl.Series(["a"] * 5, dtype=pl.Categorical), "x": [1.5] * 5})
    data.write_parquet(tmp_path / "a.parquet", row_group_size=2)
    got = frame(opened(tmp_path / "a.parquet", Limits(chunk_rows=2)))
    assert got["_row"].to_list() == [0, 1, 2, 3, 4]
    assert (got.schema["k"], got.schema["x"]) == (pl.String, pl.Float64)


def test_arrays_of_an_archive_follow_each_other(tmp_path: Path) -> None:
    train, test = np.arange(6.0).reshape(3, 2), np.arange(4, dtype=np.int16).reshape(2, 2)
    np.savez_compressed(tmp_path / "T-1.npz", train=train, test=test)
    got = frame(opened(tmp_path / "T-1.npz", Limits(chunk_rows=2), **ARCHIVE))
    assert got["x"].to_list() == [1.0, 3.0, 5.0, 1.0, 3.0]
    assert got["_row"].to_list() == [0, 1, 2, 3, 4]
    assert got["split"].to_list() == ["train"] * 3 + ["test"] * 2
    assert got["channel"].unique().to_list() == ["T-1"]


# --- memory --------------------------------------------------------------------------------------


def test_a_memory_source_plays_frames_as_streams() -> None:
    source = MemorySource(
        "m",
        {"b": pl.DataFrame({"x": [1, 2, 3]}), "a": pl.DataFrame({"x": [4], "_row": [9]})},
        limits=Limits(chunk_rows=2),
    )
    assert [stream.origin for stream in source.streams()] == ["b", "a"]
    assert [c.frame["_row"].to_list() for c in chunks(source)] == [[0, 1], [2], [9]]
    assert len({f["sha256"] for f in source.fingerprint()}) == 2


def test_a_memory_source_refuses_reserved_columns() -> None:
    with pytest.raises(SourceError, match="_received_ns"):
        MemorySource("m", {"a": pl.DataFrame({"_received_ns": [1]})})


# --- no line is ever lost ------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(b"a", b",", b'"', b"\n", b"\n", b"\r\n", b"\r", b" ", b"#", b"\x00"),
        *(b"\xff", b"\xe2\x82", "é".encode(), b"y" * 30),
        *(b"1,2,3\n", b'"a,b",c,d\n', b'{"k":1}\n', b"{", b"}", b"[1]\n"),
    ]
)
SMALL = Limits(max_line_bytes=24, chunk_rows=3)
SMALL_BLOCKS = Limits(chunk_rows=3)


def accounted(path: Path) -> tuple[list[int], list[Chunk]]:
    got = chunks(opened(path, SMALL))
    placed = [row for c in got for f in (c.frame, c.rejected) if f.height for row in f["_row"]]
    assert all(dict(c.rejected.schema) == QUARANTINE_SCHEMA for c in got)
    return sorted(placed), got


def lines_of(content: bytes) -> int:
    if b"\n" not in content:  # then lines end in CR alone
        content = content.replace(b"\r", b"\n")
    whole = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return sum(1 for line in whole if line)


@settings(
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(body=st.lists(PIECES, max_size=60).map(b"".join))
def test_every_line_of_any_csv_file_is_a_row_or_rejected(tmp_path: Path, body: bytes) -> None:
    content = b"k,t,x\n" + body
    rows = lines_of(content) - 1
    placed, got = accounted(write(tmp_path / "a.csv", content))
    # A row may have more lines than its first: as many as it has line breaks.
    for row in (row for c in got for row in c.frame.iter_rows(named=True)):
        further = sum((row[name] or "").count("\n") for name in "ktx")
        placed += range(row["_row"] + 1, row["_row"] + 1 + further)
    assert sorted(placed) == (list(range(rows)) if rows else [-1])


@settings(
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(body=st.lists(PIECES, max_size=60).map(b"".join))
def test_every_line_of_any_json_lines_file_is_a_row_or_rejected(
    tmp_path: Path, body: bytes
) -> None:
    rows = lines_of(body)
    placed, _ = accounted(write(tmp_path / "a.jsonl", body))
    assert placed == (list(range(rows)) if rows else [-1])


@settings(
    max_examples=50,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=4),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=20,
    )
)
def test_fields_come_back_as_the_standard_library_wrote_them(
    tmp_path: Path, rows: list[list[str]]
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerows([["k", "t", "x"], *rows])
    got = frame(opened(write(tmp_path / "a.csv", buffer.getvalue())))
    assert [list(row) for row in got.select("k", "t", "x").rows()] == rows


NOTES = st.lists(
    st.text(st.characters(categories=["L", "P", "Zs"], exclude_characters=","), min_size=1),
    min_size=1,
    max_size=4,
).map("\n".join)


@settings(
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(notes=st.lists(NOTES, min_size=1, max_size=12), place=st.integers(0, 2))
def test_a_quoted_field_of_a_file_may_hold_line_breaks(
    tmp_path: Path, notes: list[str], place: int
) -> None:
    buffer = io.StringIO()
    rows = [[note if i == place else f"{k}{i}" for i in range(3)] for k, note in enumerate(notes)]
    csv.writer(buffer, lineterminator="\n").writerows([["k", "t", "x"], *rows])
    got = frame(opened(write(tmp_path / "a.csv", buffer.getvalue()), SMALL_BLOCKS))
    assert [list(row) for row in got.select("k", "t", "x").rows()] == rows


def test_stray_quotes_around_a_row_do_not_swallow_it(tmp_path: Path) -> None:
    got = chunks(opened(write(tmp_path / "a.csv", 'k,t,x\n1,1,"a\n2,2,b\n3,3,c"\n')))
    assert [row for c in got if c.frame.height for row in c.frame["k"]] == ["2"]
    assert [row for c in got for row in c.rejected["_row"]] == [0, 2]


def test_two_rows_with_a_stray_quote_each_are_not_one_row(tmp_path: Path) -> None:
    got = chunks(opened(write(tmp_path / "a.csv", 'k,t,x\n1,1,"a\n2,2,b"\n')))
    assert [row for c in got for row in c.rejected["_row"]] == [0, 1]


def test_a_row_that_never_ends_costs_its_line(tmp_path: Path) -> None:
    body = 'k,t,x\n1,1,"a\n' + "".join(f"{i},{i},b\n" for i in range(2, 300))
    got = chunks(opened(write(tmp_path / "a.csv", body)))
    assert sum(c.frame.height for c in got) == 298
    assert [row for c in got for row in c.rejected["_row"]] == [0]
