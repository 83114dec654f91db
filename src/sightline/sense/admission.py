"""Admission: which rows of a batch keep their contract, and why the others do not.

A pure function of (contract, batch). Every row comes out once: as a signal or as a refused row.
A refused row has one reason, the first check it fails, in this order:

1. columns: one the contract needs is missing, or one is there that it refuses (SCHEMA, all rows);
2. key: null or empty (SCHEMA), not in the contract's list (UNKNOWN_KEY); group: null (SCHEMA);
3. time: TIME_UNREADABLE, TIME_ZONE, TIME_RANGE, then CLOCK_SKEW against the receipt time;
4. sequence: SEQUENCE;
5. each field in the contract's order: null or another type (SCHEMA), NaN or ±inf (NOT_FINITE),
   another unit (UNIT), outside its range (RANGE), not an allowed text (UNKNOWN_VALUE).

The checks are whole-column comparisons. Explanations are only built for rows that fail, so a
clean batch costs little more than reading its columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.refusal import RefusalReason
from sightline.records.signals import (
    GROUP,
    KEY,
    ORIGIN,
    RECEIVED_NS,
    ROW,
    SEQUENCE,
    SIGNAL_SCHEMA,
    TIME_NS,
)
from sightline.sense.contract import Contract, FieldForm
from sightline.sense.field_values import (
    MAX_EXACT_INTEGER,
    BoolArray,
    read_field,
    read_sequence,
    read_text,
)
from sightline.sense.refused_rows import no_rejections
from sightline.sense.row_checks import RowChecks
from sightline.sense.source_columns import SourceColumns, find_columns
from sightline.sense.time_parsing import ParsedTimes, assumed_times, parse_times

KEY_SEPARATOR = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What became of a batch: ``signals.height + refused.height`` is the height of the batch.

    Attributes:
        signals: admitted rows in their order: SIGNAL_SCHEMA, then numeric fields as Float64, then
            text fields as String, each in the contract's order.
        refused: the others in their order, in QUARANTINE_SCHEMA.
    """

    signals: pl.DataFrame
    refused: pl.DataFrame


def admit(contract: Contract, raw: pl.DataFrame, *, limits: Limits = DEFAULT_LIMITS) -> Admission:
    """Check every row of ``raw`` against ``contract``. Never raises on bad data.

    Args:
        contract: what the rows should be.
        raw: the source's own columns, text or typed, with ``_origin`` (String or Categorical),
            ``_row`` (Int64) and ``_received_ns`` (Int64 UTC ns; without it, or where it is null,
            CLOCK_SKEW is not checked).
        limits: ``max_raw_chars`` bounds the copy of a refused row.

    >>> contract = Contract.model_validate({
    ...     "contract": "demo", "key": ["pump"], "event_time": {"column": "t", "format": "unix_s"},
    ...     "fields": {"flow_lps": {"type": "number", "unit": "L/s", "range": [0, 50]}}})
    >>> raw = pl.DataFrame({"pump": ["p1", "p1"], "t": ["10", "11"], "flow_lps": ["3.5", "99"],
    ...                     "_origin": ["a.csv"] * 2, "_row": [0, 1]})
    >>> done = admit(contract, raw)
    >>> done.signals.select("_key", "_time_ns", "flow_lps").row(0)
    ('p1', 10000000000, 3.5)
    >>> done.refused.select("_row", "reason", "detail").row(0)
    (1, 'RANGE', 'expected 0 to 50 L/s, got "99"')
    """
    checks = RowChecks(raw)
    found = find_columns(contract, raw.columns)
    if found.problem is not None:
        field, expected, got = found.problem
        checks.fail_all(RefusalReason.SCHEMA, field, expected, got=got)
        return Admission(signals=_no_signals(contract), refused=checks.refused(limits))
    columns = _place_columns(contract, raw, found, checks)
    values = {
        name: _field(name, form, raw, found, checks) for name, form in contract.fields.items()
    }
    numeric = [v for n, v in values.items() if contract.fields[n].is_numeric]
    text = [v for n, v in values.items() if not contract.fields[n].is_numeric]
    signals = pl.DataFrame([*columns, *numeric, *text])
    kept = checks.kept()
    if kept is None:
        return Admission(signals=signals, refused=no_rejections())
    return Admission(signals=signals.filter(kept), refused=checks.refused(limits))


