"""Contracts: what a source of rows promises, as a form, read from YAML.

A row that breaks its contract is quarantined with the reason; the contract itself is checked when
it is read, with errors that name the field.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from sightline.records.map_tiles import MAX_ZOOM
from sightline.records.signals import NS_PER_S, ORIGIN, RECEIVED_NS, ROW
from sightline.sense.yaml_form import load_form, parse_form

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def utc_ns(text: str) -> int:
    """UTC ns since 1970 of an ISO 8601 text with a zone; microsecond precision.

    >>> utc_ns("1970-01-01T01:00:00.5+01:00")
    500000000
    """
    return (dt.datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND * 1000


def to_ns(seconds: float) -> int:
    """A duration in s, as ns.

    >>> to_ns(0.25)
    250000000
    """
    return round(seconds * NS_PER_S)


def _instant(value: object) -> str:
    """Normalise to UTC text. YAML may already have made a date of the text."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("an ISO 8601 time such as 2015-01-01T00:00:00Z") from None
    if not isinstance(value, dt.datetime):
        raise ValueError("an ISO 8601 time such as 2015-01-01T00:00:00Z")
    if value.tzinfo is None:
        raise ValueError("a time with a zone: add Z for UTC")
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[
    str, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""UTC time as normalised text, ``2015-01-01T00:00:00Z``; :func:`utc_ns` gives its number."""

Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _not_reserved(name: str) -> str:
    if name in (ORIGIN, ROW, RECEIVED_NS):
        raise ValueError("a column of the source, not one that Sightline adds")
    return name


Column = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_not_reserved)]
"""A column of the source, by its own name."""
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]


class Form(BaseModel):
    # Defaults are validated too, so that a digest covers what really applies.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


TimeForm = Literal[
    "iso8601",
    "unix_s",
    "unix_ms",
    "unix_us",
    "unix_ns",
    "excel_days",
    "julian_days",
    "mjd_days",
    "matlab_days",
    "filetime",
    "compact",
    "day-first",
    "month-first",
    "year-first",
]
"""How times are written: ISO 8601; a number since 1970; days since 1899-12-30, as spreadsheets
count; Julian days and modified ones; days as MATLAB counts; 100 ns since 1601, as Windows counts;
digits alone, YYYYMMDDhhmmss or less; dates of people, with the day, the month or the year as the
first of three numbers."""


def _is_pattern(text: str) -> str:
    try:
        pl.Series(["?"]).str.to_datetime(text, time_unit="ns", strict=False)
    except pl.exceptions.PolarsError:
        raise ValueError("a pattern such as %d.%m.%Y %H:%M:%S") from None
    return text


TimeFormat = TimeForm | Annotated[str, Field(pattern="%"), AfterValidator(_is_pattern)]
"""A :data:`TimeForm`, or a pattern of strptime."""


class AssumedTime(Form):
    """Event time of rows that carry none: the n-th row (from 0) is at ``start + n * period_s``."""

    period_s: PositiveSeconds
    """Time between two rows, in seconds."""
    start: Instant
    """Time of the first row."""

    @property
    def period_ns(self) -> int:
        return to_ns(self.period_s)

    @property
    def start_ns(self) -> int:
        """UTC ns."""
        return utc_ns(self.start)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.start_ns < 0:
            raise ValueError("`start` at or after 1970-01-01T00:00:00Z")
        return self


class EventTime(Form):
    """Where the event time of a row is found, and which times are believable at all.

    Exactly one of ``column`` and ``assumed`` is given.
    """

    column: Column | None = None
    """Column with the event time."""
    clock: Column | None = None
    """Column with the time of day, where ``column`` has only the date."""
    assumed: AssumedTime | None = None
    """The event time of rows that carry none."""
    format: TimeFormat = "iso8601"
    """Of text and number columns; typed date-time columns are read whatever this says."""
    time_zone: Literal["utc", "required"] = "utc"
    """Text or typed time without a zone: taken as UTC, or refused TIME_ZONE."""
    earliest: Instant = "1970-01-01T00:00:00Z"
    """First believable time; an earlier one is refused."""
    latest: Instant = "2262-01-01T00:00:00Z"
    """End of the believable times, exclusive; a later one is refused."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of a row for its time: nothing, a column, or date and time of day."""
        return tuple(name for name in (self.column, self.clock) if name is not None)

    @property
    def earliest_ns(self) -> int:
        """Inclusive, UTC ns."""
        return utc_ns(self.earliest)

    @property
    def latest_ns(self) -> int:
        """Exclusive, UTC ns."""
        return utc_ns(self.latest)

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = dump(self)
        if self.clock is None:  # digests are what they were before there was one
            plain.pop("clock", None)
        return plain

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.assumed is None):
            raise ValueError("exactly one of `column` and `assumed`")
        if self.clock is not None and self.clock == (self.column or self.clock):
            raise ValueError("`clock`: another column than `column`, which has the date")
        if self.earliest_ns < 0:
            raise ValueError("`earliest` at or after 1970-01-01T00:00:00Z")
        if self.latest_ns > utc_ns("2262-01-01T00:00:00Z"):
            raise ValueError("`latest` at or before 2262-01-01T00:00:00Z (64-bit nanoseconds)")
        if self.earliest_ns >= self.latest_ns:
            raise ValueError("`earliest` before `latest`")
        return self


