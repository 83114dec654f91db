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

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.map_tiles import NO_TILE, tile_of
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
from sightline.records.windows import FloatArray
from sightline.sense.contract import Contract, FieldForm, TileColumn
from sightline.sense.field_values import (
    FEW_ROWS,
    MAX_EXACT_INTEGER,
    BoolArray,
    ParsedTimes,
    ReadField,
    assumed_times,
    blank_rows,
    extremes,
    parse_times,
    read_field,
    read_sequence,
    read_text,
    rows_outside,
    rows_where,
    with_clock,
)
from sightline.sense.refused_rows import no_rejections, refuse

_ADDED = (ORIGIN, ROW, RECEIVED_NS)
_NAME_WITH_UNIT = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>[^\[\]]*)\]$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumns:
    """Columns of one batch, matched with a contract.

    Attributes:
        of_field: field name to the source's column; None for an optional field that is absent.
        unit_of_field: field name to the unit stated in the column's name, where one is.
        problem: (field, expected, got) when the batch as a whole does not fit; else None.
    """

    of_field: Mapping[str, str | None]
    unit_of_field: Mapping[str, str]
    problem: tuple[str, str, str] | None


def find_columns(contract: Contract, names: Sequence[str]) -> SourceColumns:
    """Match the column ``names`` of a batch with ``contract``.

    A field's column may state its unit in brackets: ``snr_db [dB]``. The plain name wins where
    both are there.
    """
    of_field: dict[str, str | None] = {}
    units: dict[str, str] = {}
    with_unit = _names_with_unit(names)
    used = {n for n in contract.columns if n in names} | contract.made_columns
    problem: tuple[str, str, str] | None = None
    for field, form in contract.fields.items():
        wanted = form.column or field
        found: str | None = wanted if wanted in names else None
        if found is None and wanted in with_unit:
            found, units[field] = with_unit[wanted]
        of_field[field] = found
        if found is not None:
            used.add(found)
        elif form.required:
            problem = problem or (field, f"a column {wanted}", _listed(names))
    for wanted in contract.columns:
        if wanted not in used and wanted in _needed(contract):
            problem = (wanted, f"a column {wanted}", _listed(names))
            break
    if problem is None and contract.extra_columns == "refuse":
        extra = [n for n in names if n not in used and n not in _ADDED]
        if extra:
            problem = (extra[0], "no other columns than the contract's", _listed(extra))
    return SourceColumns(of_field=of_field, unit_of_field=units, problem=problem)


def plain_name(name: str) -> str:
    """A column's name without the unit it states.

    >>> plain_name("snr_db [dB]")
    'snr_db'
    """
    match = _NAME_WITH_UNIT.match(name)
    return name if match is None else match["name"]


def _needed(contract: Contract) -> set[str]:
    """Columns that every batch must have, apart from fields."""
    needed = {*contract.key} - {*contract.constants}
    if contract.tile is not None:
        needed |= {contract.tile.lon, contract.tile.lat}
    needed |= {*contract.event_time.columns}
    for form in (contract.receipt_time, contract.sequence):
        if form is not None:
            needed.add(form.column)
    if contract.group is not None:
        needed.add(contract.group)
    needed.update(f.unit_column for f in contract.fields.values() if f.unit_column is not None)
    return needed


