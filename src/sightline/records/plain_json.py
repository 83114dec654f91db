"""JSON in one form: compact, keys sorted. Equal values, equal bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

# Made once: making an encoder takes longer than encoding a header of a frame.
_ASCII = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_UTF8 = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain_json(plain: object) -> bytes:
    """Compact JSON with sorted keys, in ASCII.

    Raises:
        TypeError: something that JSON does not have.

    >>> plain_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    return _ASCII.encode(plain).encode()


def canonical_json(plain: object) -> bytes:
    """The same in UTF-8, shortest floats: the bytes that digests and replays stand on.

    Raises:
        TypeError: something that JSON does not have.
        ValueError: NaN or infinity, which JSON does not have either.
    """
    return _UTF8.encode(plain).encode()


def read_json(payload: bytes | str) -> Any:
    """JSON that somebody else may have written.

    Raises:
        ValueError: it is none, an object has a key twice, or it lies deeper in itself than can be
            read.

    >>> read_json('{"head": 1, "head": 2}')
    Traceback (most recent call last):
        ...
    ValueError: 'head' twice
    """
    try:
        return json.loads(payload, object_pairs_hook=keys_once)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON: two readers might take another one of two values.

    Raises:
        ValueError: it has a key twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in found if names.count(key) > 1)!r} twice")
    return found


def number_or_null(value: float) -> float | None:
    """A number for JSON: null for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def null_or_number(value: float | None) -> float:
    """Inverse of :func:`number_or_null`; null is NaN."""
    return math.nan if value is None else float(value)


def plain_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, and what lies in them, as JSON has it.

    NaN and infinity become null, members of enumerations of texts their text.

    Raises:
        TypeError: something in it that is no dataclass and that JSON does not have.

    >>> from sightline.records.decision import Reason
    >>> plain_fields(Reason(code="DWELL", measure="dwell", value=9.0, threshold=math.nan, unit="s",
    ...                     version="1"))["threshold"] is None
    True
    """
    return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}


def _plain(value: Any) -> Any:
    match value:
        case str():
            return str(value)
        case float():
            return number_or_null(value)
        case None | int():
            return value
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case tuple() | list():
            return [_plain(one) for one in value]
    return plain_fields(value)
