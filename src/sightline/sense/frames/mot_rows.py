"""Rows of MOTChallenge files: lines split into numbers, and the checks that each must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sightline.errors import SourceError
from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, QUARANTINE_SCHEMA, ROW
from sightline.sense.refused_rows import no_rejections, rejected
from sightline.sense.source import error_words
from sightline.sense.sources.byte_lines import line_blocks, open_bytes

MAX_FRAME = 10_000_000
"""Frames in one file; four days at 30 per second. A higher number is refused as RANGE."""
MAX_COORDINATE_PX = 1_000_000.0
"""A box corner's distance from the origin. Beyond it, areas lose the precision of a pixel."""

CLASS_LAYOUTS = (8, 9)
"""Numbers of columns that have a class in the eighth."""
BOX = ("left", "top", "width", "height")

_FIELDS = ("frame", "id", *BOX, "score", "class")
_NEEDED = 6


def read_lines(path: Path, limits: Limits) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good lines (row, line), and refused lines in QUARANTINE_SCHEMA."""
    try:
        stream = open_bytes(path)
    except OSError as error:
        raise SourceError(
            expected="a readable file",
            got=error_words(error),
            where=str(path),
            action="check the path",
        ) from error
    parts: list[pl.DataFrame] = []
    refused = [no_rejections()]
    read_bytes = 0

    def refuse(row: int, reason: RefusalReason, detail: str, raw: str = "") -> None:
        line = {"rows": [row], "reason": reason, "detail": detail, "raw": [raw]}
        refused.append(rejected(origin=path.name, limits=limits, **line))  # type: ignore[arg-type]

    with stream:
        for block in line_blocks(stream, limits=limits):
            for bad in block.bad:
                refuse(bad.row, bad.reason, bad.detail, bad.text)
            if block.damage is not None:
                refuse(-1, RefusalReason.FILE_UNREADABLE, block.damage)
            read_bytes += len(block.data)
            if read_bytes > limits.max_file_bytes_in_memory:
                most = f"expected at most {limits.max_file_bytes_in_memory} bytes, got more"
                refuse(-1, RefusalReason.FILE_TOO_LARGE, most)
                break
            parts.append(pl.DataFrame({"row": block.row, "line": block.lines()}))
    lines = pl.concat(
        [pl.DataFrame(schema={"row": pl.Int64, "line": pl.String}), *(p for p in parts if len(p))]
    ).filter(pl.col("line").str.strip_chars() != "")
    if not lines.height and len(refused) == 1:
        refuse(-1, RefusalReason.FILE_EMPTY, "expected rows, got none")
    return lines, pl.concat(refused)


def read_rows(path: Path, limits: Limits) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with a Float64 column per field (null: no number), and what could not be split."""
    lines, refused = read_lines(path, limits)
    split = lines.with_columns(fields=_fields()).with_columns(columns=pl.col("fields").list.len())
    texts = {
        name: pl.col("fields").list.get(i, null_on_oob=True).str.strip_chars()
        for i, name in enumerate(_FIELDS)
    }
    numbers = {name: text.cast(pl.Float64, strict=False) for name, text in texts.items()}
    numbers["score"] = (
        pl.when(pl.col("columns") <= _FIELDS.index("score")).then(1.0).otherwise(numbers["score"])
    )
    return split.select("row", "line", "columns", **numbers), refused