def event_time_ns(contract: Contract, raw: pl.DataFrame) -> pl.Series:
    """Int64[n], UTC ns: event time of each row, null where admission would refuse the time.

    That is where it cannot be read, lacks a demanded zone, or is outside the contract's absolute
    range. CLOCK_SKEW is not looked at: the receipt time may not be known yet.
    """
    times = _event_times(contract, raw)
    if times is None:
        return pl.Series(TIME_NS, [None], dtype=pl.Int64).new_from_index(0, raw.height)
    ns = times.ns
    form = contract.event_time
    unusable = (ns < form.earliest_ns) | (ns >= form.latest_ns)
    if form.time_zone == "required" and times.zone_missing is not None:
        unusable = unusable | times.zone_missing
    if unusable.any():
        ns = ns.set(unusable.fill_null(True), None)
    return ns.alias(TIME_NS)


def receipt_time_ns(contract: Contract, raw: pl.DataFrame) -> pl.Series | None:
    """Int64[n], UTC ns: receipt time by the contract's column, null where it cannot be read.

    None when the contract names no such column or the rows do not have it.
    """
    form = contract.receipt_time
    if form is None or form.column not in raw.columns:
        return None
    ns = parse_times(raw[form.column], form.format).ns
    unusable = (ns < 0) | (ns >= contract.event_time.latest_ns)
    if unusable.any():
        ns = ns.set(unusable.fill_null(True), None)
    return ns.alias(RECEIVED_NS)


def _place_columns(
    contract: Contract, raw: pl.DataFrame, found: SourceColumns, checks: RowChecks
) -> list[pl.Series]:
    """Key, group, time, sequence, origin and row of every row, in SIGNAL_SCHEMA's order."""
    key = _key(contract, raw, checks)
    if contract.group is None:
        group = pl.Series(GROUP, [""]).new_from_index(0, raw.height)
    else:
        group = _text_part(contract.group, raw, checks)
    time_ns = _time(contract, raw, checks)
    if contract.sequence is None:
        sequence = pl.Series(SEQUENCE, [-1], dtype=pl.Int64).new_from_index(0, raw.height)
    else:
        name = contract.sequence.column
        sequence, unusable = read_sequence(raw[name])
        expected = "an integer from 0 to 2^63-1"
        checks.fail(unusable, RefusalReason.SEQUENCE, name, expected, raw[name])
    return [
        key.alias(KEY),
        group.alias(GROUP),
        time_ns.alias(TIME_NS),
        sequence.alias(SEQUENCE),
        raw[ORIGIN].cast(pl.String),
        raw[ROW].cast(pl.Int64),
    ]


def _key(contract: Contract, raw: pl.DataFrame, checks: RowChecks) -> pl.Series:
    parts = [_text_part(name, raw, checks) for name in contract.key]
    if len(parts) == 1:
        key = parts[0]
    else:
        for name, part in zip(contract.key, parts, strict=True):
            # Otherwise a/b + c and a + b/c would be one key.
            holds = part.str.contains(KEY_SEPARATOR, literal=True)
            expected = f"no {KEY_SEPARATOR} in a part of the key"
            checks.fail(_mask(holds), RefusalReason.SCHEMA, name, expected, part)
        key = pl.select(pl.concat_str(parts, separator=KEY_SEPARATOR)).to_series()
    if contract.known_keys is not None:
        unknown = ~key.is_in(list(contract.known_keys))
        checks.fail(
            _mask(unknown), RefusalReason.UNKNOWN_KEY, "/".join(contract.key), "a known key", key
        )
    return key


def _text_part(name: str, raw: pl.DataFrame, checks: RowChecks) -> pl.Series:
    text, unreadable = read_text(raw[name])
    expected = "a text or an integer"
    checks.fail(unreadable, RefusalReason.SCHEMA, name, expected, raw[name])
    empty = text.is_null() | (text == "")
    checks.fail(_mask(empty), RefusalReason.SCHEMA, name, f"{expected}, not empty", raw[name])
    return text


def _event_times(contract: Contract, raw: pl.DataFrame) -> ParsedTimes | None:
    form = contract.event_time
    if form.assumed is not None:
        ns = assumed_times(
            raw[ROW], start_ns=form.assumed.start_ns, period_ns=form.assumed.period_ns
        )
        return ParsedTimes(ns=ns, zone_missing=None)
    if form.column not in raw.columns:
        return None
    return parse_times(raw[form.column], form.format)


