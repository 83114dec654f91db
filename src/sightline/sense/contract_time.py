"""The times of a contract: where event time is found, and the bounds it must keep."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sightline.sense.contract_form import (
    Column,
    Form,
    Instant,
    PositiveSeconds,
    Seconds,
    to_ns,
    utc_ns,
)

TimeFormat = Literal["iso8601", "unix_s", "unix_ms", "unix_us", "unix_ns"]


class AssumedTime(Form):
    """Event time of rows that carry none: the n-th row (from 0) is at ``start + n * period_s``."""

    period_s: PositiveSeconds
    start: Instant

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
    assumed: AssumedTime | None = None
    format: TimeFormat = "iso8601"
    """Of text and number columns; typed date-time columns are read whatever this says."""
    time_zone: Literal["utc", "required"] = "utc"
    """Text or typed time without a zone: taken as UTC, or refused TIME_ZONE."""
    earliest: Instant = "1970-01-01T00:00:00Z"
    latest: Instant = "2262-01-01T00:00:00Z"

    @property
    def earliest_ns(self) -> int:
        """Inclusive, UTC ns."""
        return utc_ns(self.earliest)

    @property
    def latest_ns(self) -> int:
        """Exclusive, UTC ns."""
        return utc_ns(self.latest)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.assumed is None):
            raise ValueError("exactly one of `column` and `assumed`")
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
    format: TimeFormat = "iso8601"


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
    start: Instant
    end: Instant

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
    contacts: tuple[Contact, ...] = ()
