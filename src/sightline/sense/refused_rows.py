"""Refused rows: written so that a person can read them and a mended contract can take them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import polars as pl

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, QUARANTINE_SCHEMA, RECEIVED_NS, ROW
from sightline.sense.field_values import FEW_ROWS

CUT_MARK = "…"
_SHOWN = 80  # characters of a value at fault
_ADDED = (ORIGIN, ROW, RECEIVED_NS)
_NO_REJECTIONS = pl.DataFrame(schema=QUARANTINE_SCHEMA)
_ROW_REASONS_WITHOUT_JSON = (
    RefusalReason.FILE_UNREADABLE,
    RefusalReason.FILE_EMPTY,
    RefusalReason.FILE_TOO_LARGE,
    RefusalReason.LINE_UNREADABLE,
    RefusalReason.LINE_TOO_LONG,
    RefusalReason.ENCODING,
)


def refuse(
    raw: pl.DataFrame,
    *,
    reason: RefusalReason,
    field: str,
    detail: str,
    found: pl.Series | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> pl.DataFrame:
    """Every row of ``raw`` as a quarantined row (QUARANTINE_SCHEMA), for one reason.

    Args:
        raw: rows as a source gives them, with ``_origin`` and ``_row``.
        reason: why.
        field: the field at fault, ``""`` for the whole row.
        detail: expected and found, for a person.
        found: the value at fault of each row; what JSON shows of it is put behind ``detail``.
        limits: ``max_raw_chars`` bounds the copy of the row.

    >>> raw = pl.DataFrame({"x": [1.5], "_origin": ["a.csv"], "_row": [7]})
    >>> refuse(raw, reason=RefusalReason.RANGE, field="x", detail="at most 1").row(0)
    ('a.csv', 7, 'RANGE', 'x', 'at most 1', '{"x":1.5}')
    """
    n = raw.height
    copied = [raw[name] for name in raw.columns if name not in _ADDED]
    if found is None:
        (copy,) = _as_json([copied], n, limits)
        details = _repeated("detail", detail, n)
    else:
        copy, shown = _as_json([copied, [found.alias("v")]], n, limits)
        details = _details(detail, shown)
    return pl.DataFrame(
        [
            raw[ORIGIN].cast(pl.String),
            raw[ROW].cast(pl.Int64),
            _repeated("reason", reason.value, n),
            _repeated("field", field, n),
            details,
            copy.alias("raw"),
        ]
    )


def _details(detail: str, shown: pl.Series) -> pl.Series:
    """String[n]: ``detail`` and the value in each of ``shown``, objects of the one column ``v``."""
    # '{"v":12.5}' without its frame is the value as JSON shows it.
    before, after = '{"v":', "}"
    if len(shown) <= FEW_ROWS:
        values = [t.removeprefix(before).removesuffix(after)[:_SHOWN] for t in shown.to_list()]
        return pl.Series("detail", [detail + value for value in values], dtype=pl.String)
    value = shown.str.strip_prefix(before).str.strip_suffix(after).str.head(_SHOWN)
    return (detail + value).alias("detail")


def rejected(
    *,
    origin: str,
    rows: list[int],
    reason: RefusalReason,
    detail: str | list[str],
    raw: list[str],
    field: str = "",
    limits: Limits = DEFAULT_LIMITS,
) -> pl.DataFrame:
    """Lines or files that could not be read into rows, in the quarantine layout.

    Args:
        origin: where they are from.
        rows: row numbers; ``[-1]`` for a whole file.
        reason: why.
        detail: for a person; one for all, or one each.
        raw: the line as read, for each.
        field: the field at fault, if one is.
        limits: ``max_raw_chars`` bounds the copy of the line.
    """
    n = len(rows)
    frame = pl.DataFrame(
        {
            ORIGIN: [origin] * n,
            ROW: rows,
            "reason": [reason.value] * n,
            "field": [field] * n,
            "detail": detail if isinstance(detail, list) else [detail] * n,
            "raw": raw,
        },
        schema=QUARANTINE_SCHEMA,
    )
    return frame.with_columns(_cut(pl.col("raw"), limits))


def no_rejections() -> pl.DataFrame:
    """An empty frame in the quarantine layout."""
    return _NO_REJECTIONS.clone()


def _as_json(
    objects: Sequence[Sequence[pl.Series]], n: int, limits: Limits
) -> tuple[pl.Series, ...]:
    """String[n] each: JSON objects of the given columns, row by row, cut at a limit.

    What JSON has no form for is written as text: NaN and ±inf, times (ISO 8601), bytes (hex).
    """
    if not n:
        return tuple(pl.Series([], dtype=pl.String) for _ in objects)
    table = pl.select(
        (
            pl.struct([_json_ready(column) for column in columns]).struct.json_encode()
            if columns
            else pl.repeat("{}", n)
        ).alias(str(i))
        for i, columns in enumerate(objects)
    )
    most = limits.max_raw_chars
    if n > FEW_ROWS or any(len(row) > most for text in table for row in text.to_list()):
        table = table.select(_cut(pl.col(name), limits) for name in table.columns)
    return tuple(table.get_columns())


def is_recoverable(refused: pl.DataFrame) -> pl.Series:
    """Boolean[n]: rows whose copy is whole, so that they can be fed in again.

    Cut copies, unreadable lines and whole files are not: go back to the source for those.
    """
    return refused.select(
        (
            (pl.col(ROW) >= 0)
            & ~pl.col("reason").is_in([r.value for r in _ROW_REASONS_WITHOUT_JSON])
            & pl.col("raw").str.starts_with("{")
            & pl.col("raw").str.ends_with("}")
        ).alias("recoverable")
    ).to_series()


def feed_again_frame(refused: pl.DataFrame) -> pl.DataFrame:
    """The recoverable rows as raw rows, ready for :func:`.admit` under a mended contract.

    Every column is text, as from a CSV file, with ``_origin`` and ``_row`` of the first time; a
    column that a row did not have is null. See :func:`is_recoverable` for the rows left out.

    >>> raw = pl.DataFrame({"x": [1.5], "_origin": ["a.csv"], "_row": [7]})
    >>> refused = refuse(raw, reason=RefusalReason.RANGE, field="x", detail="at most 1")
    >>> feed_again_frame(refused).row(0, named=True)
    {'x': '1.5', '_origin': 'a.csv', '_row': 7}
    """
    kept = refused.filter(is_recoverable(refused))
    places = kept.select(pl.col(ORIGIN).cast(pl.String), pl.col(ROW))
    if not kept.height:
        return places
    lines = "\n".join(kept["raw"].to_list()).encode()
    names = pl.read_ndjson(io.BytesIO(lines), infer_schema_length=None).columns
    # Read again as text: what a mended contract makes of a value is not ours to guess.
    as_text = pl.read_ndjson(io.BytesIO(lines), schema=dict.fromkeys(names, pl.String()))
    return as_text.with_columns(places)


def _json_ready(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype.is_float():
        return column if _is_finite(column) else column.cast(pl.String)
    if dtype.is_temporal():
        return column.dt.to_string("iso:strict")
    if isinstance(dtype, pl.Binary):
        return column.bin.encode("hex")
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Decimal):
        return column.cast(pl.String)
    if _is_writable(dtype):
        return column
    return pl.Series(column.name, [f"<{dtype}>"]).new_from_index(0, len(column))


def _is_finite(column: pl.Series) -> bool:
    """Whether no value is NaN or ±inf; nulls do not count."""
    if column.null_count():
        return bool(column.is_finite().fill_null(True).all())
    return bool(np.isfinite(column.to_numpy()).all())


def _repeated(name: str, text: str, n: int) -> pl.Series:
    return pl.Series(name, [text], dtype=pl.String).new_from_index(0, n)


def _is_writable(dtype: pl.DataType) -> bool:
    """Whether Polars can write a column of this type as JSON (it panics on the others)."""
    if isinstance(dtype, pl.List | pl.Array):
        return _is_writable(dtype.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return all(_is_writable(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]
    return dtype.is_numeric() or isinstance(dtype, pl.String | pl.Boolean | pl.Null)


def _cut(text: pl.Expr, limits: Limits) -> pl.Expr:
    most = limits.max_raw_chars
    return (
        pl.when(text.str.len_chars() > most)
        .then(text.str.head(most - 1) + pl.lit(CUT_MARK))
        .otherwise(text)
    )