def _fields() -> pl.Expr:
    # A comma at the end closes the last column; one at the start opens an empty first.
    return pl.col("line").str.strip_chars_end(" \t,").str.split(",")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Rows for which ``fails`` holds are refused."""

    reason: RefusalReason
    field: str
    fails: pl.Expr
    expected: str

    def verdict(self) -> pl.Expr:
        got = pl.col("columns").cast(pl.String) + " columns" if not self.field else self._got()
        return pl.when(self.fails).then(
            pl.struct(
                pl.lit(self.reason.value).alias("reason"),
                pl.lit(self.field).alias("field"),
                pl.lit(self.expected).alias("expected"),
                got.alias("got"),
            )
        )

    def _got(self) -> pl.Expr:
        return _fields().list.get(_FIELDS.index(self.field), null_on_oob=True).str.strip_chars()


def basic_checks() -> list[Check]:
    """Columns, numbers, and the range of each number."""
    most = MAX_COORDINATE_PX
    checks = [
        Check(
            reason=RefusalReason.LINE_UNREADABLE,
            field="",
            fails=pl.col("columns") < _NEEDED,
            expected=f"at least {_NEEDED} columns: {', '.join(_FIELDS[:_NEEDED])}",
        )
    ]
    for name in _FIELDS[:-1]:
        value = pl.col(name)
        is_whole = name in ("frame", "id")
        has_fraction = value.is_finite() & (value != value.round()) if is_whole else pl.lit(False)
        whole = "a whole number" if is_whole else "a number"
        checks += [
            Check(
                reason=RefusalReason.SCHEMA,
                field=name,
                fails=value.is_null() | has_fraction,
                expected=whole,
            ),
            Check(
                reason=RefusalReason.NOT_FINITE,
                field=name,
                fails=~value.is_finite(),
                expected="a finite number",
            ),
        ]
    ranges = [("frame", 1.0, float(MAX_FRAME)), ("id", -(2.0**53), 2.0**53)]
    ranges += [(name, -most, most) for name in BOX]
    checks += [
        Check(
            reason=RefusalReason.RANGE,
            field=name,
            fails=~pl.col(name).is_between(low, high),
            expected=f"{low:.0f} to {high:.0f}",
        )
        for name, low, high in ranges
    ]
    return checks


def size_checks() -> list[Check]:
    """Boxes that have an area."""
    # The corner is what is kept: a width that vanishes in rounding is none.
    return [
        Check(
            reason=RefusalReason.RANGE,
            field=size,
            fails=pl.col(corner) + pl.col(size) <= pl.col(corner),
            expected="above 0",
        )
        for corner, size in (("left", "width"), ("top", "height"))
    ]


def score_check() -> Check:
    """Scores that are probabilities."""
    return Check(
        reason=RefusalReason.RANGE,
        field="score",
        fails=~pl.col("score").is_between(0, 1),
        expected="0 to 1 (scores of another kind can be left unused)",
    )


def id_check() -> Check:
    """Rows that have an identity."""
    return Check(
        reason=RefusalReason.RANGE, field="id", fails=pl.col("id") < 0, expected="0 or above"
    )


def class_check() -> Check:
    """A class where the layout has one."""
    value = pl.col("class")
    is_class = pl.col("columns").is_in(CLASS_LAYOUTS)
    is_whole = value.is_finite() & (value == value.round()) & (value.abs() < 2.0**31)
    return Check(
        reason=RefusalReason.SCHEMA,
        field="class",
        fails=is_class & ~is_whole.fill_null(False),
        expected="a whole number",
    )


def checked(
    frame: pl.DataFrame, checks: Sequence[Check], origin: str, limits: Limits
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that pass, and those that fail with the first check they fail."""
    told = frame.with_columns(why=pl.coalesce(*(check.verdict() for check in checks)))
    good = told.filter(pl.col("why").is_null()).drop("why")
    bad = told.filter(pl.col("why").is_not_null()).unnest("why")
    if not bad.height:
        return good, no_rejections()
    parts = bad.select(
        pl.lit(origin).alias(ORIGIN),
        pl.col("row").alias(ROW),
        "reason",
        "field",
        ("expected " + pl.col("expected") + ", got " + pl.col("got").fill_null("nothing")).alias(
            "detail"
        ),
        pl.col("line").str.head(limits.max_raw_chars).alias("raw"),
    )
    return good, parts.cast(dict(QUARANTINE_SCHEMA))  # type: ignore[arg-type]


def row_error(path: Path, problems: pl.DataFrame) -> SourceError:
    """An error for the first of some refused rows (QUARANTINE_SCHEMA)."""
    first = problems.row(0, named=True)
    expected, _, got = first["detail"].removeprefix("expected ").partition(", got ")
    where = f"{path}, row {first[ROW]}" if first[ROW] >= 0 else str(path)
    more = f" ({problems.height} problems in all)" if problems.height > 1 else ""
    return SourceError(
        expected=f"{first['field']} {expected}".strip() if got else "a readable file",
        got=got or expected,
        where=where,
        action=f"mend the file, {first['reason']}{more}",
    )
