"""Instants and durations as a contract writes them: ISO 8601 text and seconds, ns inside."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from sightline.records.signals import NS_PER_S

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