def _time(contract: Contract, raw: pl.DataFrame, checks: RowChecks) -> pl.Series:
    form = contract.event_time
    times = _event_times(contract, raw)
    assert times is not None  # a missing column has failed the whole batch before
    name = form.column or ROW
    ns, found = times.ns, raw[name]
    checks.fail(
        _mask(ns.is_null()), RefusalReason.TIME_UNREADABLE, name, f"a time ({form.format})", found
    )
    if form.time_zone == "required" and times.zone_missing is not None:
        checks.fail(
            _mask(times.zone_missing), RefusalReason.TIME_ZONE, name, "a time with a zone", found
        )
    outside = (ns < form.earliest_ns) | (ns >= form.latest_ns)
    between = f"a time from {form.earliest} until {form.latest}"
    checks.fail(_mask(outside), RefusalReason.TIME_RANGE, name, between, found)
    if RECEIVED_NS in raw.columns:
        # Subtracting cannot overflow: both are non-negative where the checks before passed.
        ahead = ns.clip(lower_bound=0) - raw[RECEIVED_NS].cast(pl.Int64).clip(lower_bound=0)
        bound = f"a time at most {contract.timing.clock_skew_s:g} s after its receipt"
        checks.fail(
            _mask(ahead > contract.clock_skew_ns), RefusalReason.CLOCK_SKEW, name, bound, found
        )
    return ns


def _field(
    name: str, form: FieldForm, raw: pl.DataFrame, found: SourceColumns, checks: RowChecks
) -> pl.Series:
    source = found.of_field[name]
    if source is None:  # optional and absent
        dtype = pl.Float64() if form.is_numeric else pl.String()
        blank = float("nan") if form.is_numeric else None
        return pl.Series(name, [blank], dtype=dtype).new_from_index(0, raw.height)
    column = raw[source]
    read = read_field(column, form)
    if form.required:
        checks.fail(read.missing, RefusalReason.SCHEMA, name, f"a {form.type}", "null")
    checks.fail(read.unreadable, RefusalReason.SCHEMA, name, _type_words(form), column)
    checks.fail(
        read.not_finite,
        RefusalReason.NOT_FINITE,
        name,
        "a finite number" if form.nan == "refuse" else "a finite number or NaN",
        column,
    )
    stated = found.unit_of_field.get(name)
    if stated is not None and stated != form.unit:
        checks.fail_all(RefusalReason.UNIT, name, f"{form.unit}", got=stated)
    if form.unit_column is not None:
        unit, _ = read_text(raw[form.unit_column])
        other = (unit != form.unit).fill_null(True)
        checks.fail(_mask(other), RefusalReason.UNIT, name, f"{form.unit}", raw[form.unit_column])
    if form.range is not None:
        low, high = form.range
        numbers = read.values.to_numpy()
        outside = np.zeros(len(numbers), np.bool_)
        if low is not None:
            outside |= numbers < low
        if high is not None:
            outside |= numbers > high
        checks.fail(outside, RefusalReason.RANGE, name, _range_words(form), column)
    if form.allowed is not None:
        other = ~read.values.is_in(list(form.allowed)).fill_null(True)
        allowed = f"one of {', '.join(form.allowed)}"
        checks.fail(_mask(other), RefusalReason.UNKNOWN_VALUE, name, allowed, column)
    return read.values.alias(name)


def _type_words(form: FieldForm) -> str:
    if form.type == "integer":
        return f"an integer within ±{MAX_EXACT_INTEGER}"
    return {"number": "a number", "boolean": "true or false", "text": "a text"}[form.type]


def _range_words(form: FieldForm) -> str:
    assert form.range is not None
    low, high = form.range
    ends = (
        f"at most {high:g}"
        if low is None
        else f"at least {low:g}"
        if high is None
        else f"{low:g} to {high:g}"
    )
    return f"{ends} {form.unit}"


def _mask(column: pl.Series) -> BoolArray | None:
    return column.fill_null(False).to_numpy() if column.any() else None


def _no_signals(contract: Contract) -> pl.DataFrame:
    schema = dict(SIGNAL_SCHEMA)
    numeric = {n: pl.Float64() for n, f in contract.fields.items() if f.is_numeric}
    text = {n: pl.String() for n, f in contract.fields.items() if not f.is_numeric}
    return pl.DataFrame(schema={**schema, **numeric, **text})