def _names_with_unit(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Plain name to (name as found, unit)."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        match = _NAME_WITH_UNIT.match(name)
        if match is not None:
            found.setdefault(match["name"], (name, match["unit"].strip()))
    return found


def _listed(names: Sequence[str]) -> str:
    shown = [n for n in names if n not in _ADDED]
    text = ", ".join(shown) or "none"
    return text if len(text) <= 80 else text[:79] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    reason: RefusalReason
    field: str
    expected: str
    found: pl.Series | str | None  # the column at fault, or words


class RowChecks:
    """Collects, per row, the first check it failed."""

    def __init__(self, raw: pl.DataFrame) -> None:
        self._raw = raw
        self._failures: list[_Failure] = []
        self._first: np.ndarray[tuple[int], np.dtype[np.int16]] | None = None

    def fail(
        self,
        mask: BoolArray | None,
        reason: RefusalReason,
        field: str,
        expected: str,
        got: pl.Series | str | None = None,
    ) -> None:
        """Fail the rows in ``mask`` (bool[n]; None: no row) that have not failed before."""
        if mask is None or not mask.any():
            return
        if self._first is None:
            self._first = np.full(self._raw.height, -1, np.int16)
        self._first[mask & (self._first < 0)] = len(self._failures)
        self._failures.append(_Failure(reason=reason, field=field, expected=expected, found=got))

    def fail_all(self, reason: RefusalReason, field: str, expected: str, *, got: str) -> None:
        self.fail(np.ones(self._raw.height, np.bool_), reason, field, expected, got)

    def kept(self) -> BoolArray | None:
        """bool[n], rows that failed nothing; None when that is all of them."""
        return None if self._first is None else self._first < 0

    def refused(self, limits: Limits) -> pl.DataFrame:
        """The rows that failed, in their order, with reason and explanation."""
        if self._first is None:
            return no_rejections()
        parts: list[pl.DataFrame] = []
        places: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        for number, failure in enumerate(self._failures):
            failed = self._first == number
            if failed.any():
                parts.append(self._explained(failure, failed, limits))
                places.append(np.flatnonzero(failed))
        if len(parts) == 1:
            return parts[0]
        order = np.argsort(np.concatenate(places), kind="stable")
        return pl.concat(parts)[order]

    def _explained(self, failure: _Failure, failed: BoolArray, limits: Limits) -> pl.DataFrame:
        detail, found = f"expected {failure.expected}", None
        if isinstance(failure.found, str):
            detail += f", got {failure.found}"
        elif failure.found is not None:
            detail += ", got "
            found = failure.found.filter(pl.Series(failed))
        return refuse(
            rows_where(self._raw, failed),
            reason=failure.reason,
            field=failure.field,
            detail=detail,
            found=found,
            limits=limits,
        )


KEY_SEPARATOR = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What became of a batch: ``signals.height + refused.height`` is the height of the batch.

    Attributes:
        signals: admitted rows in their order: SIGNAL_SCHEMA, then numeric fields as Float64, then
            text fields as String, each in the contract's order.
        refused: the others in their order, in QUARANTINE_SCHEMA.
        kept: bool[height of the batch], the rows that ``signals`` are; None when that is all.
    """

    signals: pl.DataFrame
    refused: pl.DataFrame
    kept: BoolArray | None = None

    def of_rows(self, start: int, stop: int) -> Admission:
        """What became of the rows ``start`` to ``stop`` (exclusive) of the batch, by place."""
        if self.kept is None:
            return Admission(signals=self.signals.slice(start, stop - start), refused=self.refused)
        before, kept = int(self.kept[:start].sum()), self.kept[start:stop]
        count = int(kept.sum())
        return Admission(
            signals=self.signals.slice(before, count),
            refused=self.refused.slice(start - before, stop - start - count),
            kept=None if count == stop - start else kept,
        )


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
    return Admitter(contract, limits=limits).admit(raw)


class Admitter:
    """Admits the batches of one source: what its contract comes to is worked out once.

    Args:
        contract: what the rows should be.
        limits: ``max_raw_chars`` bounds the copy of a refused row.
    """

    def __init__(self, contract: Contract, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._contract = contract
        self._limits = limits
        self._fields = [_FieldAdmitter(name, form) for name, form in contract.fields.items()]
        # Stable: numeric fields first, both kinds in the contract's order.
        self._order = sorted(range(len(self._fields)), key=lambda i: not self._fields[i].is_numeric)
        self._numbers = _CleanNumbers.of(contract)
        self._places = _Places(contract)
        self._layout: tuple[list[str], SourceColumns] | None = None

    def admit(self, raw: pl.DataFrame) -> Admission:
        """As :func:`admit`."""
        if self._contract.constants:
            raw = raw.with_columns(**{n: pl.lit(v) for n, v in self._contract.constants.items()})
        if self._contract.tile is not None:
            raw = _with_tiles(raw, self._contract.tile)
        checks = RowChecks(raw)
        found = self._columns(raw)
        if found.problem is not None:
            field, expected, got = found.problem
            checks.fail_all(RefusalReason.SCHEMA, field, expected, got=got)
            return Admission(
                signals=_no_signals(self._contract),
                refused=checks.refused(self._limits),
                kept=checks.kept(),
            )
        places = self._places.read(raw, checks)
        values = None if self._numbers is None else self._numbers.read(raw, found)
        if values is None:
            values = [field.read(raw, found, checks) for field in self._fields]
        # Checked columns of one length: put side by side without being looked at again.
        signals = places[0].to_frame().hstack([*places[1:], *(values[i] for i in self._order)])
        kept = checks.kept()
        if kept is None:
            return Admission(signals=signals, refused=no_rejections())
        return Admission(
            signals=rows_where(signals, kept), refused=checks.refused(self._limits), kept=kept
        )

    def _columns(self, raw: pl.DataFrame) -> SourceColumns:
        """Batches of one source mostly have the same columns, so the last answer is kept."""
        names = raw.columns
        if self._layout is None or self._layout[0] != names:
            self._layout = (names, find_columns(self._contract, names))
        return self._layout[1]


class Batch:
    """Rows of one source that came together: checked once, however many partitions they are for.

    What becomes of a row depends on that row alone, so it does not matter who checks it, nor with
    which others: a partition that has only its own share, in a worker or from its log, gets
    the same of it.

    Args:
        rows: as :func:`admit` takes them.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self._admission: Admission | None = None

    def admission(self, admitter: Admitter) -> Admission:
        """What became of them; by whichever admitter of the source is asked first."""
        if self._admission is None:
            self._admission = admitter.admit(self.rows)
        return self._admission


@dataclass(frozen=True, slots=True)
class Share:
    """The rows ``start`` to ``stop`` (exclusive) of a batch: those of one partition."""

    batch: Batch
    start: int
    stop: int

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Share:
        """Rows that are a batch of their own."""
        return cls(Batch(rows), 0, rows.height)

    @property
    def height(self) -> int:
        """How many they are."""
        return self.stop - self.start

    @property
    def rows(self) -> pl.DataFrame:
        """The raw rows."""
        return self.batch.rows.slice(self.start, self.height)

    def admission(self, admitter: Admitter) -> Admission:
        """What became of them."""
        return self.batch.admission(admitter).of_rows(self.start, self.stop)


def _with_tiles(raw: pl.DataFrame, form: TileColumn) -> pl.DataFrame:
    """The rows with their tile as text, null where a position lies in none or cannot be read."""
    if form.lon not in raw.columns or form.lat not in raw.columns:
        return raw  # said of the whole batch
    lon, lat = (
        raw[name].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        for name in (form.lon, form.lat)
    )
    x, y = tile_of(lon, lat, zoom=form.zoom)
    text = pl.format("{}/{}/{}", pl.lit(form.zoom), pl.lit(pl.Series(x)), pl.lit(pl.Series(y)))
    is_on_map = pl.lit(pl.Series(x != NO_TILE))
    return raw.with_columns(pl.when(is_on_map).then(text).alias(form.column))


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


def _event_times(contract: Contract, raw: pl.DataFrame) -> ParsedTimes | None:
    form = contract.event_time
    if form.assumed is not None:
        ns = assumed_times(
            raw[ROW], start_ns=form.assumed.start_ns, period_ns=form.assumed.period_ns
        )
        return ParsedTimes(ns=ns, zone_missing=None)
    column = written_event_time(contract, raw)
    return None if column is None else parse_times(column, form.format)


def written_event_time(contract: Contract, raw: pl.DataFrame) -> pl.Series | None:
    """The event time of each row as it stands there; date and time of day with a blank between.

    None where the rows do not have its columns, or the contract names none.
    """
    names = contract.event_time.columns
    if not names or not {*names} <= {*raw.columns}:
        return None
    date = raw.get_column(names[0])
    return date if len(names) == 1 else with_clock(date, raw.get_column(names[1]))


class _Places:
    """Key, group, time, sequence, origin and row of each row."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        time = contract.event_time
        self._known_keys = None if contract.known_keys is None else frozenset(contract.known_keys)
        self._earliest_ns, self._latest_ns = time.earliest_ns, time.latest_ns
        self._clock_skew_ns = contract.clock_skew_ns
        self._time_expected = f"a time ({time.format})"
        self._range_expected = f"a time from {time.earliest} until {time.latest}"
        skew_s = contract.timing.clock_skew_s
        self._skew_expected = f"a time at most {skew_s:g} s after its receipt"
        self._no_group = pl.Series(GROUP, [""])
        self._no_sequence = pl.Series(SEQUENCE, [-1], dtype=pl.Int64)

    def read(self, raw: pl.DataFrame, checks: RowChecks) -> list[pl.Series]:
        """The columns, in SIGNAL_SCHEMA's order."""
        contract = self._contract
        key = self._key(raw, checks)
        if contract.group is None:
            group = self._no_group.new_from_index(0, raw.height)
        else:
            group = _text_part(contract.group, raw, checks)
        time_ns = self._time(raw, checks)
        if contract.sequence is None:
            sequence = self._no_sequence.new_from_index(0, raw.height)
        else:
            name = contract.sequence.column
            column = raw.get_column(name)
            sequence, unusable = read_sequence(column)
            expected = "an integer from 0 to 2^63-1"
            checks.fail(unusable, RefusalReason.SEQUENCE, name, expected, column)
        return [
            key.alias(KEY),
            group.alias(GROUP),
            time_ns.alias(TIME_NS),
            sequence.alias(SEQUENCE),
            raw.get_column(ORIGIN).cast(pl.String),
            raw.get_column(ROW).cast(pl.Int64),
        ]

    def _key(self, raw: pl.DataFrame, checks: RowChecks) -> pl.Series:
        names = self._contract.key
        parts = [_text_part(name, raw, checks) for name in names]
        if len(parts) == 1:
            key = parts[0]
        else:
            for name, part in zip(names, parts, strict=True):
                # Otherwise a/b + c and a + b/c would be one key.
                holds = part.str.contains(KEY_SEPARATOR, literal=True)
                expected = f"no {KEY_SEPARATOR} in a part of the key"
                checks.fail(_mask(holds), RefusalReason.SCHEMA, name, expected, part)
            key = pl.select(pl.concat_str(parts, separator=KEY_SEPARATOR)).to_series()
        if self._known_keys is not None:
            unknown = rows_outside(key, self._known_keys)
            field = KEY_SEPARATOR.join(names)
            checks.fail(unknown, RefusalReason.UNKNOWN_KEY, field, "a known key", key)
        return key

    def _time(self, raw: pl.DataFrame, checks: RowChecks) -> pl.Series:
        form = self._contract.event_time
        times = _event_times(self._contract, raw)
        assert times is not None  # a missing column has failed the whole batch before
        written = written_event_time(self._contract, raw)
        found = raw.get_column(ROW) if written is None else written
        ns, name = times.ns, form.column or ROW
        if ns.null_count():
            unread = ns.is_null().to_numpy()
            checks.fail(unread, RefusalReason.TIME_UNREADABLE, name, self._time_expected, found)
        if form.time_zone == "required" and times.zone_missing is not None:
            zone_missing = _mask(times.zone_missing)
            checks.fail(zone_missing, RefusalReason.TIME_ZONE, name, "a time with a zone", found)
        lowest_ns, highest_ns = extremes(ns)
        if lowest_ns < self._earliest_ns or highest_ns >= self._latest_ns:
            outside = _mask((ns < self._earliest_ns) | (ns >= self._latest_ns))
            checks.fail(outside, RefusalReason.TIME_RANGE, name, self._range_expected, found)
        if RECEIVED_NS in raw.columns:
            ahead = self._is_ahead(ns, raw.get_column(RECEIVED_NS).cast(pl.Int64), highest_ns)
            checks.fail(ahead, RefusalReason.CLOCK_SKEW, name, self._skew_expected, found)
        return ns

    def _is_ahead(
        self, ns: pl.Series, received_ns: pl.Series, highest_ns: float
    ) -> BoolArray | None:
        """bool[n], times too far ahead of their receipt; None when there is none."""
        # Subtracting cannot overflow: both are non-negative where the checks before passed.
        if ns.null_count() or received_ns.null_count():
            difference_ns = ns.clip(lower_bound=0) - received_ns.clip(lower_bound=0)
            return _mask(difference_ns > self._clock_skew_ns)
        if max(highest_ns, 0) - max(extremes(received_ns)[0], 0) <= self._clock_skew_ns:
            return None  # nor can any single one be
        there = np.maximum(ns.to_numpy(), 0) - np.maximum(received_ns.to_numpy(), 0)
        ahead: BoolArray = there > self._clock_skew_ns
        return ahead


def _text_part(name: str, raw: pl.DataFrame, checks: RowChecks) -> pl.Series:
    column = raw.get_column(name)
    text, unreadable = read_text(column)
    expected = "a text or an integer"
    checks.fail(unreadable, RefusalReason.SCHEMA, name, expected, column)
    blank = blank_rows(text)
    checks.fail(blank, RefusalReason.SCHEMA, name, f"{expected}, not empty", column)
    return text


@dataclass(frozen=True, slots=True)
class _CleanNumbers:
    """All fields of a contract of numbers at once, for few rows in which nothing is wrong.

    For thirty rows the calls cost more than the values: one look at all of them, and only where
    something is odd does each field say what.

    Attributes:
        fields: names, in the contract's order.
        lowest, highest: float64[fields, 1], what each may be.
    """

    fields: tuple[str, ...]
    lowest: FloatArray
    highest: FloatArray

    @classmethod
    def of(cls, contract: Contract) -> _CleanNumbers | None:
        """None where some field is more than a number within a range."""
        forms = contract.fields.values()
        if not forms or any(f.type != "number" or f.missing or f.unit_column for f in forms):
            return None
        most = float(np.finfo(np.float64).max)
        ends = [form.range or (None, None) for form in forms]
        return cls(
            fields=tuple(contract.fields),
            lowest=np.array([[-most if low is None else low] for low, _ in ends]),
            highest=np.array([[most if high is None else high] for _, high in ends]),
        )

    def read(self, raw: pl.DataFrame, found: SourceColumns) -> list[pl.Series] | None:
        """Float64[n] of each field; None where they have to be looked at one by one."""
        if raw.height > FEW_ROWS or not raw.height or found.unit_of_field:
            return None
        columns: list[pl.Series] = []
        for name in self.fields:
            source = found.of_field[name]
            if source is None:
                return None
            column = raw.get_column(source)
            if not isinstance(column.dtype, pl.Float64):
                return None
            columns.append(column if source == name else column.alias(name))
        numbers = np.array([column.to_numpy() for column in columns])  # null is NaN, and no number
        is_clean = (numbers >= self.lowest) & (numbers <= self.highest)
        return columns if is_clean.all() else None


class _FieldAdmitter:
    """One field of a contract."""

    def __init__(self, name: str, form: FieldForm) -> None:
        self._name = name
        self._form = form
        self.is_numeric = form.is_numeric
        self._type_expected = _type_words(form)
        self._range_expected = "" if form.range is None else _range_words(form)
        self._allowed = None if form.allowed is None else frozenset(form.allowed)
        blank = float("nan") if self.is_numeric else None
        dtype = pl.Float64() if self.is_numeric else pl.String()
        self._absent = pl.Series(name, [blank], dtype=dtype)

    def read(self, raw: pl.DataFrame, found: SourceColumns, checks: RowChecks) -> pl.Series:
        """Float64[n] or String[n], named as the field."""
        name, form = self._name, self._form
        source = found.of_field[name]
        if source is None:  # optional and absent
            return self._absent.new_from_index(0, raw.height)
        column = raw[source]
        read = read_field(column, form)
        if form.required:
            checks.fail(read.missing, RefusalReason.SCHEMA, name, f"a {form.type}", "null")
        checks.fail(read.unreadable, RefusalReason.SCHEMA, name, self._type_expected, column)
        finite = "a finite number" if form.nan == "refuse" else "a finite number or NaN"
        checks.fail(read.not_finite, RefusalReason.NOT_FINITE, name, finite, column)
        self._check_unit(raw, found.unit_of_field, checks)
        self._check_range(read, column, checks)
        if form.allowed is not None and self._allowed is not None:
            other = rows_outside(read.values, self._allowed)
            expected = f"one of {', '.join(form.allowed)}"
            checks.fail(other, RefusalReason.UNKNOWN_VALUE, name, expected, column)
        return read.values.alias(name)

    def _check_unit(
        self, raw: pl.DataFrame, unit_of_field: Mapping[str, str], checks: RowChecks
    ) -> None:
        name, form = self._name, self._form
        stated = unit_of_field.get(name)
        if stated is not None and stated != form.unit:
            checks.fail_all(RefusalReason.UNIT, name, f"{form.unit}", got=stated)
        if form.unit_column is not None:
            unit, _ = read_text(raw[form.unit_column])
            other = (unit != form.unit).fill_null(True)
            checks.fail(
                _mask(other), RefusalReason.UNIT, name, f"{form.unit}", raw[form.unit_column]
            )

    def _check_range(self, read: ReadField, column: pl.Series, checks: RowChecks) -> None:
        if self._form.range is None:
            return
        low, high = self._form.range
        lowest, highest = read.extremes
        is_under = low is not None and lowest < low
        is_over = high is not None and highest > high
        if is_under or is_over:
            numbers = read.values.to_numpy()
            outside = np.zeros(len(numbers), np.bool_)
            if low is not None:
                outside |= numbers < low
            if high is not None:
                outside |= numbers > high
            checks.fail(outside, RefusalReason.RANGE, self._name, self._range_expected, column)


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