class ReceiptTime(Form):
    """Column with the time at which the row was received, written by the receiver."""

    column: Column
    """Its name in the source."""
    format: TimeFormat = "iso8601"
    """Of text and number columns, as in the event time."""


class Timing(Form):
    """Bounds of event time, in s."""

    out_of_order_s: Seconds = 0.0
    """How far rows of one watermark group may arrive out of order and still be on time."""
    revision_allowance_s: Seconds = 0.0
    """How long a closed window stays open to revision."""
    max_backlog_s: Seconds = 86400.0
    """Age beyond which even the backlog of an outage is refused."""
    clock_skew_s: Seconds = 0.0
    """How far event time may be ahead of the receipt time."""
    watermark_by: Annotated[tuple[Column, ...], Field(min_length=1)] | None = None
    """Columns of the key, or the group column, whose data moves a common watermark.

    Default: the key."""


class Contact(Form):
    """An interval in which data is expected. ``key`` is a canonical key, or ``*`` for all."""

    key: Annotated[str, Field(min_length=1)]
    """A key as its columns' values joined by `/`, or `*` for all."""
    start: Instant
    """Begin, inclusive."""
    end: Instant
    """End, exclusive."""

    @property
    def start_ns(self) -> int:
        """Inclusive, UTC ns."""
        return utc_ns(self.start)

    @property
    def end_ns(self) -> int:
        """Exclusive, UTC ns."""
        return utc_ns(self.end)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.start_ns >= self.end_ns:
            raise ValueError("`start` before `end`")
        return self


class Silence(Form):
    """When missing data means something. Without contacts data is expected all the time."""

    timeout_s: PositiveSeconds
    """Time without a row after which a key is silent, in seconds of event time."""
    contacts: tuple[Contact, ...] = ()
    """When data is expected; none: all the time."""


class SequenceColumn(Form):
    """Column with the source's own counter: an integer from 0 to 2^63-1."""

    column: Column
    """Its name in the source."""


