"""JSON in one form: compact, keys sorted, ASCII. Equal values, equal bytes."""

from __future__ import annotations

import json

# Made once: making an encoder takes longer than encoding a header of a frame.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def plain_json(plain: object) -> bytes:
    """Compact JSON with sorted keys.

    Raises:
        TypeError: something that JSON does not have.

    >>> plain_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    return _ENCODER.encode(plain).encode()
