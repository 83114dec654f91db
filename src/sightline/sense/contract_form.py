"""The building blocks of a contract: its base class, columns, instants and durations."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from sightline.records.signals import NS_PER_S, ORIGIN, RECEIVED_NS, ROW

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
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