class Plausibility(Form):
    """Signs of a broken sensor, looked for in every window, on rows in their canonical order.

    They never remove a row: a decision on such a window gives them as reasons and is marked
    degraded. (A row that is implausible only beside its neighbours cannot be refused when it
    arrives without the order of arrival deciding which of them goes.)
    """

    stuck_for_s: PositiveSeconds | None = None
    """The same value for at least this long."""
    max_rate_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Largest credible change per second, in the field's unit."""
    max_nan_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of NaN in a window beyond which its statistics are not trusted."""


class FieldForm(Form):
    """One field: its type, unit and valid values."""

    type: Literal["number", "integer", "boolean", "text"]
    """What its values are."""
    unit: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    """Required for number and integer; ``"1"`` when dimensionless."""
    column: Column | None = None
    """Name in the source, where it differs from the field's name."""
    range: tuple[Finite | None, Finite | None] | None = None
    """Lowest and highest valid value, both inclusive; null leaves that side open."""
    nan: Literal["invalid", "refuse"] = "invalid"
    """NaN is kept as "measured as invalid", or refused NOT_FINITE. ±inf is always refused."""
    decimal: Literal[".", ","] = "."
    """The decimal sign of numbers that are text."""
    missing: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    """Texts that say that there is no value, such as "Bad" or "-999". An empty cell always does."""
    required: bool = True
    """Null is refused SCHEMA; in an optional number it becomes NaN, in an optional text null."""
    unit_column: Column | None = None
    """Column that states the unit row by row."""
    allowed: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Valid values of a text."""
    plausibility: Plausibility | None = None
    """Signs of a broken sensor that are looked for."""

    @property
    def is_numeric(self) -> bool:
        """Whether the field becomes a Float64 column."""
        return self.type != "text"

    @model_validator(mode="after")
    def _check(self) -> Self:
        is_measured = self.type in ("number", "integer")
        if is_measured and self.unit is None:
            raise ValueError('a `unit` ("1" when dimensionless)')
        for name in ("unit", "range", "unit_column", "plausibility"):
            if not is_measured and getattr(self, name) is not None:
                raise ValueError(f"no `{name}` on a {self.type} field")
        if not is_measured and self.decimal != ".":
            raise ValueError(f"no `decimal` on a {self.type} field")
        if self.type != "text" and self.allowed is not None:
            raise ValueError("`allowed` only on a text field; use `range` for numbers")
        if self.range is not None:
            low, high = self.range
            if low is None and high is None:
                raise ValueError("a range with a low end, a high end, or both")
            if (-math.inf if low is None else low) > (math.inf if high is None else high):
                raise ValueError("a range whose low end is not above its high end")
        return self


class Archive(Form):
    """How rows lie in a NumPy archive (``.npz``): 2-D arrays [rows, features].

    The rows of the arrays follow each other in the order given, so the row number counts on.
    """

    arrays: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the arrays, in the order in which their rows follow each other."""
    columns: Annotated[dict[Column, Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Source column name to feature index."""
    stem_column: Column | None = None
    """Text column that gets the file's name without suffix."""
    array_column: Column | None = None
    """Text column that gets the array's name."""


class TileColumn(Form):
    """A text column that is worked out: the map tile of a position, ``z/x/y``."""

    column: Column = "tile"
    """Its name, to be used in the key."""
    zoom: Annotated[int, Field(ge=0, le=MAX_ZOOM)]
    """z of the tiles: 2^z of them around the equator."""
    lon: Column
    """Column of longitudes in degrees, of any turn."""
    lat: Column
    """Column of latitudes in degrees. Beyond 85.05112878 there is no tile: the row is refused."""


class Contract(Form):
    """What a source promises about its rows.

    >>> contract = Contract.model_validate({
    ...     "contract": "telemetry", "key": ["satellite"], "event_time": {"column": "time"},
    ...     "fields": {"snr_db": {"type": "number", "unit": "dB", "range": [-10, 40]}},
    ...     "timing": {"out_of_order_s": 5}})
    >>> contract.out_of_order_ns, contract.duplicate_columns, len(contract.digest)
    (5000000000, ('satellite', 'time'), 16)
    """

    contract: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    """Its name, lower snake case."""
    version: Annotated[str, Field(min_length=1)] = "1"
    """Of the contract; part of its digest."""
    description: str = ""
    """For people; it changes nothing."""
    key: Annotated[tuple[Column, ...], Field(min_length=1)]
    """Columns of the key. The canonical key is their values joined by ``/``."""
    group: Column | None = None
    """Column with the wider group of a key: a region, a line."""
    event_time: EventTime
    """Where the event time of a row is found."""
    receipt_time: ReceiptTime | None = None
    """Where the time of receipt is found; none: the time at which the row was read."""
    sequence: SequenceColumn | None = None
    """Where the source's own counter is found."""
    duplicate_key: tuple[Column, ...] | None = None
    """Columns that make two rows duplicates. Default: key and event time."""
    fields: Annotated[dict[FieldName, FieldForm], Field(min_length=1)]
    """What is measured, by name."""
    timing: Timing = Timing()
    """Bounds of event time."""
    expected_rate_hz: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Rows per second of one key; gaps are measured against it."""
    silence: Silence | None = None
    """When missing data means something; none: it never does."""
    known_keys: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The only keys that are taken; a row of another one is refused. None: any key."""
    extra_columns: Literal["ignore", "refuse"] = "ignore"
    """Columns that the contract does not name: passed over, or each row refused."""
    origin_column: Column | None = None
    """Text column that is added where each stream of a source is one series: of a file the path in
    the source's directory, without its suffixes (``valve1/0``), of standard input ``stdin``, of a
    broker the name of the stream, topic and partition, or queue. It replaces a column of that
    name."""
    constants: Annotated[dict[Column, str], Field(max_length=20)] = {}
    """Text columns that every row has alike, and what they say, for keys that no column tells.
    They replace columns of their names."""
    archive: Archive | None = None
    """How rows lie in a NumPy archive; only for `.npz`."""
    tile: TileColumn | None = None
    """A column of map tiles, worked out from positions: detections keyed by where they are."""

    # --- in the units of the engine ---------------------------------------------------------

    @property
    def out_of_order_ns(self) -> int:
        return to_ns(self.timing.out_of_order_s)

    @property
    def revision_allowance_ns(self) -> int:
        return to_ns(self.timing.revision_allowance_s)

    @property
    def max_backlog_ns(self) -> int:
        return to_ns(self.timing.max_backlog_s)

    @property
    def clock_skew_ns(self) -> int:
        return to_ns(self.timing.clock_skew_s)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Planned contacts; none when silence means nothing or data is always expected."""
        return () if self.silence is None else self.silence.contacts

    @property
    def watermark_columns(self) -> tuple[str, ...]:
        """Columns whose values name the watermark group."""
        return self.key if self.timing.watermark_by is None else self.timing.watermark_by

    @property
    def duplicate_columns(self) -> tuple[str, ...]:
        """Columns that make two rows duplicates; the assumed time needs no column."""
        if self.duplicate_key is not None:
            return self.duplicate_key
        return tuple(dict.fromkeys((*self.key, *self.event_time.columns)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every source column the contract reads, without repeats, in a stable order."""
        named = [*self.key, self.group, *self.event_time.columns]
        named += [self.receipt_time.column] if self.receipt_time else []
        named += [self.sequence.column] if self.sequence else []
        for name, form in self.fields.items():
            named += [form.column or name, form.unit_column]
        tile = self.tile
        if tile is not None:
            named = [*named, tile.lon, tile.lat]
        made = self.made_columns
        return tuple(dict.fromkeys(n for n in named if n is not None and n not in made))

    @property
    def made_columns(self) -> frozenset[str]:
        """Columns that admission adds to the rows."""
        tile = frozenset() if self.tile is None else frozenset([self.tile.column])
        return tile | frozenset(self.constants)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Source columns that every file must have, without repeats."""
        optional = {f.column or n for n, f in self.fields.items() if not f.required}
        return tuple(n for n in self.columns if n not in optional and n != self.origin_column)

    @property
    def digest(self) -> str:
        """16 hex digits over everything that can change a row's fate; the description cannot."""
        # A contract without them is what it was before there were any.
        absent = {name for name in ("tile", "constants") if not getattr(self, name)}
        plain = self.model_dump(mode="json", exclude={"description", *absent})
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    # --- what must fit together --------------------------------------------------------------

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.key)) < len(self.key):
            raise ValueError("key columns without repeats")
        self._check_duplicate_key()
        if not set(self.watermark_columns) <= {*self.key, self.group}:
            raise ValueError("`timing.watermark_by` among the key columns and the group column")
        if self.timing.out_of_order_s > self.timing.max_backlog_s:
            raise ValueError("`timing.out_of_order_s` not above `timing.max_backlog_s`")
        columns = [form.column or name for name, form in self.fields.items()]
        if len(set(columns)) < len(columns):
            raise ValueError("fields that read different columns")
        if self.archive is not None:
            self._check_archive(self.archive)
        return self

    def _check_duplicate_key(self) -> None:
        if self.duplicate_key is None:
            return
        needed = dict.fromkeys([*self.key, *self.event_time.columns])
        missing = [n for n in needed if n not in self.duplicate_key]
        if missing:
            raise ValueError(
                f"`duplicate_key` with {', '.join(missing)}: duplicates must share key and event "
                "time, because only rows of the same window are compared with each other"
            )
        unknown = [n for n in self.duplicate_key if n not in {*self.columns, *self.key}]
        if unknown:
            raise ValueError(f"`duplicate_key` of columns the contract reads, not {unknown[0]}")

    def _check_archive(self, archive: Archive) -> None:
        given = [
            *archive.columns,
            archive.stem_column,
            archive.array_column,
            self.origin_column,
        ]
        given = [name for name in given if name is not None]
        if len(set(given)) < len(given):
            raise ValueError("`archive` columns without repeats")
        optional = {f.column or n for n, f in self.fields.items() if not f.required}
        missing = [n for n in self.columns if n not in given and n not in optional]
        if missing:
            raise ValueError(f"`archive` to give the column {missing[0]}, which the contract reads")


def load_contract(path: Path) -> Contract:
    """Read a contract from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    return load_form(path, Contract)


def parse_contract(plain: object, *, where: str) -> Contract:
    """Validate a mapping as a contract; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.
    """
    return parse_form(plain, Contract, where=where)


def contract_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a contract, for editors and other languages."""
    return Contract.model_json_schema()
